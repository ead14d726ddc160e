"""Exact distances and neighbours of some items, a block of rows at a time."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reid.neighbours import ZERO_SHARE

_MOST_INSERTED = 1000  # beyond it sorting whole rows is faster


def squared_block(
    features: NDArray[np.float32], norms: NDArray[np.float32], rows: NDArray[np.int64], columns: slice
) -> NDArray[np.float32]:
    """Returns the squared distances of some rows to some columns, noise around zero cut off; not kept symmetric."""
    total = norms[rows, None] + norms[columns]
    squared = features[rows] @ features[columns].T
    squared *= -2
    squared += total
    total *= ZERO_SHARE
    squared[squared <= total] = 0
    return squared


def exact_rows(
    features: NDArray[np.float32], norms: NDArray[np.float32], rows: NDArray[np.int64], k: int, block: int = 64
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns the k nearest of some items among all: indices int32 and squared distances (R, k), k at most N."""
    indices, distances = np.empty((len(rows), k), np.int32), np.empty((len(rows), k), np.float32)
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        indices[part], distances[part] = smallest(squared_block(features, norms, rows[part], slice(None)), k)
    return indices, distances


def smallest(rows: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns indices int32 and values (B, k) of the k smallest of each row, sorted; equal values rank by index."""
    if k <= _MOST_INSERTED:
        return _inserted(rows, k)
    indices = np.argsort(rows, axis=1, kind="stable")[:, :k]
    return indices.astype(np.int32), np.take_along_axis(rows, indices, axis=1)


@njit(cache=True, nogil=True)
def _inserted(rows, k):  # type: ignore[no-untyped-def]
    indices = np.empty((len(rows), k), np.int32)
    values = np.empty((len(rows), k), np.float32)
    for i in range(len(rows)):
        row = rows[i]
        count = 0
        worst = np.float32(np.inf)
        for j in range(len(row)):
            if count < k or row[j] < worst:
                place = min(count, k - 1)
                while place > 0 and values[i, place - 1] > row[j]:
                    values[i, place] = values[i, place - 1]
                    indices[i, place] = indices[i, place - 1]
                    place -= 1
                values[i, place] = row[j]
                indices[i, place] = j
                count = min(count + 1, k)
                if count == k:
                    worst = values[i, k - 1]
    return indices, values
