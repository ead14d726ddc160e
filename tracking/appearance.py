"""What tracks remember of their looks: rows of norm 1, or of zeros where nothing is known."""

import numpy as np

from tracking.association import cosine_distance, normalise_rows


def averaged(memory: np.ndarray, features: np.ndarray, momentum: np.ndarray | float) -> np.ndarray:
    """Returns the exponential moving average of looks, at norm 1.

    A feature of zeros (a crop of which nothing is known) leaves the memory as it is; a memory of zeros takes the
    feature.

    Args:
        memory: (N, D), of norm 1 or 0.
        features: (N, D), of norm 1 or 0.
        momentum: The weight of the past in 0..1, one number or (N, 1).
    """
    mixed = normalise_rows(momentum * memory + (1 - momentum) * features)
    unknown = ~features.any(axis=1)
    if unknown.any():
        mixed[unknown] = memory[unknown]
    fresh = ~memory.any(axis=1)
    if fresh.any():
        mixed[fresh] = features[fresh]
    averaged_rows: np.ndarray = mixed
    return averaged_rows


def nearest_distance(galleries: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Returns the cosine distance of each feature (D, C) to the nearest vector of each gallery (T, G, C), (T, D)."""
    count, size, dimension = galleries.shape
    distance = cosine_distance(galleries.reshape(count * size, dimension), features).reshape(count, size, -1)
    nearest: np.ndarray = distance.min(axis=1)
    return nearest


def dynamic_momentum(confidence: np.ndarray, threshold: float, fixed: float) -> np.ndarray:
    """Returns the momentum of Deep OC-SORT (arXiv 2302.11813, eq. 4), (N, 1): weak detections change less.

    Args:
        confidence: (N,).
        threshold: The least confidence of a detection, below 1; its momentum is 1.
        fixed: The momentum at confidence 1.
    """
    trust = np.clip((confidence - threshold) / (1 - threshold), 0, 1)
    momentum: np.ndarray = (fixed + (1 - fixed) * (1 - trust))[:, None]
    return momentum
