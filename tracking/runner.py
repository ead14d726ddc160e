"""One tracker over one sequence."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from reid.data.mot import write_results
from tracking.blas_threads import one_blas_thread
from tracking.boxes import xyxy_to_xywh
from tracking.images import read_frame
from tracking.sources import SequenceDetections
from tracking.tracks import Tracker, Tracks


@dataclass(frozen=True)
class TrackedSequence:
    """What a tracker returned: frame and track_id int64 (N,), xywh float64 (N, 4), confidence (N,).

    `detection` int64 (N,) is the row of the sequence's detections that each box met, -1 where it met none; `seconds` is
    the time inside update() alone, over `frames` frames.
    """

    frame: np.ndarray
    track_id: np.ndarray
    xywh: np.ndarray
    confidence: np.ndarray
    detection: np.ndarray
    seconds: float
    frames: int

    def only(self, rows: np.ndarray) -> "TrackedSequence":
        """Returns these boxes, by index or mask."""
        return replace(
            self,
            frame=self.frame[rows],
            track_id=self.track_id[rows],
            xywh=self.xywh[rows],
            confidence=self.confidence[rows],
            detection=self.detection[rows],
        )

    def with_boxes(
        self, frame: np.ndarray, track_id: np.ndarray, xywh: np.ndarray, confidence: np.ndarray, detection: np.ndarray
    ) -> "TrackedSequence":
        """Returns these boxes after its own; arrays as its own."""
        return replace(
            self,
            frame=np.concatenate([self.frame, frame]),
            track_id=np.concatenate([self.track_id, track_id]),
            xywh=np.concatenate([self.xywh, xywh]),
            confidence=np.concatenate([self.confidence, confidence]),
            detection=np.concatenate([self.detection, detection]),
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the MOT result file."""
        write_results(path, self.frame, self.track_id, self.xywh, self.confidence)


def track_sequence(
    tracker: Tracker,
    detections: SequenceDetections,
    frames: Iterable[int],
    images: Mapping[int, Path] | None = None,
    progress: Callable[[int], None] | None = None,
    motions: np.ndarray | None = None,
) -> TrackedSequence:
    """Runs a tracker, from its reset state, over the given frames, with one thread of BLAS.

    Args:
        tracker: Any tracker.
        detections: Of the sequence.
        frames: Ascending frame numbers, each once; the tracker sees them as consecutive, gaps in the numbers or not.
        images: Frame to image file, for trackers that look at the frame; None gives them no frame.
        progress: Called with the number of frames since the last call.
        motions: (F, 2, 3), the camera's motion at each frame, for trackers that would look for it in the images; these
            are not opened then.

    Raises:
        ValueError: When the frames do not ascend, or the motions are not one a frame.
    """
    tracker.reset()
    wanted = [(frame, detections.at(frame)) for frame in frames]
    for (earlier, _), (later, _) in pairwise(wanted):
        if later <= earlier:
            raise ValueError(f"frames: got {later} after {earlier}, allowed: ascending numbers, each once")
    if motions is not None and motions.shape != (len(wanted), 2, 3):
        raise ValueError(f"motions: got {motions.shape}, allowed: ({len(wanted)}, 2, 3), one a frame")
    outputs = []
    seconds = 0.0
    with one_blas_thread():
        for index, (frame, found) in enumerate(wanted):
            image = None
            if motions is not None:
                image = motions[index]
            elif images is not None:
                image = read_frame(images[frame])
            start = time.perf_counter()
            tracks = tracker.update(found, image)
            seconds += time.perf_counter() - start
            outputs.append(tracks)
            if progress is not None:
                progress(1)
    numbers = [np.full(len(tracks), frame) for (frame, _), tracks in zip(wanted, outputs)]
    xywh = xyxy_to_xywh(np.concatenate([np.empty((0, 4)), *(tracks.xyxy for tracks in outputs)]))
    met = [_detection_rows(tracks, detections, frame) for (frame, _), tracks in zip(wanted, outputs)]
    # A filter may shrink a box to nothing, and a box that rounds to no area makes a result file invalid.
    keep = np.all(xywh[:, 2:] >= 0.01, axis=1)
    return TrackedSequence(
        frame=np.concatenate([np.empty(0, np.int64), *numbers])[keep],
        track_id=np.concatenate([np.empty(0, np.int64), *(tracks.track_id for tracks in outputs)])[keep],
        xywh=xywh[keep],
        confidence=np.concatenate([np.empty(0), *(tracks.confidence for tracks in outputs)])[keep],
        detection=np.concatenate([np.empty(0, np.int64), *met])[keep],
        seconds=seconds,
        frames=len(wanted),
    )


def _detection_rows(tracks: Tracks, detections: SequenceDetections, frame: int) -> np.ndarray:
    """Returns which rows of the sequence's detections the tracks of a frame met, -1 for none."""
    if tracks.detection_index is None:
        return np.full(len(tracks), -1, np.int64)
    first = int(np.searchsorted(detections.frame, frame))
    return np.where(tracks.detection_index >= 0, tracks.detection_index + first, -1)
