"""`evaluate_mot` gives what TrackEval's own call gives, field by field."""

import contextlib
import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trackeval

from reid.data.mot import read_results, write_results
from tracking import build_tracker
from tracking.evaluation import evaluate_mot
from tracking.runner import track_sequence
from tracking.sequences import read_sequence
from tracking.sources import deepsort_npy_source
from tracking.trackeval_scores import COUNTS, RATIOS, ScoreTask, score_tasks

Make = Callable[..., None]
Run = Callable[..., subprocess.CompletedProcess[str]]


def trackeval_scores(gt: Path, results: Path, names: list[str], benchmark: str) -> dict[str, dict[str, float]]:
    """TrackEval's own evaluator over the same files, with everything at its default but paths and printing."""
    folder = results.parent / f"{results.name}-layout" / "tracker"
    folder.mkdir(parents=True)
    (folder / "data").symlink_to(results)
    quiet = {"PRINT_RESULTS": False, "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False, "PLOT_CURVES": False}
    layout = {"GT_FOLDER": str(gt), "TRACKERS_FOLDER": str(folder.parent), "SKIP_SPLIT_FOL": True}
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.MotChallenge2DBox(
            {**layout, "SEQ_INFO": dict.fromkeys(names), "BENCHMARK": benchmark}
        )
        evaluator = trackeval.Evaluator({**quiet, "LOG_ON_ERROR": None, "TIME_PROGRESS": False})
        metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(), trackeval.metrics.Identity()]
        output, _ = evaluator.evaluate([dataset], metrics)
    scores = {}
    for name, classes in output["MotChallenge2DBox"]["tracker"].items():
        fields = {
            key: value
            for metric in ("HOTA", "CLEAR", "Identity")
            for key, value in classes["pedestrian"][metric].items()
        }
        scores["COMBINED" if name == "COMBINED_SEQ" else name] = {
            key: float(np.mean(fields[key])) for key in (*RATIOS, *COUNTS)
        }
    return scores


def assert_same(gt: Path, results: Path, benchmark: str = "MOT16", processes: int = 1) -> dict[str, dict[str, float]]:
    evaluation = evaluate_mot(gt, results, benchmark=benchmark, processes=processes)
    names = [path.stem for path in sorted(results.glob("*.txt"))]
    theirs = trackeval_scores(gt, results, names, benchmark)
    ours = {**evaluation["sequences"], "COMBINED": evaluation["COMBINED"]}
    assert ours == theirs
    return theirs


@pytest.mark.parametrize("benchmark", ["MOT15", "MOT16", "MOT20"])
def test_random_sequences(benchmark: str, tmp_path: Path, disturb: Make, random_sequence: Make) -> None:
    rng = np.random.default_rng(7)
    gt, results = tmp_path / "gt", tmp_path / "results"
    results.mkdir()
    for name, separator in (("A", ","), ("B", " "), ("C", ",")):
        random_sequence(gt / name, rng, benchmark == "MOT15")
        disturb(gt / name / "gt" / "gt.txt", results / f"{name}.txt", rng, separator)
    (results / "C.txt").write_text("")
    scores = assert_same(gt, results, benchmark, processes=2 if benchmark == "MOT16" else 1)
    assert 0.2 < scores["COMBINED"]["HOTA"] < 0.8 and scores["COMBINED"]["IDSW"] > 0 and scores["C"]["CLR_TP"] == 0


def test_rules_of_the_benchmarks_differ(tmp_path: Path, disturb: Make, random_sequence: Make) -> None:
    rng = np.random.default_rng(7)
    random_sequence(tmp_path / "gt" / "A", rng)
    results = tmp_path / "results"
    results.mkdir()
    disturb(tmp_path / "gt" / "A" / "gt" / "gt.txt", results / "A.txt", rng)
    false = {
        name: evaluate_mot(tmp_path / "gt", results, benchmark=name)["COMBINED"]["CLR_FP"]
        for name in ("MOT17", "MOT20")
    }
    assert false["MOT20"] < false["MOT17"]
    with pytest.raises(ValueError, match="processes: got 0"):
        evaluate_mot(tmp_path / "gt", results, processes=0)


def test_what_trackeval_stumbles_over_is_scored(tmp_path: Path, disturb: Make, random_sequence: Make) -> None:
    """Blank lines, mixed separators and identities of 40 bits; TrackEval aborts, or asks for terabytes."""
    rng = np.random.default_rng(7)
    random_sequence(tmp_path / "gt" / "A", rng)
    truth = tmp_path / "gt" / "A" / "gt" / "gt.txt"
    for name in ("plain", "odd"):
        (tmp_path / name).mkdir()
    disturb(truth, tmp_path / "plain" / "A.txt", rng)
    expected = evaluate_mot(tmp_path / "gt", tmp_path / "plain")["COMBINED"]
    rows = read_results(tmp_path / "plain" / "A.txt")
    write_results(tmp_path / "odd" / "A.txt", rows.frame, rows.track_id + 2**40, rows.xywh, rows.confidence)
    lines = truth.read_text().split("\n")
    truth.write_text("\n\n".join([lines[0].replace(",", " "), *lines[1:]]))
    assert evaluate_mot(tmp_path / "gt", tmp_path / "odd")["COMBINED"] == expected


def test_results_in_memory_score_as_files_do(tmp_path: Path, disturb: Make, random_sequence: Make) -> None:
    rng = np.random.default_rng(7)
    random_sequence(tmp_path / "gt" / "A", rng)
    disturb(tmp_path / "gt" / "A" / "gt" / "gt.txt", tmp_path / "A.txt", rng)
    sequence = read_sequence(tmp_path / "gt" / "A")
    file, rows = (
        score_tasks({"A": ScoreTask("A", sequence, result)})["COMBINED"]["HOTA"]["HOTA"]
        for result in (tmp_path / "A.txt", read_results(tmp_path / "A.txt"))
    )
    np.testing.assert_array_equal(file, rows)


@pytest.mark.real_data
def test_a_real_deepsort_result(shared_data: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    text = (shared_data / "tracker-results" / "MOT16-05-deepsort-baseline.txt").read_text()
    (results / "MOT16-05.txt").write_text(text)
    assert assert_same(shared_data / "mot16" / "train", results)["COMBINED"]["IDSW"] > 0


@pytest.mark.real_data
def test_real_detections_tracked(shared_data: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    for number in ("05", "09"):
        source = deepsort_npy_source(shared_data / "deepsort-features" / f"MOT17-{number}-FRCNN.npy")
        tracked = track_sequence(build_tracker("sort"), source, range(1, source.length + 1))
        tracked.write(results / f"MOT16-{number}.txt")
    assert 0.3 < assert_same(shared_data / "mot16" / "train", results)["COMBINED"]["HOTA"] < 0.8


@pytest.mark.real_data
def test_frames_without_an_image_do_not_count(shared_data: Path, tmp_path: Path, disturb: Make) -> None:
    """TrackEval knows no images, so its own call gets results that end where the images do."""
    gt, results, cut = shared_data / "mot17-mini" / "train", tmp_path / "results", tmp_path / "cut"
    rng = np.random.default_rng(0)
    for folder in sorted(gt.iterdir()):
        path = results / f"{folder.name}.txt"
        disturb(folder / "gt" / "gt.txt", path, rng)
        rows = read_results(path)
        write_results(cut / path.name, rows.frame, rows.track_id, rows.xywh, rows.confidence)
        path.write_text(path.read_text() + "50,1,10,10,40,100,1,-1,-1,-1\n")
    theirs = assert_same(gt, cut)
    assert evaluate_mot(gt, results)["COMBINED"] == theirs["COMBINED"]


@pytest.mark.slow
@pytest.mark.real_data
def test_all_seven_sequences_of_mot16(shared_data: Path, tmp_path: Path, disturb: Make) -> None:
    gt, results = shared_data / "mot16" / "train", tmp_path / "results"
    rng = np.random.default_rng(0)
    for folder in sorted(gt.iterdir()):
        disturb(folder / "gt" / "gt.txt", results / f"{folder.name}.txt", rng)
    assert len(assert_same(gt, results, processes=2)) == 8


def test_the_benchmark_of_speed(tmp_path: Path, run_python: Run, random_sequence: Make) -> None:
    rng = np.random.default_rng(7)
    for name in ("A", "B"):
        random_sequence(tmp_path / "gt" / name, rng)
    done = run_python("benchmarks/mot_evaluation.py", "--gt", tmp_path / "gt", "--repeats", 1)
    assert "2 sequences" in done.stdout and "| evaluate_mot, 2 processes | " in done.stdout
