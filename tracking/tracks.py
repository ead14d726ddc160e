"""The tracks of one frame, as a tracker returns them, and the trackers' common face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tracking.detections import Detections, checked_array


@dataclass(frozen=True)
class Tracks:
    """The people whom a tracker sees in one frame.

    Attributes:
        xyxy: float32 (N, 4), left, top, right, bottom in pixels.
        track_id: int64 (N,), from 1, unique in a frame.
        confidence: float32 (N,), of the detection that each track met last.
        class_id: int64 (N,).
        detection_index: int64 (N,), which of the frame's detections each track met, -1 where it met none. None where
            that is not known.
    """

    xyxy: np.ndarray
    track_id: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    detection_index: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.xyxy)
        object.__setattr__(self, "xyxy", checked_array("xyxy", self.xyxy, np.float32, (None, 4)))
        object.__setattr__(self, "track_id", checked_array("track_id", self.track_id, np.int64, (count,)))
        object.__setattr__(self, "confidence", checked_array("confidence", self.confidence, np.float32, (count,)))
        object.__setattr__(self, "class_id", checked_array("class_id", self.class_id, np.int64, (count,)))
        if self.detection_index is not None:
            index = checked_array("detection_index", self.detection_index, np.int64, (count,))
            object.__setattr__(self, "detection_index", index)

    def __len__(self) -> int:
        return len(self.xyxy)

    @classmethod
    def from_supervision(cls, detections: Any) -> Tracks:
        """Converts `supervision.Detections` that carry a tracker_id."""
        if detections.tracker_id is None:
            raise ValueError("tracker_id: got None, allowed: int (N,)")
        count = len(detections.xyxy)
        confidence = np.ones(count) if detections.confidence is None else detections.confidence
        class_id = np.zeros(count, np.int64) if detections.class_id is None else detections.class_id
        return cls(detections.xyxy, detections.tracker_id, confidence, class_id)

    def to_supervision(self) -> Any:
        """Returns `supervision.Detections` with tracker_id."""
        import supervision

        return supervision.Detections(
            xyxy=self.xyxy,
            confidence=self.confidence,
            class_id=self.class_id.astype(int),
            tracker_id=self.track_id.astype(int),
        )


class Tracker(Protocol):
    """What every tracker offers; `options` is its frozen dataclass of options, `decisions` a log, or None."""

    options: Any
    decisions: Any

    def update(self, detections: Detections, frame: np.ndarray | None = None) -> Tracks:
        """Takes the detections of the next frame, and its uint8 RGB image (H, W, 3) where the tracker uses it."""

    def reset(self) -> None:
        """Forgets all tracks; the next identity is 1 again."""
