"""Better neighbours from approximate ones: a neighbour of a neighbour is likely to be a neighbour."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reid.distances import map_row_blocks
from reid.neighbours import dot, insert_neighbour, squared_distance

_REVERSE = 10  # items that have an item among their neighbours, looked at beside its own neighbours
_BLOCK = 16384  # each block marks all items


def improve_neighbours(
    features: NDArray[np.float32],
    norms: NDArray[np.float32],
    indices: NDArray[np.int32],
    distances: NDArray[np.float32],
    threads: int | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns lists of neighbours in which no item is worse than before: one round of NN-descent.

    Dong, Moses and Li, WWW 2011. Each item is compared with the neighbours of its neighbours, and with those of up to
    10 items that have it among theirs. Deviations: all of them, not a sample, and a pair improves only the item that
    looks, so that items do not wait for each other and the result does not depend on the threads.

    Args:
        features: float32 (N, D), C-contiguous.
        norms: float32 (N,), their squared norms.
        indices: int32 (N, K), sorted by (distance, index), none of them twice.
        distances: float32 (N, K), squared Euclidean.
        threads: At most so many; None means one a core.

    Returns:
        Indices int32 and distances float32 (N, K), sorted likewise.
    """
    reverse = _reverse(indices, _REVERSE)
    new_indices, new_distances = indices.copy(), distances.copy()

    def improve(start: int, stop: int) -> None:
        _improve_rows(features, norms, indices, reverse, new_indices, new_distances, start, stop)

    map_row_blocks(improve, len(features), _BLOCK, threads)
    return new_indices, new_distances


@njit(cache=True, nogil=True)
def _reverse(indices, width):  # type: ignore[no-untyped-def]
    """Returns (N, width), items that have each item among their neighbours, the nearest first, then -1."""
    num, k = indices.shape
    found = np.full((num, width), -1, np.int32)
    count = np.zeros(num, np.int32)
    for p in range(k):
        for i in range(num):
            j = indices[i, p]
            if j != i and count[j] < width:
                found[j, count[j]] = i
                count[j] += 1
    return found


@njit(cache=True, nogil=True)
def _improve_rows(features, norms, indices, reverse, new_indices, new_distances, start, stop):  # type: ignore[no-untyped-def]
    num, k = indices.shape
    mark = np.full(num, -1, np.int32)  # i where the item has been compared with i
    for i in range(start, stop):
        for p in range(k):
            mark[indices[i, p]] = i
        for p in range(k + reverse.shape[1]):
            via = indices[i, p] if p < k else reverse[i, p - k]
            if via < 0:
                break
            for q in range(-1, k):  # itself first, which is new when it comes from the reverse side
                j = via if q < 0 else indices[via, q]
                if mark[j] != i:
                    mark[j] = i
                    distance = squared_distance(dot(features[i], features[j]), norms[i], norms[j])
                    insert_neighbour(new_indices, new_distances, i, j, distance)
