"""The most similar items by cosine, for the test-time steps that average neighbours."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.exact_rows import smallest

_BLOCK_VALUES = 16_000_000  # similarities held at once: 64 MB


def unit_rows(name: str, features: ArrayLike) -> NDArray[np.float32]:
    """Returns float32 (N, D) with rows of norm 1; rows of zeros stay zeros.

    Args:
        name: What an error calls the features.
        features: (N, D), finite.

    Raises:
        ValueError: When the shape is another, a side is empty, or a value is not finite.
    """
    rows = np.asarray(features, dtype=np.float32)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{name}: got shape {rows.shape}, allowed: (N, D) with N and D of 1 or more")
    broken = ~np.isfinite(rows).all(axis=1)
    if broken.any():
        raise ValueError(f"{name}: got NaN or infinity in row {int(broken.argmax())}, allowed: finite numbers")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, np.float32(1))).astype(np.float32, copy=False)


def most_similar(
    rows: NDArray[np.float32], columns: NDArray[np.float32], k: int, *, exclude_self: bool = False
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns the k most similar columns of each row, most similar first; equal ones rank by index.

    Args:
        rows: float32 (N, D), unit or zero rows.
        columns: float32 (M, D), likewise, of the same D.
        k: How many, 1 or more; more than there are mean all of them.
        exclude_self: rows and columns are the same items, and none is its own neighbour.

    Returns:
        Indices int32 (N, K) and cosine similarities float32 (N, K), K = min(k, M), or min(k, M - 1) without the item.

    Raises:
        ValueError: When k < 1 or the dimensions differ.
    """
    if k < 1:
        raise ValueError(f"k: got {k}, allowed: 1 or more")
    if rows.shape[1] != columns.shape[1]:
        raise ValueError(f"features: got {rows.shape[1]} and {columns.shape[1]} dimensions, allowed: the same")
    width = min(k, len(columns) - exclude_self)
    indices = np.empty((len(rows), width), np.int32)
    similarities = np.empty((len(rows), width), np.float32)
    if width == 0:
        return indices, similarities
    step = max(1, _BLOCK_VALUES // len(columns))
    for start in range(0, len(rows), step):
        negative = -(rows[start : start + step] @ columns.T)
        if exclude_self:
            own = np.arange(len(negative))
            negative[own, start + own] = np.inf
        indices[start : start + step], negative_found = smallest(negative, width)
        similarities[start : start + step] = -negative_found
    return indices, similarities
