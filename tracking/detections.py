"""The detections of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def checked_array(name: str, value: Any, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    """Returns `value` as an array of `dtype` and `shape` (None is any size) without NaN or infinity.

    Raises:
        ValueError: With the name, what was given, and what is allowed.
    """
    array: np.ndarray = np.asarray(value, dtype=dtype)
    allowed = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
    if array.ndim != len(shape) or any(want is not None and got != want for got, want in zip(array.shape, shape)):
        raise ValueError(f"{name}: got shape {array.shape}, allowed: {allowed}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        rows = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))
        raise ValueError(
            f"{name}: got NaN or infinity in {len(rows)} rows, first row {rows[0]}; allowed: finite numbers"
        )
    return array


@dataclass(frozen=True)
class Detections:
    """The boxes that a detector found in one frame.

    Attributes:
        xyxy: float32 (N, 4), left, top, right, bottom in pixels. Boxes without area are allowed here and left out by
            the trackers; `with_area` counts them.
        confidence: float32 (N,), as the detector gives it; 0..1 is expected.
        class_id: int64 (N,).
        embeddings: float32 (N, D), one appearance vector a box, or None.

    Raises:
        ValueError: When the shapes do not fit each other, or a value is NaN or infinite.
    """

    xyxy: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    embeddings: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.xyxy)
        fields = {
            "xyxy": checked_array("xyxy", self.xyxy, np.float32, (None, 4)),
            "confidence": checked_array("confidence", self.confidence, np.float32, (count,)),
            "class_id": checked_array("class_id", self.class_id, np.int64, (count,)),
        }
        if self.embeddings is not None:
            fields["embeddings"] = checked_array("embeddings", self.embeddings, np.float32, (count, None))
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def empty(cls, embedding_size: int | None = None) -> Detections:
        """Returns the detections of a frame in which there are none."""
        embeddings = None if embedding_size is None else np.empty((0, embedding_size), np.float32)
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), embeddings)

    @classmethod
    def from_xyxy(cls, xyxy: Any, confidence: Any = None, embeddings: Any = None) -> Detections:
        """Returns detections of class 0, of confidence 1 where none is given."""
        xyxy = np.asarray(xyxy, np.float32).reshape(-1, 4)
        confidence = np.ones(len(xyxy)) if confidence is None else confidence
        return cls(xyxy, confidence, np.zeros(len(xyxy), np.int64), embeddings)

    @classmethod
    def from_raw(cls, xyxy: Any, confidence: Any = None, embeddings: Any = None) -> tuple[Detections, int]:
        """Returns the usable ones of detections that may hold NaN or infinity, of class 0, and how many were left out.

        A box or a confidence that is not finite, or a box without area, leaves its detection out. An embedding that is
        not finite becomes zeros: nothing is known of that look, and trackers go by overlap and motion there.

        Args:
            xyxy: (N, 4).
            confidence: (N,); None is 1 for all.
            embeddings: (N, D) or None.

        Raises:
            ValueError: When the shapes do not fit each other.
        """
        with np.errstate(over="ignore"):  # numbers too large for float32 become infinite, which is left out below
            boxes = np.asarray(xyxy, np.float32).reshape(-1, 4)
            certain = np.ones(len(boxes), np.float32) if confidence is None else np.asarray(confidence, np.float32)
            looks = None if embeddings is None else np.array(embeddings, np.float32)
        for name, value in (("confidence", certain), ("embeddings", looks)):
            if value is not None and len(value) != len(boxes):
                raise ValueError(f"{name}: got {len(value)} rows, allowed: {len(boxes)}, one a box")
        with np.errstate(over="ignore", invalid="ignore"):
            size = boxes[:, 2:] - boxes[:, :2]
            keep = np.isfinite(boxes).all(1) & np.isfinite(size).all(1) & (size > 0).all(1) & np.isfinite(certain)
        if looks is not None:
            looks[~np.isfinite(looks).all(1)] = 0
            looks = looks[keep]
        return cls.from_xyxy(boxes[keep], certain[keep], looks), int((~keep).sum())

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, index: Any) -> Detections:
        """Returns the detections that a mask, a slice or an index array selects."""
        chosen = object.__new__(Detections)  # the rows were checked when they came in
        for name in ("xyxy", "confidence", "class_id"):
            object.__setattr__(chosen, name, getattr(self, name)[index])
        object.__setattr__(chosen, "embeddings", None if self.embeddings is None else self.embeddings[index])
        return chosen

    def with_area(self) -> tuple[Detections, int]:
        """Returns the detections of positive width and height, and how many were dropped."""
        keep = (self.xyxy[:, 2:] > self.xyxy[:, :2]).all(1)
        dropped = len(self) - int(keep.sum())
        return (self, 0) if dropped == 0 else (self[keep], dropped)

    @classmethod
    def from_supervision(cls, detections: Any) -> Detections:
        """Converts `supervision.Detections`; embeddings are taken from its `data["embeddings"]`."""
        count = len(detections.xyxy)
        confidence = np.ones(count) if detections.confidence is None else detections.confidence
        class_id = np.zeros(count, np.int64) if detections.class_id is None else detections.class_id
        return cls(detections.xyxy, confidence, class_id, detections.data.get("embeddings"))

    def to_supervision(self) -> Any:
        """Returns `supervision.Detections`, the embeddings in its `data["embeddings"]`."""
        import supervision

        data: dict[str, Any] = {} if self.embeddings is None else {"embeddings": self.embeddings}
        return supervision.Detections(
            xyxy=self.xyxy, confidence=self.confidence, class_id=self.class_id.astype(int), data=data
        )
