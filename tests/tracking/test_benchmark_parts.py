"""Layouts, halves, archives, resampling, workers: what the benchmark command is put together from."""

import importlib.util
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from reid.data.mot import read_ground_truth
from tracking.evaluation import evaluate_mot
from tracking.ground_truth_copies import counts_from_zero, cut_detections, cut_sequence, half_range
from tracking.layouts import LAYOUTS, find_split, footage
from tracking.score_resampling import SCORES, combined_scores, difference_interval, resamples
from tracking.sequences import read_sequence
from tracking.sources import SequenceDetections
from tracking.submission import write_submission
from tracking.workers import open_workers


def make_sequence(folder: Path, length: int, rows: list[list] | None) -> Path:
    (folder / "gt").mkdir(parents=True)
    text = f"[Sequence]\nname={folder.name}\nseqLength={length}\nframeRate=14\nimWidth=640\nimHeight=480\n"
    (folder / "seqinfo.ini").write_text(text)
    if rows is not None:
        (folder / "gt" / "gt.txt").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return folder


def walk(length: int, people: int = 3, first_identity: int = 1) -> list[list]:
    numbers = range(first_identity, first_identity + people)
    return [[f, i, 5 * f, 90 * i, 30, 70, 1, 1, 0.5] for i in numbers for f in range(1, length + 1)]


@pytest.mark.parametrize(
    ("benchmark", "split", "below", "names"),
    [
        ("MOT15", "train", "2DMOT2015/train", ["ADL-Rundle-6", "Venice-2"]),
        ("MOT16", "test", "mot16/test", ["MOT16-01"]),
        ("MOT17", "val-half", "train", ["MOT17-02-DPM", "MOT17-02-SDP"]),
        ("MOT20", "train-half", "data/MOT20/train", ["MOT20-01"]),
        ("DanceTrack", "val", "dancetrack/val", ["dancetrack0004"]),
        ("SportsMOT", "val", "sportsmot_publish/dataset/val", ["v_0kUtTtmLaJA_c004"]),
    ],
)
def test_each_layout_is_found(benchmark: str, split: str, below: str, names: list[str], tmp_path: Path) -> None:
    for name in names:
        make_sequence(tmp_path / below / name, 4, None)
    root = tmp_path / "data" if below.startswith("data") else tmp_path
    assert list(find_split(benchmark, split, root)) == names
    with pytest.raises(ValueError, match=r"split: got 'nothing', allowed for "):
        find_split(benchmark, "nothing", root)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="benchmark: got 'MOT99', allowed: MOT15"):
        find_split("MOT99", "train", tmp_path)
    with pytest.raises(ValueError, match="no train split of MOT16; no sequence folders"):
        find_split("MOT16", "train", tmp_path)
    with pytest.raises(ValueError, match="allowed for DanceTrack: train, val, test"):
        find_split("DanceTrack", "val-half", tmp_path)
    make_sequence(tmp_path / "train" / "MOT17-02-SDP", 4, None)
    with pytest.raises(ValueError, match="MOT17-02-SDP is a sequence of MOT17, not of MOT16"):
        find_split("MOT16", "train", tmp_path)
    assert footage("MOT17-02-SDP") == ("MOT17-02", "SDP") and footage("dancetrack0004") == ("dancetrack0004", "")
    assert {layout.form for layout in LAYOUTS.values()} == {"MOT15", "MOT16", "MOT17", "MOT20"}


def test_halves_are_those_of_the_papers() -> None:
    # MOT17's training sequences; CenterTrack's validation half holds frames length // 2 + 1 and later, counted from 0.
    for length in (600, 1050, 837, 525, 654, 900, 750, 3):
        train, val = half_range(length, "train-half"), half_range(length, "val-half")
        from_zero = [frame for frame in range(length) if frame >= length // 2 + 1]
        assert (val[0] - 1, val[1] - 1) == (from_zero[0], from_zero[-1]) and train == (1, val[0] - 1)
    with pytest.raises(ValueError, match="train-half, val-half"):
        half_range(10, "first")
    with pytest.raises(ValueError, match="got 2 frames"):
        half_range(2, "val-half")


def test_a_half_is_cut_with_its_ground_truth_and_detections(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "train" / "MOT17-02-SDP", 9, walk(9))
    first, last = half_range(9, "val-half")
    part = cut_sequence(read_sequence(folder), first, last, tmp_path / "cut")
    again = read_sequence(tmp_path / "cut" / "MOT17-02-SDP")
    assert (first, last) == (6, 9) and part.info == again.info and again.info.length == 4
    assert part.frames.tolist() == again.frames.tolist() == [1, 2, 3, 4] and again.info.frame_rate == 14
    whole, cut = read_ground_truth(folder / "gt" / "gt.txt"), read_ground_truth(part.folder / "gt" / "gt.txt")
    kept = whole.frame >= 6
    np.testing.assert_array_equal(cut.frame, whole.frame[kept] - 5)
    np.testing.assert_array_equal(cut.xywh, whole.xywh[kept])
    np.testing.assert_array_equal(cut.track_id, whole.track_id[kept])
    source = SequenceDetections("S", whole.frame[:9], whole.xywh[:9], np.ones(9), np.eye(9), 9)
    found = cut_detections(source, first, last)
    assert found.frame.tolist() == [1, 2, 3, 4] and found.length == 4
    assert found.embeddings is not None and found.embeddings.argmax(axis=1).tolist() == [5, 6, 7, 8]
    with pytest.raises(ValueError, match="got frames 6 to 12, allowed: 1 to 9"):
        cut_sequence(read_sequence(folder), 6, 12, tmp_path / "cut")


def test_frames_without_an_image_and_identities_from_zero(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "v_1_c001", 4, walk(4, people=2, first_identity=0))
    (folder / "img1").mkdir()
    for frame in (1, 2, 4):
        (folder / "img1" / f"{frame:06d}.jpg").write_text("")
    sequence = read_sequence(folder)
    assert counts_from_zero(sequence)
    part = cut_sequence(sequence, 2, 4, tmp_path / "cut")
    truth = read_ground_truth(part.folder / "gt" / "gt.txt")
    assert sorted(set(truth.track_id.tolist())) == [1, 2] and sorted(set(truth.frame.tolist())) == [1, 3]
    assert {frame: path.name for frame, path in part.images.items()} == {1: "000002.jpg", 3: "000004.jpg"}
    assert not counts_from_zero(read_sequence(part.folder))
    (folder / "gt" / "gt.txt").write_text("1,x,1\n")
    with pytest.raises(ValueError, match=r"gt\.txt:1: frame or identity is no number"):
        cut_sequence(sequence, 2, 4, tmp_path / "cut")


def test_an_archive_for_the_server(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1,1,2,3,4,5,1,-1,-1,-1\n")
    results = {"MOT17-01-DPM": tmp_path / "a.txt", "MOT17-01-SDP": tmp_path / "a.txt"}
    write_submission(results, tmp_path / "root.zip")
    write_submission(results, tmp_path / "again.zip")
    assert (tmp_path / "root.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "root.zip") as archive:
        assert archive.namelist() == ["MOT17-01-DPM.txt", "MOT17-01-SDP.txt"] and archive.testzip() is None
        assert archive.read("MOT17-01-SDP.txt") == (tmp_path / "a.txt").read_bytes()
    write_submission(results, tmp_path / "dance.zip", "tracker")
    with zipfile.ZipFile(tmp_path / "dance.zip") as archive:
        assert archive.namelist() == ["tracker/MOT17-01-DPM.txt", "tracker/MOT17-01-SDP.txt"]
    with pytest.raises(ValueError, match="no results to archive"):
        write_submission({}, tmp_path / "none.zip")


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict, dict]:
    """Three sequences, and two results that differ in how often boxes are missed, moved and given to another."""
    root = tmp_path_factory.mktemp("scores")
    random = np.random.default_rng(0)
    scored = []
    for tracker, noise in (("a", 6.0), ("b", 2.0)):
        for index in range(3):
            rows = walk(12, people=2 + index)
            if tracker == "a":
                make_sequence(root / "gt" / f"S{index}", 12, rows)
            kept = [row for row in rows if random.random() < 0.9]
            lines = []
            for frame, identity, x, y, w, h, *_ in kept:
                identity = identity + (10 if random.random() < 0.05 * noise / 2 and frame > 6 else 0)
                x, y = x + random.normal(0, noise), y + random.normal(0, noise)
                lines.append(f"{frame},{identity},{x},{y},{w},{h},1,-1,-1,-1\n")
            (root / tracker).mkdir(exist_ok=True)
            (root / tracker / f"S{index}.txt").write_text("".join(lines))
        scored.append(evaluate_mot(root / "gt", root / tracker))
    return root, root / "b", scored[0], scored[1]


def test_combining_equals_trackeval(evaluations, tmp_path: Path) -> None:
    root, results, _, evaluation = evaluations
    whole = combined_scores(evaluation, np.ones((1, 3)))
    for score in SCORES:
        assert whole[score][0] == pytest.approx(evaluation["COMBINED"][score], abs=1e-12)
    # TrackEval itself on sequences 0, 2, 2: as two copies of the folder.
    for name, original in (("S0", "S0"), ("S2", "S2"), ("S3", "S2")):
        make_sequence(tmp_path / "gt" / name, 12, None)
        (tmp_path / "gt" / name / "gt" / "gt.txt").write_text((root / "gt" / original / "gt" / "gt.txt").read_text())
        (tmp_path / "r").mkdir(exist_ok=True)
        (tmp_path / "r" / f"{name}.txt").write_text((results / f"{original}.txt").read_text())
    want = evaluate_mot(tmp_path / "gt", tmp_path / "r")["COMBINED"]
    got = combined_scores(evaluation, np.array([[1, 0, 2]]))
    for score in SCORES:
        assert got[score][0] == pytest.approx(want[score], abs=1e-12)


def test_intervals_of_differences(evaluations) -> None:
    _, _, first, second = evaluations
    weights = resamples(3, 400, seed=1)
    assert weights.shape == (400, 3) and (weights.sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weights, resamples(3, 400, seed=1))
    low, high = difference_interval(first, second, "HOTA", weights)
    difference = second["COMBINED"]["HOTA"] - first["COMBINED"]["HOTA"]
    assert low < difference < high and low > 0
    narrow = difference_interval(first, second, "HOTA", weights, level=0.5)
    assert low < narrow[0] < narrow[1] < high
    assert difference_interval(first, first, "IDF1", weights) == (0, 0)
    one = {**first, "sequences": {"S0": first["sequences"]["S0"]}}
    assert difference_interval(one, one, "HOTA", resamples(1, 9, 0)) is None
    with pytest.raises(ValueError, match="differ"):
        difference_interval(one, first, "HOTA", weights)


def test_mot20_drops_boxes_on_vehicles(tmp_path: Path) -> None:
    rows = walk(5, people=1) + [[frame, 9, 5 * frame, 300, 80, 60, 0, 6, 1] for frame in range(1, 6)]
    make_sequence(tmp_path / "gt" / "MOT20-01", 5, rows)
    (tmp_path / "r").mkdir()
    text = "".join(f"{row[0]},{row[1]},{row[2]},{row[3]},{row[4]},{row[5]},1,-1,-1,-1\n" for row in rows)
    (tmp_path / "r" / "MOT20-01.txt").write_text(text)
    assert evaluate_mot(tmp_path / "gt", tmp_path / "r")["COMBINED"]["CLR_FP"] == 5
    assert evaluate_mot(tmp_path / "gt", tmp_path / "r", benchmark="MOT20")["COMBINED"]["CLR_FP"] == 0
    with pytest.raises(ValueError, match="benchmark: got 'MOT21'"):
        evaluate_mot(tmp_path / "gt", tmp_path / "r", benchmark="MOT21")


def _square(number: int) -> tuple[int, int]:
    if number < 0:
        raise ValueError(f"number: got {number}, allowed: 0 or more")
    return number * number, os.getpid()


WAYS = [
    pytest.param({}, id="here"),
    pytest.param({"processes": 2}, id="processes"),
    pytest.param(
        {"processes": 2, "cluster": "local"},
        id="ray",
        marks=pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    ),
]


@pytest.mark.parametrize("options", WAYS)
def test_jobs_are_done_in_order_wherever(options: dict) -> None:
    with open_workers(**options) as workers:
        assert workers.count == options.get("processes", 1)
        results = list(workers.map(_square, range(6)))
        assert [value for value, _ in results] == [0, 1, 4, 9, 16, 25]
        assert (os.getpid() in {process for _, process in results}) == (not options)
        with pytest.raises(ValueError, match="number: got -1"):
            list(workers.map(_square, [1, -1]))


def test_workers_refuse(monkeypatch) -> None:
    with pytest.raises(ValueError, match="processes: got 0"), open_workers(0):
        pass
    with pytest.raises(ValueError, match="whose CPUs set the number"), open_workers(2, "ray://x:1"):
        pass
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match="Ray is missing"), open_workers(1, "local"):
        pass
