import json

import numpy as np
import pytest

from reid.breakdown import ATTRIBUTES, UNKNOWN, attribute_groups, break_down, camera_groups, read_annotations
from reid.data.base import Sample
from reid.metrics import evaluate_rank


def sample(name="query/0001_c1s1_000001_01.jpg", camid=0):
    return Sample(f"/somewhere/{name}", 1, camid, 0, "world")


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
    ],
)
def test_attributes_of_an_image(attribute, note, group):
    one = sample()
    groups, order = attribute_groups([one], {"query/0001_c1s1_000001_01.jpg": note}, attribute)
    assert groups == [group]
    assert attribute == "role" or group in [*order, UNKNOWN]


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
    with pytest.raises(ValueError, match="attribute: got 'hat', allowed: visibility, size, role"):
        attribute_groups([], {}, "hat")
    with pytest.raises(ValueError, match=r"0001_c1s1_000001_01.jpg: not in annotations.json"):
        attribute_groups([sample()], {}, "role")
    with pytest.raises(FileNotFoundError, match="synthetic_world"):
        read_annotations(tmp_path)
    for text in ("{", json.dumps([]), json.dumps({"images": [{}]})):
        (tmp_path / "annotations.json").write_text(text)
        with pytest.raises(ValueError, match="not the annotations of a world"):
            read_annotations(tmp_path)
