"""The two jobs a sequence makes: its detections with embeddings, and its tracks. Each runs here or elsewhere."""

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from reid.data.mot import read_ground_truth
from tracking.benchmark_data import SequenceWork
from tracking.benchmark_options import TRUTH
from tracking.blas_threads import one_blas_thread
from tracking.checkpoints import Checkpoint
from tracking.detection_cache import detect_sequence
from tracking.detectors import build_detector
from tracking.detectors.base import Detector, DetectorOptions
from tracking.embedding_cache import embed_detections
from tracking.ground_truth_copies import cut_detections
from tracking.motion_cache import camera_motions
from tracking.offline import OfflineOptions, refine
from tracking.progress_bar import progress_bar
from tracking.runner import TrackedSequence, track_sequence
from tracking.sources import SequenceDetections, read_source
from tracking.tracks import Tracker

MIN_VISIBILITY = 0.1  # of people whom the ground truth shows as detections
Sources = dict[str, SequenceDetections]  # label of a checkpoint, "" for none -> detections with its embeddings


@dataclass(frozen=True)
class PrepareJob:
    """Detections of one sequence, and their embeddings by each checkpoint.

    Attributes:
        work: The sequence.
        detector: Name of the detector; not looked at where the detections are in a file.
        options: Of the detector.
        checkpoints: Networks that embed the crops.
        min_confidence: Detections below, which no tracker looks at, are not embedded.
        columns: Detection columns of a .npy file, None where it tells them itself.
        cache: Folder of the caches.
        quiet: Shows no progress.
    """

    work: SequenceWork
    detector: str
    options: DetectorOptions
    checkpoints: tuple[Checkpoint, ...]
    min_confidence: float
    columns: int | None
    cache: Path
    quiet: bool = False


def prepare(job: PrepareJob) -> Sources:
    """Returns the detections under "", and with embeddings under the label of each checkpoint.

    Raises:
        ValueError: When a file or an image that is needed is missing or wrong.
    """
    work = job.work
    source = _detected(job)
    sources = {"": source}
    for checkpoint in job.checkpoints:
        if not work.sequence.images:
            raise ValueError(f"{work.sequence.folder}: no images to embed for {work.name}")
        wanted = source.above(job.min_confidence)
        with progress_bar(f"embed {work.name}", len(wanted.frame), job.quiet) as advance:
            sources[checkpoint.label] = embed_detections(
                wanted, work.sequence.images, checkpoint, checkpoint.identity, job.cache, advance, work.stamps
            )
    return sources


def _detected(job: PrepareJob) -> SequenceDetections:
    work, sequence = job.work, job.work.sequence
    if work.detections is not None:
        source = read_source(work.detections, work.name, work.whole, job.columns)
        whole = sequence.info.length == work.whole
        part = source if whole else cut_detections(source, work.first, work.first + sequence.info.length - 1)
    elif job.detector == TRUTH:
        part = truth_source(work, MIN_VISIBILITY if job.options.confidence is None else job.options.confidence)
    else:
        if not sequence.images:
            raise ValueError(f"{sequence.folder}: no images in which {job.detector} could look for people")
        detector = _detector(job.detector, job.options)
        with progress_bar(f"detect {work.name}", len(sequence.images), job.quiet) as advance:
            part = detect_sequence(
                work.name, sequence.images, sequence.info.length, detector, job.cache, work.stamps, advance
            )
    used = part.only(sequence.frames)
    left_out = len(part.frame) - len(used.frame)
    if part.skipped or left_out:
        counts = f"{part.skipped} detections without area and {left_out} in frames not used"
        print(f"note: {work.name}: {counts} are left out", file=sys.stderr)
    return used


@lru_cache(maxsize=1)
def _detector(name: str, options: DetectorOptions) -> Detector:
    return build_detector(name, options)  # loaded once a process, not once a sequence


def truth_source(work: SequenceWork, visibility: float) -> SequenceDetections:
    """Returns the boxes of people in the ground truth who count and are visible enough, of confidence 1.

    Args:
        work: Its sequence must have a ground truth.
        visibility: The least visible share of a box, 0..1.

    Raises:
        ValueError: When there is no ground truth.
    """
    rows = read_ground_truth(work.sequence.folder / "gt" / "gt.txt")
    keep = np.flatnonzero((rows.class_id == 1) & (rows.flag != 0) & (rows.visibility >= visibility))
    keep = keep[np.argsort(rows.frame[keep], kind="stable")]
    length = work.sequence.info.length
    return SequenceDetections(work.name, rows.frame[keep], rows.xywh[keep], np.ones(len(keep)), None, length)


@dataclass(frozen=True)
class TrackJob:
    """One tracker over one sequence.

    Attributes:
        title: For the progress.
        tracker: It is reset first.
        offline: What is done to its tracks afterwards.
        work: The sequence.
        detections: With the embeddings that the tracker needs.
        cache: Folder of the caches, where the camera's motion is kept.
        quiet: Shows no progress.
    """

    title: str
    tracker: Tracker
    offline: OfflineOptions
    work: SequenceWork
    detections: SequenceDetections
    cache: Path
    quiet: bool = False


def track(job: TrackJob) -> TrackedSequence:
    """Returns the tracks.

    Raises:
        ValueError: When the tracker or an offline step misses what it needs.
    """
    frames = job.work.sequence.frames.tolist()
    motions = _motions(job, frames) if getattr(job.tracker.options, "camera_motion", False) else None
    with progress_bar(f"{job.title} {job.work.name}", len(frames), job.quiet) as advance:
        tracked = track_sequence(job.tracker, job.detections, frames, progress=advance, motions=motions)
    with one_blas_thread():
        return refine(tracked, job.detections, job.offline)


def _motions(job: TrackJob, frames: list[int]) -> np.ndarray:
    work = job.work
    if not work.sequence.images:
        raise ValueError(f"{work.sequence.folder}: no images, which camera_motion needs")
    estimator = type(job.tracker).motion_estimator  # type: ignore[attr-defined]
    with progress_bar(f"camera {work.name}", len(frames), job.quiet) as advance:
        return camera_motions(work.name, work.sequence.images, frames, estimator, job.cache, work.stamps, advance)
