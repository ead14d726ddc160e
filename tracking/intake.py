"""Which detections of a frame take part in tracking, and whether they carry what the tracker needs."""

import numpy as np

from tracking.detections import Detections


def select_detections(detections: Detections, min_confidence: float) -> tuple[Detections, np.ndarray]:
    """Returns the detections of enough confidence and positive size, and where they stand among those given.

    Args:
        detections: Of one frame.
        min_confidence: Those below are left out.

    Returns:
        The detections and int64 (N,), their indices in `detections`.
    """
    box = detections.xyxy
    size = box[:, 2:] - box[:, :2]
    keep = (detections.confidence >= min_confidence) & (size[:, 0] > 0) & (size[:, 1] > 0)
    index = np.flatnonzero(keep)
    return (detections if len(index) == len(detections) else detections[index]), index


def without_embeddings(detections: Detections) -> Detections:
    """Returns the same detections without appearance."""
    if detections.embeddings is None:
        return detections
    return Detections(detections.xyxy, detections.confidence, detections.class_id)


def require_embeddings(detections: Detections, memory: np.ndarray | None) -> None:
    """Raises a ValueError when detections lack embeddings, or have others than the tracks remember.

    Args:
        detections: Of one frame; none are always right.
        memory: (..., D), what the tracks remember; None where there is no track yet.
    """
    if not len(detections):
        return
    if detections.embeddings is None:
        raise ValueError("embeddings: got None, allowed: float (N, D); or build the tracker with appearance=False")
    if memory is not None and memory.shape[-1] != detections.embeddings.shape[1]:
        got = detections.embeddings.shape[1]
        raise ValueError(f"embeddings: got length {got}, allowed: {memory.shape[-1]}, as in the frames before")
