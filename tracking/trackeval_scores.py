"""TrackEval on arrays: its own preprocessing and metrics, without its files, folders and printing."""

import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.mot import MotGroundTruth, MotResults
from tracking.blas_threads import one_blas_thread
from tracking.mot_check import check_ground_truth, check_results, is_mot15
from tracking.sequences import Sequence

# TrackEval's spelling. Ratios are in 0..1; the others are counts.
RATIOS = (
    *("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA"),
    *("MOTA", "MOTP", "MODA", "sMOTA", "CLR_Re", "CLR_Pr", "MTR", "PTR", "MLR"),
    *("IDF1", "IDR", "IDP"),
)
BENCHMARKS = ("MOT15", "MOT16", "MOT17", "MOT20")
COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "MT", "PT", "ML", "Frag", "IDTP", "IDFN", "IDFP")
METRICS = ("HOTA", "CLEAR", "Identity")
_CLASS = "pedestrian"
Raw = dict[str, dict[str, Any]]  # metric -> field -> number or array


@dataclass(frozen=True)
class ScoreTask:
    """One result against one ground truth.

    Attributes:
        name: Of the sequence.
        sequence: The ground truth's folder.
        result: The result file, or the result itself.
        benchmark: One of `BENCHMARKS`; in MOT20 boxes on vehicles are dropped too. MOT15 is told by its ten columns.
    """

    name: str
    sequence: Sequence
    result: Path | MotResults
    benchmark: str = "MOT16"


def score_tasks(tasks: Mapping[str, ScoreTask], processes: int = 1) -> dict[str, Raw]:
    """Returns TrackEval's raw metrics of each sequence, and over all of them under "COMBINED".

    Args:
        tasks: Name to what is scored.
        processes: Over which the sequences are spread; the scores are the same.

    Raises:
        ValueError: When a file cannot be scored, with file, line, and what to do; when forms of ground truth that are
            scored in different ways are mixed.
    """
    if processes < 1:
        raise ValueError(f"processes: got {processes}, allowed: 1 or more")
    mot15 = {name for name, task in tasks.items() if is_mot15(truth_file(task.sequence))}
    if mot15 and len(mot15) < len(tasks):
        raise ValueError("ground truth: got MOT15 (10 columns) and later forms (9 columns); score them apart")
    raw = _score_all(tasks, processes)
    combined = {}
    for metric, name in zip(_metrics(), METRICS):
        combined[name] = metric.combine_sequences({key: raw[key][name] for key in sorted(raw)})
    return {**raw, "COMBINED": combined}


def truth_file(sequence: Sequence) -> Path:
    """Returns where a sequence's ground truth lies."""
    return sequence.folder / "gt" / "gt.txt"


def read_scored_truth(sequence: Sequence) -> MotGroundTruth:
    """Returns the checked ground truth of the frames that are scored.

    Raises:
        ValueError: As `tracking.mot_check.check_ground_truth`.
    """
    truth = check_ground_truth(truth_file(sequence), sequence.info.length)
    keep = np.isin(truth.frame, sequence.frames)
    return truth if keep.all() else MotGroundTruth(**{name: value[keep] for name, value in vars(truth).items()})


def read_scored_result(path: Path, sequence: Sequence) -> MotResults:
    """Returns the checked result in the frames that are scored.

    Raises:
        ValueError: As `tracking.mot_check.check_results`.
    """
    rows = check_results(path, sequence.info.length)
    keep = np.isin(rows.frame, sequence.frames)
    return rows if keep.all() else MotResults(**{name: value[keep] for name, value in vars(rows).items()})


def _score_all(tasks: Mapping[str, ScoreTask], processes: int) -> dict[str, Raw]:
    if processes == 1 or len(tasks) < 2:
        with one_blas_thread():
            return {name: score_task(task) for name, task in tasks.items()}
    # The largest first: a long sequence that begins last would run alone.
    order = sorted(tasks, key=lambda name: truth_file(tasks[name].sequence).stat().st_size, reverse=True)
    workers = min(processes, len(tasks))
    with ProcessPoolExecutor(workers, mp_context=_context(), initializer=_one_thread) as pool:
        futures = {name: pool.submit(score_task, tasks[name]) for name in order}
        return {name: futures[name].result() for name in tasks}


def _one_thread() -> None:
    """Bounds BLAS for the life of a process."""
    one_blas_thread()


def _context() -> BaseContext:
    """Returns how processes are started: forked on Linux, as TrackEval's own are.

    A new interpreter imports NumPy and SciPy for longer than a sequence takes to score, and the forked one needs no
    thread and no GPU of its parent.
    """
    return get_context("fork" if sys.platform == "linux" else "spawn")


def score_task(task: ScoreTask) -> Raw:
    """Returns TrackEval's raw metrics of one sequence.

    Raises:
        ValueError: When a file is wrong, or TrackEval refuses what the checks let through.
    """
    from trackeval.eval import eval_sequence
    from trackeval.utils import TrackEvalException

    sequence = task.sequence
    rows = read_scored_result(task.result, sequence) if isinstance(task.result, Path) else task.result
    dataset = _dataset(task, read_scored_truth(sequence), rows)
    try:
        scores = eval_sequence(task.name, dataset, "tracker", [_CLASS], _metrics(), list(METRICS))
    except TrackEvalException as error:
        raise ValueError(f"{task.result}: TrackEval refuses it: {error}") from error
    raw: Raw = scores[_CLASS]
    return raw


def _metrics() -> list[Any]:
    import trackeval

    silent = {"PRINT_CONFIG": False}
    return [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(silent), trackeval.metrics.Identity(silent)]


def _dataset(task: ScoreTask, truth: MotGroundTruth, rows: MotResults) -> Any:
    """Returns TrackEval's MOTChallenge dataset of one sequence, whose files were read already."""
    import trackeval

    length = task.sequence.info.length

    class ArrayDataset(trackeval.datasets.MotChallenge2DBox):
        """Gives TrackEval the rows; what it makes of them is its own."""

        def _load_raw_file(self, tracker: str, seq: str, is_gt: bool) -> dict[str, Any]:
            return _truth_by_frame(truth, length) if is_gt else _result_by_frame(rows, length, seq)

    path = truth_file(task.sequence)
    return ArrayDataset(
        {
            "GT_LOC_FORMAT": str(path).replace("{", "{{").replace("}", "}}"),
            "TRACKERS_TO_EVAL": [],  # whose files it would look for
            "SEQ_INFO": {task.name: length},
            "BENCHMARK": "MOT15" if is_mot15(path) else task.benchmark,
            "PRINT_CONFIG": False,
        }
    )


def _truth_by_frame(truth: MotGroundTruth, length: int) -> dict[str, Any]:
    order, cuts = _by_frame(truth.frame, length)
    flags = np.split(truth.flag[order], cuts)
    return {
        "gt_ids": np.split(_ranks(truth.track_id)[order], cuts),
        "gt_classes": np.split(truth.class_id[order], cuts),
        "gt_dets": np.split(truth.xywh[order], cuts),
        "gt_extras": [{"zero_marked": flag} for flag in flags],
        "gt_crowd_ignore_regions": [np.empty((0, 4))] * length,
    }


def _result_by_frame(rows: MotResults, length: int, name: str) -> dict[str, Any]:
    order, cuts = _by_frame(rows.frame, length)
    return {
        "tracker_ids": np.split(_ranks(rows.track_id)[order], cuts),
        "tracker_classes": np.split(np.ones(len(order), int), cuts),  # the check lets nobody else through
        "tracker_dets": np.split(rows.xywh[order], cuts),
        "tracker_confidences": np.split(rows.confidence[order], cuts),
        "num_timesteps": length,
        "seq": name,
    }


def _by_frame(frame: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the order of the rows by frame, else as in the file, and where the frames 2 to `length` begin."""
    order = np.argsort(frame, kind="stable")
    return order, np.searchsorted(frame[order], np.arange(2, length + 1))


def _ranks(track_id: np.ndarray) -> np.ndarray:
    """Returns the identities numbered from 0 in their order.

    TrackEval does so later, with an array as long as the largest number is: 17 GB for one of 32 bits.
    """
    ranks: np.ndarray = np.unique(track_id, return_inverse=True)[1]
    return ranks


def flatten(raw: Raw) -> dict[str, float]:
    """Returns one number a metric; HOTA's are means over its 19 localisation thresholds, as everyone reports them."""
    fields = {key: value for metric in METRICS for key, value in raw[metric].items()}
    scores: dict[str, float] = {key: float(np.mean(fields[key])) for key in RATIOS}
    scores.update({key: int(fields[key]) for key in COUNTS})
    return scores
