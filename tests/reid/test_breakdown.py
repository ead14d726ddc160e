import json

import numpy as np
import pytest

from reid.annotations import ATTRIBUTES, UNKNOWN, attribute_groups, read_annotations
from reid.breakdown import break_down, by_turn, camera_groups, camera_pairs
from reid.data.base import Sample
from reid.metrics import evaluate_rank


def sample(name="query/0001_c1s1_000001_01.jpg", camid=0):
    return Sample(f"/somewhere/{name}", 1, camid, 0, "world")


def person(ankles=5.0, hidden=()):
    """COCO's keypoints of somebody whose torso is 30 pixels long."""
    points = [[0.0, 0.0, 2]] * 5 + [[0, 20, 2]] * 2 + [[0, 35, 2]] * 4 + [[0, 50, 2]] * 2 + [[0, 70, 2]] * 2
    points += [[0, 90, 2], [ankles, 90, 2]]
    return [[x, y, 1 if index in hidden else v] for index, (x, y, v) in enumerate(points)]


def test_groups_are_scored_as_if_they_were_alone():
    random = np.random.default_rng(0)
    q_pids, g_pids = random.integers(0, 8, 30), random.integers(0, 8, 100)
    q_camids, g_camids = random.integers(0, 3, 30), random.integers(0, 3, 100)
    q_pids[4] = 99  # nobody has it
    distmat = random.random((30, 100))
    groups = [f"g{q % 3}" for q in range(30)]
    rows = break_down(evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids), groups, order=["g2", "none"])
    assert [row.group for row in rows] == ["g2", "g0", "g1"]
    for row in rows:
        chosen = np.array(groups) == row.group
        alone = evaluate_rank(distmat[chosen], q_pids[chosen], g_pids, q_camids[chosen], g_camids)
        assert (row.rank1, row.mAP) == pytest.approx((alone.cmc[0], alone.mAP))
        assert (row.num_valid, row.num_skipped) == (alone.num_valid, alone.num_skipped)
    assert sum(row.num_skipped for row in rows) >= 1


def test_a_group_without_valid_queries_has_no_score():
    rows = break_down(evaluate_rank([[0.1], [0.2]], [1, 2], [1], [0, 0], [1]), ["a", "b"])
    assert (rows[1].rank1, rows[1].mAP, rows[1].num_valid, rows[1].num_skipped) == (None, None, 0, 1)
    with pytest.raises(ValueError, match="groups: got 1, allowed: 2"):
        break_down(evaluate_rank([[0.1], [0.2]], [1, 1], [1], [0, 0], [1]), ["a"])


def test_cameras_count_from_one_and_sort():
    assert camera_groups([sample(camid=0), sample(camid=2)]) == ["camera 1", "camera 3"]
    assert camera_groups([sample(camid=1), sample(camid=11)]) == ["camera 02", "camera 12"]


@pytest.mark.parametrize(
    ("attribute", "note", "group"),
    [
        ("visibility", {"visibility": 0.2}, "below 50%"),
        ("visibility", {"visibility": 0.5}, "50% to 75%"),
        ("visibility", {"visibility": 1.0}, "95% and more"),
        ("visibility", {}, UNKNOWN),
        ("size", {"box": [0, 0, 20, 63.9]}, "below 64"),
        ("size", {"box": [0, 0, 20, 200.0]}, "128 to 256"),
        ("size", {"box": [0, 0, 20, 256.0]}, "256 and more"),
        ("role", {"role": "referee"}, "referee"),
        ("role", {"role": None}, UNKNOWN),
        ("direction", {"viewpoint": -44.0}, "from the front"),
        ("direction", {"viewpoint": -134.0}, "from the right"),
        ("direction", {"viewpoint": 100.0}, "from the left"),
        ("direction", {"viewpoint": -179.0}, "from behind"),
        ("direction", {}, UNKNOWN),
        ("body", {"keypoints": person()}, "shoulders to feet"),
        ("body", {"keypoints": person(hidden=(15, 16))}, "feet hidden"),
        ("body", {"keypoints": person(hidden=(15,))}, "shoulders to feet"),
        ("body", {"keypoints": person(hidden=(13, 14, 15, 16))}, "legs hidden"),
        ("body", {"keypoints": person(hidden=(5, 6))}, "shoulders hidden"),
        ("body", {"keypoints": [[0, 0, 2]]}, UNKNOWN),
        ("stride", {"keypoints": person(ankles=3)}, "legs together"),
        ("stride", {"keypoints": person(ankles=20)}, "a step"),
        ("stride", {"keypoints": person(ankles=30)}, "a long step"),
        ("stride", {"keypoints": None}, UNKNOWN),
    ],
)
def test_attributes_of_an_image(attribute, note, group):
    one = sample()
    groups, order = attribute_groups([one], {"query/0001_c1s1_000001_01.jpg": note}, attribute)
    assert groups == [group]
    assert attribute == "role" or group in [*order, UNKNOWN]


def test_camera_pairs_are_scored_as_if_they_were_alone():
    random = np.random.default_rng(0)
    q_pids, g_pids = random.integers(0, 8, 60), random.integers(0, 8, 90)
    q_camids, g_camids = random.choice([0, 1, 4], 60), random.choice([1, 4, 6], 90)
    q_camids[:30], q_pids[:30] = 0, 99  # camera 0 has many queries that nobody matches
    distmat = random.random((60, 90))
    pairs = camera_pairs(distmat, q_pids, g_pids, q_camids, g_camids)
    assert pairs.query_cameras == [0, 1, 4] and pairs.gallery_cameras == [1, 4, 6]
    for i, first in enumerate(pairs.query_cameras):
        for j, second in enumerate(pairs.gallery_cameras):
            rows, columns = q_camids == first, g_camids == second
            if first == second:
                assert np.isnan(pairs.mAP[i, j]) and pairs.num_valid[i, j] == 0
                continue
            ids = q_pids[rows], g_pids[columns], q_camids[rows], g_camids[columns]
            alone = evaluate_rank(distmat[rows][:, columns], *ids)
            found = pairs.rank1[i, j], pairs.mAP[i, j], pairs.num_valid[i, j]
            assert found == (alone.cmc[0], alone.mAP, alone.num_valid)
    empty = camera_pairs([[0.5, 0.1]], [1], [1, 2], [0], [1, 2])
    assert empty.mAP[0, 0] == 1 and np.isnan(empty.rank1[0, 1])
    with pytest.raises(ValueError, match=r"g_pids, g_camids: got shapes \(3,\) and \(2,\)"):
        camera_pairs([[0.5, 0.1]], [1], [1, 2, 3], [0], [1, 2])


def test_turned_people_are_farther_away():
    angles = {"query/a_0.jpg": 0, "g/a_1.jpg": 30, "g/a_2.jpg": -170, "g/a_3.jpg": 60, "g/a_4.jpg": 200}
    notes = {name: {"viewpoint": angle} for name, angle in angles.items()}
    query, *gallery = [sample(name, camid) for camid, name in enumerate(angles)]
    stranger, twin = Sample("g/x.jpg", 2, 9, 0, "world"), sample("g/a_1.jpg", 0)  # another person, the same camera
    rows = by_turn([[0.1, 0.5, 0.2, 0.9, 0.0, 0.0]], [query], [*gallery, stranger, twin], notes, threshold=0.6)
    assert [(row.group, row.count, row.median, row.missed) for row in rows] == [
        ("below 45", 1, 0.1, 0.0),
        ("45 to 90", 1, 0.2, 0.0),
        ("90 to 135", 0, None, None),
        ("135 and more", 2, 0.7, 0.5),
    ]
    assert by_turn([[0.1]], [query], [stranger], notes, 0.6) == []
    assert by_turn([[0.1]], [query], gallery[:1], {name: {} for name in notes}, 0.6) == []
    with pytest.raises(ValueError, match=r"not in annotations\.json"):
        by_turn([[0.1]], [query], gallery[:1], {}, 0.6)


def test_annotations_of_a_world(tmp_path, run_python):
    out = tmp_path / "world"
    options = ["--pids", 4, "--cameras", 2, "--width", 32, "--height", 64, "--images-per-camera", 2]
    run_python("-m", "synthetic_world", "reid", *options, "--out", out)
    annotations = read_annotations(out)
    samples = [sample(f"query/{path.name}") for path in sorted((out / "query").iterdir())]
    assert samples
    for attribute in ATTRIBUTES:
        groups, _ = attribute_groups(samples, annotations, attribute)
        assert len(groups) == len(samples) and UNKNOWN not in groups


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="attribute: got 'hat', allowed: visibility, size, role, direction"):
        attribute_groups([], {}, "hat")
    with pytest.raises(ValueError, match=r"0001_c1s1_000001_01.jpg: not in annotations.json"):
        attribute_groups([sample()], {}, "role")
    with pytest.raises(FileNotFoundError, match="synthetic_world"):
        read_annotations(tmp_path)
    for text in ("{", json.dumps([]), json.dumps({"images": [{}]})):
        (tmp_path / "annotations.json").write_text(text)
        with pytest.raises(ValueError, match="not the annotations of a world"):
            read_annotations(tmp_path)
