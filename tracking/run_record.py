"""A tracker's run, kept so that it can be run again: the detections that it was given, and its options.

Trackers are deterministic. A run kept beside its result therefore holds every decision without a line of the tracker
writing anything while it runs.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reid.files import atomic_path
from tracking import TRACKERS, build_tracker
from tracking.decisions import DecisionLog, record_decisions
from tracking.offline import OfflineOptions, refine
from tracking.runner import TrackedSequence, track_sequence
from tracking.sources import SequenceDetections
from tracking.tracks import Tracker

SUFFIX = ".run.npz"  # behind the name of the sequence
_VERSION = 1


@dataclass(frozen=True)
class RunRecord:
    """One tracker over one sequence.

    Attributes:
        method: Its name in `tracking.TRACKERS`.
        options: Of the tracker.
        offline: What is done to its tracks afterwards.
        detections: What it was given, embeddings included.
        frames: int64 (F,), ascending, the frames that it saw.
    """

    method: str
    options: dict[str, Any]
    offline: OfflineOptions
    detections: SequenceDetections
    frames: np.ndarray

    @property
    def uses_looks(self) -> bool:
        """Whether the tracker compares embeddings."""
        return bool(self.options.get("appearance", False))

    @property
    def uses_images(self) -> bool:
        """Whether the tracker looks at the frames."""
        return bool(self.options.get("camera_motion", False))


def record_run(
    tracker: Tracker, offline: OfflineOptions, detections: SequenceDetections, frames: np.ndarray
) -> RunRecord:
    """Returns the record of a run with this tracker."""
    names = [name for name, kinds in TRACKERS.items() if kinds == (type(tracker), type(tracker.options))]
    return RunRecord(names[0], dict(vars(tracker.options)), offline, detections, np.asarray(frames, np.int64))


def run_again(
    run: RunRecord, images: Mapping[int, Path] | None = None, log: bool = False
) -> tuple[TrackedSequence, DecisionLog | None]:
    """Tracks the detections of a run once more.

    Args:
        run: The run.
        images: Frame to image, for trackers that look at them.
        log: Whether decisions are logged.

    Returns:
        The tracks after the offline steps, and the log.

    Raises:
        ValueError: When an option is unknown, or images are needed and missing.
    """
    if run.uses_images and not images:
        raise ValueError(f"{run.detections.name}: no images, which camera_motion needs")
    tracker = build_tracker(run.method, **run.options)
    frames = run.frames.tolist()
    decisions, progress = record_decisions(tracker, frames) if log else (None, None)
    tracked = track_sequence(tracker, run.detections, frames, images if run.uses_images else None, progress)
    return refine(tracked, run.detections, run.offline), decisions


def with_detections(run: RunRecord, detections: SequenceDetections) -> RunRecord:
    """Returns a run of the same tracker on other detections."""
    return replace(run, detections=detections)


def write_run(path: str | os.PathLike[str], run: RunRecord) -> None:
    """Writes a run, whole or not at all.

    Args:
        path: Ends with `SUFFIX`, beside the result.
        run: The run.
    """
    source = run.detections
    offline = {key: str(value) if isinstance(value, Path) else value for key, value in vars(run.offline).items()}
    facts = {"method": run.method, "options": run.options, "offline": offline, "name": source.name}
    numbers = {"length": source.length, "skipped": source.skipped, "version": _VERSION}
    arrays = {"frame": source.frame, "xywh": source.xywh, "confidence": source.confidence, "frames": run.frames}
    if source.embeddings is not None:
        arrays["embeddings"] = source.embeddings
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, about=np.array(json.dumps({**facts, **numbers})), **arrays)  # type: ignore[arg-type]


def read_run(path: str | os.PathLike[str]) -> RunRecord:
    """Reads what `write_run` wrote.

    Raises:
        ValueError: When the file is damaged or none of these.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            if about["version"] != _VERSION:
                raise ValueError(f"version {about['version']}, allowed: {_VERSION}")
            offline = about["offline"]
            weights = offline["aflink_weights"]
            options = OfflineOptions(**{**offline, "aflink_weights": None if weights is None else Path(weights)})
            source = SequenceDetections(
                about["name"],
                file["frame"],
                file["xywh"],
                file["confidence"],
                file["embeddings"] if "embeddings" in file else None,
                about["length"],
                about["skipped"],
            )
            return RunRecord(about["method"], about["options"], options, source, file["frames"])
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable run ({error}); track again with --log-costs") from error
