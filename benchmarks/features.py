"""Made-up features of people, for benchmarks that need nothing but their number."""

import numpy as np
from numpy.typing import NDArray

_ROWS = 65_536  # drawn at once


def clustered(rng: np.random.Generator, num: int, dim: int, pids: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns features in clusters of one identity each, float32 (num, dim), and the identities.

    Values are whole numbers, so that squared distances are exact in float32 and both sides of a comparison see the
    same ones. All directions vary alike, so that every two identities are about equally far apart.
    """
    centers = rng.normal(size=(pids, dim))
    labels = rng.integers(0, pids, num)
    features = np.empty((num, dim), np.float32)
    for start in range(0, num, _ROWS):
        part = labels[start : start + _ROWS]
        features[start : start + _ROWS] = np.round(20 * (centers[part] + rng.normal(scale=2, size=(len(part), dim))))
    return features, labels


def described(
    rng: np.random.Generator, num: int, dim: int, pids: int, factors: int = 24
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns unit features that some factors describe, float32 (num, dim), and the identities.

    As in features of real images, few directions hold most of the variance, so that some people look alike and others
    do not: factors of a person from N(0, 1), each image's own share of them from N(0, 0.6), noise from N(0, 0.1).
    """
    factors = min(factors, dim)
    people = rng.standard_normal((pids, factors), dtype=np.float32)
    directions = np.linalg.qr(rng.standard_normal((dim, dim)))[0][:factors].astype(np.float32)
    labels = rng.integers(0, pids, num)
    features = np.empty((num, dim), np.float32)
    for start in range(0, num, _ROWS):
        part = labels[start : start + _ROWS]
        seen = people[part] + np.float32(0.6) * rng.standard_normal((len(part), factors), dtype=np.float32)
        rows = seen @ directions + np.float32(0.1) * rng.standard_normal((len(part), dim), dtype=np.float32)
        features[start : start + _ROWS] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return features, labels
