"""Trials of tracker options: each is tracked and scored on the sequences that are tuned on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.mot import MotResults
from tracking import TRACKERS
from tracking.array_cache import digest
from tracking.benchmark_data import SequenceWork
from tracking.benchmark_jobs import TrackJob, track
from tracking.benchmark_runs import Run
from tracking.runner import TrackedSequence
from tracking.sequences import Sequence
from tracking.sources import SequenceDetections
from tracking.trackeval_scores import ScoreTask, flatten, score_tasks, truth_file
from tracking.tune_options import MEAN_OF
from tracking.workers import Workers

Scores = dict[str, dict[str, float]]  # sequence, and "COMBINED" -> metric -> number


@dataclass(frozen=True)
class Subject:
    """A sequence to track and score.

    Attributes:
        work: Its frames and images.
        truth: Its ground truth's folder.
        detections: What the tracker is given.
    """

    work: SequenceWork
    truth: Sequence
    detections: SequenceDetections


@dataclass(frozen=True)
class Bench:
    """Tracks and scores with any options of one tracker.

    Attributes:
        run: The tracker as it is by default.
        form: Preprocessing by TrackEval, as `tracking.evaluation.evaluate_mot` takes it.
        cache: Folder of the caches.
        workers: Where sequences are tracked.
        processes: Over which scoring is spread.
    """

    run: Run
    form: str
    cache: Path
    workers: Workers
    processes: int = 1

    def options(self, params: Mapping[str, Any]) -> Any:
        """Returns the tracker's options with some of them changed."""
        return replace(self.run.tracker.options, **params)

    def score(self, params: Mapping[str, Any], subjects: Mapping[str, Subject]) -> Scores:
        """Returns the scores of each sequence and of all together."""
        tracker = TRACKERS[self.run.method][0](self.options(params))
        quiet = True  # a bar of the trials is shown already
        jobs = [
            TrackJob(self.run.label, tracker, self.run.offline, subject.work, subject.detections, self.cache, quiet)
            for subject in subjects.values()
        ]
        tracked = dict(zip(subjects, self.workers.map(track, jobs)))
        tasks = {
            name: ScoreTask(name, subjects[name].truth, as_written(result), self.form)
            for name, result in tracked.items()
        }
        return {name: flatten(raw) for name, raw in score_tasks(tasks, self.processes).items()}


def as_written(tracked: TrackedSequence) -> MotResults:
    """Returns the tracks as a result file would hold them, rounded as there."""
    count = len(tracked.frame)
    xywh, confidence = np.round(tracked.xywh, 2), np.round(tracked.confidence, 4)
    line, kind = np.arange(1, count + 1), np.full(count, -1)
    return MotResults(tracked.frame, tracked.track_id, xywh, confidence, kind, line)


def objective_value(scores: Mapping[str, Mapping[str, float]], objective: str) -> float:
    """Returns what is made as high as possible, a ratio."""
    combined = scores["COMBINED"]
    if objective == "mean":
        return sum(combined[name] for name in MEAN_OF) / len(MEAN_OF)
    return combined[objective]


def data_fingerprint(subjects: Mapping[str, Subject]) -> str:
    """Returns 64 hexadecimal digits that change with the detections, the embeddings or the ground truth."""
    parts: list[str | bytes] = []
    for name, subject in sorted(subjects.items()):
        found = subject.detections
        arrays = [found.frame, found.xywh, found.confidence, subject.work.sequence.frames]
        if found.embeddings is not None:
            arrays.append(found.embeddings)
        parts += [name, truth_file(subject.truth).read_bytes()]
        parts += [np.ascontiguousarray(array).tobytes() for array in arrays]
    return digest(parts)


Evaluate = Callable[[Mapping[str, Any]], Scores]
