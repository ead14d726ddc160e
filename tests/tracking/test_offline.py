"""Linking, filling and smoothing, by hand, against other libraries, and from the command line."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from tracking.interpolation import NOISE, fill_gaps, smooth
from tracking.linking import LinkOptions, jaccard_distance, link_by_looks
from tracking.offline import OfflineFlags, OfflineOptions, offline_options, refine
from tracking.recovery import RecoveryOptions, recover_detections
from tracking.runner import TrackedSequence
from tracking.sources import SequenceDetections
from tracking.splitting import SplitOptions, split_by_looks


def tracked(rows: list[tuple], detection: list[int] | None = None) -> TrackedSequence:
    """Rows of frame, identity, left, top, width, height."""
    table = np.array(rows, float).reshape(-1, 6)
    count = len(table)
    met = np.arange(count) if detection is None else np.array(detection)
    return TrackedSequence(
        table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:], np.full(count, 0.9), met, 1.0, 100
    )


def detections(rows: list[tuple], embeddings: np.ndarray | None = None, length: int = 200) -> SequenceDetections:
    """The boxes of such rows as detections, ordered by frame."""
    table = np.array(rows, float).reshape(-1, 6)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return SequenceDetections(
        "S", table[:, 0].astype(int), table[:, 2:], np.full(len(table), 0.3), embeddings, length, 0
    )


def walk(identity: int, first: int, last: int, x: float = 0.0, y: float = 0.0, speed: float = 2.0) -> list[tuple]:
    return [(frame, identity, x + speed * frame, y, 40, 100) for frame in range(first, last + 1)]


def test_gaps_are_filled_on_straight_lines() -> None:
    rows = [(1, 7, 0, 0, 40, 100), (5, 7, 8, 4, 44, 104), (2, 3, 0, 0, 10, 10), (22, 3, 5, 5, 10, 10)]
    filled = fill_gaps(tracked(rows), max_gap=20)
    own = filled.track_id == 7
    np.testing.assert_array_equal(filled.frame[own], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(filled.xywh[own], [[2 * k, k, 40 + k, 100 + k] for k in range(5)])
    np.testing.assert_array_equal(filled.detection[own], [0, -1, -1, -1, 1])
    assert (filled.track_id == 3).sum() == 2  # a gap of 20 frames is not below 20
    assert (fill_gaps(tracked(rows), max_gap=21).track_id == 3).sum() == 21
    assert len(fill_gaps(tracked([]), 20).frame) == 0


def test_long_gaps_are_filled_where_the_track_plainly_goes_on() -> None:
    before = walk(1, 1, 20)
    cases = {
        "as foretold": (walk(1, 60, 80), True),
        "he stood still": (walk(1, 60, 80, x=-72.0), True),
        "somewhere else": (walk(1, 60, 80, x=300.0), False),
        "another height": ([(f, 1, 2.0 * f, 40, 40, 60) for f in range(60, 81)], False),
        "too long": (walk(1, 150, 170), False),
    }
    for name, (after, goes_on) in cases.items():
        filled = fill_gaps(tracked([*before, *after]), max_gap=10, long_gap=100)
        assert (len(filled.frame) > len(before) + len(after)) == goes_on, name
    away = tracked([*before, *walk(1, 60, 80, x=100.0)])
    assert len(fill_gaps(away, 10, 100, max_detour=3.0).frame) > len(fill_gaps(away, 10, 100, max_detour=0.5).frame)
    mixed = tracked([*before, *walk(1, 24, 30), *walk(2, 1, 3), *walk(2, 40, 41)])
    expected = fill_gaps(mixed, 10)
    np.testing.assert_array_equal(fill_gaps(mixed, 10, 11).xywh, expected.xywh)  # nothing between both limits


def test_a_track_is_cut_where_another_person_begins() -> None:
    sequence = tracked([*walk(1, 1, 60), *walk(2, 1, 60, y=300)])
    found = looks((0, 30), (2, 30), (1, 60))
    cut = split_by_looks(sequence, found)
    ids = cut.track_id[:60]
    assert len(set(ids[:30])) == len(set(ids[30:])) == 1 and ids[0] != ids[30] and set(cut.track_id[60:]) == {2}
    alone = split_by_looks(sequence, looks((0, 60), (1, 60)))
    np.testing.assert_array_equal(alone.track_id, sequence.track_id)
    for options in (SplitOptions(different=1.0), SplitOptions(min_length=31)):
        np.testing.assert_array_equal(split_by_looks(sequence, found, options).track_id, sequence.track_id)
    twice = split_by_looks(sequence, looks((0, 20), (2, 20), (0, 20), (1, 60)))
    assert len(set(twice.track_id[:60])) == 3
    blink = looks((0, 29), (2, 1), (0, 30), (1, 60))
    assert set(split_by_looks(sequence, blink, SplitOptions(window=20)).track_id) == {1, 2}
    blind = np.zeros_like(found)
    np.testing.assert_array_equal(split_by_looks(sequence, blind).track_id, sequence.track_id)
    assert len(split_by_looks(tracked([]), np.empty((0, 8))).frame) == 0


def test_tracks_take_the_detections_that_were_left_over() -> None:
    seen = [*walk(1, 1, 60), *walk(2, 1, 60, y=300)]
    every = detections(seen)
    order = {(f, y): row for row, (f, y) in enumerate(zip(every.frame.tolist(), every.xywh[:, 1].tolist()))}
    kept = [row for row in seen if row[1] == 2 or 10 <= row[0] <= 20 or 30 <= row[0] <= 40]
    sequence = tracked(kept, [order[row[0], row[3]] for row in kept])
    full = recover_detections(sequence, every)
    for identity in (1, 2):
        rows = full.track_id == identity
        assert sorted(full.frame[rows]) == list(range(1, 61))
    np.testing.assert_array_equal(np.sort(full.detection), np.arange(120))
    np.testing.assert_array_equal(full.xywh, every.xywh[full.detection])
    assert full.confidence[full.detection == order[25, 0.0]] == 0.3
    # Every option counts: gaps, ends, overlap and looks.
    count = {
        name: len(recover_detections(sequence, every, RecoveryOptions(**{name: value})).frame)
        for name, value in (("max_gap", 5), ("ends", 0))
    }
    assert count["max_gap"] < 120 and count["ends"] < 120
    moved = [(f, i, x + 15 * ((f, i) == (25, 1)), y, w, h) for f, i, x, y, w, h in seen]  # an overlap of 0.45
    for least, taken in ((0.4, True), (0.5, False)):
        found = recover_detections(sequence, detections(moved), RecoveryOptions(min_iou=least, max_gap=10))
        assert (25 in found.frame[found.track_id == 1]) is taken
    other = looks((0, 120))
    own = np.array([row for row in range(120) if every.xywh[row, 1] == 0 and not (10 <= every.frame[row] <= 40)])
    other[own] = looks((3, len(own)))
    other[every.xywh[:, 1] == 300] = looks((1, 60))
    strangers = recover_detections(sequence, detections(seen, other))
    assert sorted(strangers.frame[strangers.track_id == 1]) == list(range(10, 41))
    assert recover_detections(tracked([]), every).frame.size == 0


def test_short_tracks_are_dropped() -> None:
    sequence = tracked([*walk(1, 1, 5), *walk(2, 1, 6)])
    assert set(refine(sequence, detections([]), OfflineOptions(min_boxes=6)).track_id) == {2}


def test_smoothing_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    rows = [(f, 1, *(2.0 * f + rng.normal(0, 3, 2)), 40 + rng.normal(), 100 + rng.normal()) for f in range(1, 61)]
    sequence = tracked(rows)
    got = smooth(sequence, tau=10).xywh
    scale = 10 * np.log(1000 / 60)
    time = sequence.frame[:, None].astype(float)
    centred = np.hstack([sequence.xywh[:, :2] + sequence.xywh[:, 2:] / 2, sequence.xywh[:, 2:]])
    expected = np.empty_like(centred)
    for column in range(4):
        trend = np.polyval(np.polyfit(time[:, 0], centred[:, column], 1), time[:, 0])
        rest = centred[:, column] - trend
        kernel = RBF(scale, "fixed")
        model = GaussianProcessRegressor(kernel, alpha=NOISE, optimizer=None).fit(time, rest)
        expected[:, column] = trend + model.predict(time)
    np.testing.assert_allclose(got[:, :2] + got[:, 2:] / 2, expected[:, :2], atol=1e-2)
    np.testing.assert_allclose(got[:, 2:], expected[:, 2:], atol=1e-2)
    assert np.abs(np.diff(got[:, 0], 2)).mean() < 0.3 * np.abs(np.diff(sequence.xywh[:, 0], 2)).mean()
    assert not np.allclose(smooth(sequence, tau=3).xywh, got)


def test_long_tracks_are_smoothed_in_pieces_that_agree() -> None:
    rng = np.random.default_rng(1)
    rows = [(f, 1, 50 * np.sin(f / 40) + rng.normal(0, 2), 0, 40, 100) for f in range(1, 901)]
    got = smooth(tracked(rows), tau=12).xywh
    error = np.abs(got[:, 0] - 50 * np.sin(np.arange(1, 901) / 40))
    assert error.mean() < 1.5 and np.abs(np.diff(got[:, 0])).max() < 6
    short = tracked(walk(1, 1, 2))
    np.testing.assert_array_equal(smooth(short).xywh, short.xywh)


def looks(*people: tuple[int, int], size: int = 8, seed: int = 0) -> np.ndarray:
    """Person and number of detections, in order; noisy unit vectors."""
    rng = np.random.default_rng(seed)
    centres = np.eye(size)
    return np.concatenate([centres[who] + rng.normal(0, 0.05, (count, size)) for who, count in people])


def test_tracks_that_look_alike_are_joined() -> None:
    rows = [*walk(1, 1, 40), *walk(2, 1, 80, y=300), *walk(3, 60, 100)]
    sequence = tracked(rows)
    same = link_by_looks(sequence, looks((0, 40), (1, 80), (0, 41)))
    assert set(same.track_id[sequence.track_id == 3]) == {1} and set(same.track_id[sequence.track_id == 2]) == {2}
    other = link_by_looks(sequence, looks((0, 40), (1, 80), (2, 41)))
    np.testing.assert_array_equal(other.track_id, sequence.track_id)
    at_once = tracked([*walk(1, 1, 60), *walk(2, 1, 80, y=300), *walk(3, 60, 100)])
    np.testing.assert_array_equal(link_by_looks(at_once, looks((0, 60), (1, 80), (0, 41))).track_id, at_once.track_id)
    for options in (LinkOptions(max_gap=10), LinkOptions(max_different=0.0), LinkOptions(reach=0.0, speed=0.0)):
        moved = tracked([*walk(1, 1, 40), *walk(2, 1, 80, y=300), *walk(3, 60, 100, x=30)])
        kept = link_by_looks(moved, looks((0, 40), (1, 80), (0, 41)), options)
        np.testing.assert_array_equal(kept.track_id, moved.track_id)


def test_a_chain_of_three_becomes_one_and_the_closest_look_wins() -> None:
    rows = [*walk(4, 1, 30), *walk(5, 40, 70), *walk(6, 80, 110), *walk(7, 1, 110, y=300), *walk(8, 80, 110, x=30)]
    counts = (31 - 1, 31, 31, 110, 31)
    joined = link_by_looks(tracked(rows), looks(*zip((0, 0, 0, 1, 2), counts)), LinkOptions(max_different=0.1))
    sequence = tracked(rows)
    assert [set(joined.track_id[sequence.track_id == k].tolist()) for k in (4, 5, 6, 7, 8)] == [{4}, {4}, {4}, {7}, {8}]


def test_jaccard_distance_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 5))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) / 10
    got = jaccard_distance(distance, count=4)
    nearest = [set(np.argsort(row)[:5].tolist()) for row in distance]
    weights = []
    for i in range(12):
        row = np.array([np.exp(-distance[i, j]) if j in nearest[i] and i in nearest[j] else 0 for j in range(12)])
        weights.append(row / row.sum())
    for i in range(12):
        for j in range(12):
            expected = 1 - np.minimum(weights[i], weights[j]).sum() / np.maximum(weights[i], weights[j]).sum()
            assert got[i, j] == pytest.approx(expected)
    assert jaccard_distance(np.zeros((1, 1))).shape == (1, 1)


def test_flags_over_the_defaults_of_the_name() -> None:
    assert offline_options("sort", OfflineFlags()) == OfflineOptions()
    assert offline_options("strongsort++", OfflineFlags()) == OfflineOptions(link="aflink", interpolation="gaussian")
    own = offline_options("strongsort++", OfflineFlags(link="looks"))
    assert (own.link, own.interpolation) == ("looks", "gaussian")
    values = {
        "cut_different": 0.3,
        "fill_long_gap": 50,
        "fill_detour": 2.0,
        "link_gap": 5,
        "link_different": 0.2,
        "link_jaccard": 0.1,
        "fill_gap": 9,
        "smooth_tau": 3.0,
    }
    values["aflink_weights"] = Path("x")
    for field in fields(OfflineFlags):
        if field.name in values:
            with pytest.raises(ValueError, match=f"--{field.name.replace('_', '-')}: not used with"):
                offline_options("sort", OfflineFlags(**{field.name: values[field.name]}))
    with pytest.raises(ValueError, match="link: got 'maybe', allowed: none, looks, aflink"):
        OfflineOptions(link="maybe")  # type: ignore[arg-type]
    for steps, reason in (({"link": "looks"}, "link is 'looks'"), ({"cut_tracks": True}, "cut_tracks is on")):
        with pytest.raises(ValueError, match=f"embeddings: got None.*{reason}"):
            refine(tracked(walk(1, 1, 5)), detections(walk(1, 1, 5)), OfflineOptions(**steps))
    with pytest.raises(ValueError, match=r"--cut-different: not used with --no-cut-tracks"):
        offline_options("reidsort++", OfflineFlags(cut_tracks=False, cut_different=0.3))
    with pytest.raises(ValueError, match=r"--fill-detour: not used with .*--fill-long-gap 0"):
        offline_options("sort", OfflineFlags(interpolation="linear", fill_detour=2.0))
    assert offline_options("reidsort++", OfflineFlags(min_boxes=2)).min_boxes == 2


def test_aflink_sees_pairs_from_the_end_of_the_first_and_refuses_other_files(tmp_path: Path) -> None:
    from tracking.aflink import encode_pairs, load_aflink

    before, after = encode_pairs([np.array([[1, 5, 5], [2, 80, 5.0]])], [np.array([[32, 80, 80.0]])])
    np.testing.assert_allclose(before[0, 0, -2:], [[0, -1, 0], [1 / 30, 0, 0]])
    np.testing.assert_allclose(after[0, 0, 0], [31 / 30, 0, 1])
    assert before.shape == after.shape == (1, 1, 30, 3) and not before[0, 0, :-2].any() and not after[0, 0, 1:].any()
    (tmp_path / "wrong.safetensors").write_bytes(b"12345678")
    with pytest.raises(ValueError, match="not weights of AFLink"):
        load_aflink(tmp_path / "wrong.safetensors")
    with pytest.raises(ValueError, match="no such file; train it"):
        load_aflink(tmp_path / "missing.safetensors")


@pytest.mark.slow
def test_aflink_learns_who_walks_on(tmp_path: Path) -> None:
    from tracking.aflink import link_by_trajectories, load_aflink, main

    rng = np.random.default_rng(0)
    folder = tmp_path / "gt" / "TRAIN-01"
    (folder / "gt").mkdir(parents=True)
    lines = []
    for person in range(1, 25):
        x, y, angle = *rng.uniform(0, 300, 2), rng.uniform(0, 2 * np.pi)
        for frame in range(1, 121):
            x, y = x + 3 * np.cos(angle), y + 3 * np.sin(angle)
            lines.append(f"{frame},{person},{x:.1f},{y:.1f},30,80,1,1,1\n")
    (folder / "gt" / "gt.txt").write_text("".join(lines))
    out = tmp_path / "aflink.safetensors"
    assert main(["--gt", str(tmp_path / "gt"), "--out", str(out), "--epochs", "12", "--pairs", "1500"]) == 0
    network = load_aflink(out)
    # Number 1 walks on as 2; number 3 begins where 1 would be, but comes from the other side.
    rows = [(f, 1, 3.0 * f, 50, 30, 80) for f in range(1, 31)] + [(f, 2, 3.0 * f, 50, 30, 80) for f in range(38, 70)]
    sequence = tracked(rows)
    assert set(link_by_trajectories(sequence, network).track_id.tolist()) == {1}
    apart = tracked([(f, i, x + 200 * (i - 1), y, w, h) for f, i, x, y, w, h in rows])
    np.testing.assert_array_equal(link_by_trajectories(apart, network).track_id, apart.track_id)
