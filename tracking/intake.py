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


def fit_embeddings(detections: Detections, memory: dict[str, np.ndarray], *names: str) -> Detections:
    """Returns the detections with embeddings of the length that the tracks remember.

    A frame of which no crop could be embedded may come with (N, 0): those become rows of zeros, of which trackers take
    that nothing is known. Where tracks remember nothing else yet, their memory grows to the first length that comes.

    Args:
        detections: Of one frame; without boxes they are always right.
        memory: What the tracks remember, by name; changed where it grows.
        names: Those in `memory` that are embeddings (..., D), all of one length; they are missing while there was no
            track.

    Raises:
        ValueError: When embeddings are missing, or are of another length than those before.
    """
    found, count = detections.embeddings, len(detections)
    if found is None:
        if count:
            raise ValueError("embeddings: got None, allowed: float (N, D); or build the tracker with appearance=False")
        return detections
    known = memory[names[0]].shape[-1] if names[0] in memory else found.shape[1]
    if not count or not found.shape[1]:
        zeros = np.zeros((count, known), np.float32)
        return Detections(detections.xyxy, detections.confidence, detections.class_id, zeros)
    if not known:
        for name in names:
            memory[name] = np.zeros((*memory[name].shape[:-1], found.shape[1]), np.float32)
    elif known != found.shape[1]:
        raise ValueError(f"embeddings: got length {found.shape[1]}, allowed: {known}, as in the frames before")
    return detections
