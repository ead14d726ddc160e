"""Time to score MOT results: `evaluate_mot` against TrackEval's own call on the same files, which must agree.

python benchmarks/mot_evaluation.py --gt MOT16/train [--results FOLDER]
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # imports start at the repository root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import trackeval

from reid.data.mot import read_ground_truth, write_results
from reid.records import hardware
from tracking.evaluation import evaluate_mot
from tracking.sequences import find_sequences

COMPARED = {"HOTA": ("HOTA", "DetA", "AssA"), "CLEAR": ("MOTA", "IDSW", "Frag"), "Identity": ("IDF1",)}


def main() -> None:
    """Prints a markdown table: the median of the repeats, which take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gt", type=Path, required=True, help="folder of sequence folders with gt/gt.txt")
    parser.add_argument("--results", type=Path, help="folder of results; left out, the ground truth is disturbed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the disturbances")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Runs all ways of scoring in turn and prints the table."""
    results = arguments.results or disturbed_results(arguments.gt, folder / "results", arguments.seed)
    names = sorted(path.stem for path in results.glob("*.txt"))
    (folder / "layout" / "tracker").mkdir(parents=True)
    (folder / "layout" / "tracker" / "data").symlink_to(results.resolve())
    many = arguments.processes
    ways: dict[str, Callable[[], Any]] = {
        "TrackEval": lambda: run_trackeval(arguments.gt, folder / "layout", names, 1),
        f"TrackEval, {many} processes": lambda: run_trackeval(arguments.gt, folder / "layout", names, many),
        "evaluate_mot": lambda: run_ours(arguments.gt, results, 1),
        f"evaluate_mot, {many} processes": lambda: run_ours(arguments.gt, results, many),
    }
    walls: dict[str, list[float]] = {name: [] for name in ways}
    processors: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    scores = {}
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), processor_seconds()
            scores[name] = way()
            walls[name].append(time.perf_counter() - wall)
            processors[name].append(processor_seconds() - processor)
    for name, value in scores.items():
        if value != scores["TrackEval"]:
            raise SystemExit(f"{name} scores otherwise than TrackEval: {value} {scores['TrackEval']}")
    rows = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in results.glob("*.txt"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{len(names)} sequences, {rows:,} boxes of results, {hardware()}, {cores} of them for this run\n")
    print("| | wall s | times TrackEval's | processor s, own + of its processes | times TrackEval's |")
    print("|---|---|---|---|---|")
    base, base_processor = np.median(walls["TrackEval"]), np.median(processors["TrackEval"], axis=0).sum()
    for name in ways:
        wall, (own, children) = np.median(walls[name]), np.median(processors[name], axis=0)
        share = (own + children) / base_processor
        print(f"| {name} | {wall:.2f} | {wall / base:.2f} | {own:.2f} + {children:.2f} | {share:.2f} |")


def disturbed_results(gt: Path, out: Path, seed: int) -> Path:
    """Writes results made of the ground truth: a quarter missed, boxes moved, some false, identities that change."""
    rng = np.random.default_rng(seed)
    for name, sequence in find_sequences(gt).items():
        rows = read_ground_truth(sequence / "gt" / "gt.txt")
        keep = (rng.random(len(rows.frame)) < 0.75) & ((rows.class_id == 1) | (rng.random(len(rows.frame)) < 0.2))
        xywh = np.maximum(rows.xywh + rng.normal(0, 0.06, rows.xywh.shape) * rows.xywh[:, [2, 3, 2, 3]], 1)
        track_id = rows.track_id + 1000 * (rows.frame // 60 % 2) * (rows.track_id % 2)
        confidence = rng.random(int(keep.sum()))
        write_results(out / f"{name}.txt", rows.frame[keep], track_id[keep], xywh[keep], confidence)
    return out


def run_ours(gt: Path, results: Path, processes: int) -> dict[str, float]:
    """Returns the combined scores that are compared."""
    combined = evaluate_mot(gt, results, processes=processes)["COMBINED"]
    return {key: float(combined[key]) for keys in COMPARED.values() for key in keys}


def run_trackeval(gt: Path, layout: Path, names: list[str], processes: int) -> dict[str, float]:
    """Returns the same from TrackEval's own evaluator, which writes and prints nothing here."""
    quiet = {"PRINT_RESULTS": False, "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False, "PLOT_CURVES": False}
    parallel = {"USE_PARALLEL": processes > 1, "NUM_PARALLEL_CORES": processes}
    paths = {"GT_FOLDER": str(gt), "TRACKERS_FOLDER": str(layout), "SKIP_SPLIT_FOL": True}
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.MotChallenge2DBox({**paths, "SEQ_INFO": dict.fromkeys(names)})
        evaluator = trackeval.Evaluator({**quiet, **parallel, "LOG_ON_ERROR": None, "TIME_PROGRESS": False})
        metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(), trackeval.metrics.Identity()]
        output, _ = evaluator.evaluate([dataset], metrics)
    combined = output["MotChallenge2DBox"]["tracker"]["COMBINED_SEQ"]["pedestrian"]
    return {key: float(np.mean(combined[metric][key])) for metric, keys in COMPARED.items() for key in keys}


def processor_seconds() -> np.ndarray:
    """Returns the processor time of this process, and of those that it started and that have ended."""
    times = os.times()
    return np.array([times.user + times.system, times.children_user + times.children_system])


if __name__ == "__main__":
    main()
