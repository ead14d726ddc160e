"""Approximate neighbours of many items by inverted lists, searched list by list."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reid.distances import map_row_blocks
from reid.neighbours import insert_neighbour, squared_distance

_ITEMS_A_LIST = 39  # at least: fewer make poor means
_TRAINED = 64  # items a list that the means are found with, at most
_ROUNDS = 10  # of k-means
_BLOCK_VISITS = 1 << 21  # items times lists that a thread works on at once: 32 MB
_BLOCK_VALUES = 1 << 22  # inner products held at once by a thread: 16 MB
_CHUNK = 64


class InvertedLists:
    """All items in lists by their nearest of some means (Sivic and Zisserman, ICCV 2003), which faiss finds.

    Each item is compared with the members of the lists whose means are nearest to it. When many items are searched,
    each list meets all items that look into it in one matrix product, several times as fast as item by item.

    Attributes:
        count: How many lists there are.
        means: float32 (count, D).

    Args:
        features: float32 (N, D), C-contiguous, finite.
        norms: float32 (N,), their squared norms.
        seed: Of k-means.
    """

    def __init__(self, features: NDArray[np.float32], norms: NDArray[np.float32], seed: int = 0) -> None:
        import faiss

        num, size = features.shape
        self.count = max(1, min(4 * round(num**0.5), num // _ITEMS_A_LIST))
        means = faiss.Kmeans(size, self.count, niter=_ROUNDS, seed=seed + 1, max_points_per_centroid=_TRAINED)
        means.train(features)
        self.means: NDArray[np.float32] = np.asarray(means.centroids, np.float32)
        self._index: Any = means.index
        label = self._index.search(features, 1)[1][:, 0]
        self._members = np.argsort(label, kind="stable")
        self._starts = np.searchsorted(label[self._members], np.arange(self.count + 1))
        self._features, self._norms = features, norms

    def members(self) -> list[NDArray[np.int64]]:
        """Returns the items of each list, by index."""
        return np.split(self._members, self._starts[1:-1])

    def search(self, items: NDArray[np.int64], k: int, effort: int, threads: int | None = None) -> NDArray[np.int32]:
        """Returns the k nearest of some items among the members of `effort` lists, -1 where those are fewer.

        Args:
            items: int64 (R,), indices of features.
            k: 1 or more.
            effort: How many lists each item looks into; more than there are means all.
            threads: At most so many beside those of BLAS and faiss; None means one a core.

        Returns:
            int32 (R, k), nearest first.
        """
        effort = min(effort, self.count)
        found, best = np.full((len(items), k), -1, np.int32), np.full((len(items), k), np.inf, np.float32)

        def look(start: int, stop: int) -> None:
            rows = self._features[items[start:stop]]
            visited = self._index.search(rows, effort)[1].ravel()
            order = np.argsort(visited, kind="stable")
            edges = np.searchsorted(visited[order], np.arange(self.count + 1))
            for number in range(self.count):
                visitors = order[edges[number] : edges[number + 1]] // effort
                members = self._members[self._starts[number] : self._starts[number + 1]]
                self._compare(
                    rows, self._norms[items[start:stop]], visitors, members, found[start:stop], best[start:stop]
                )

        map_row_blocks(look, len(items), max(256, _BLOCK_VISITS // effort), threads)
        return found

    def _compare(
        self,
        rows: NDArray[np.float32],
        norms: NDArray[np.float32],
        visitors: NDArray[np.int64],
        members: NDArray[np.int64],
        found: NDArray[np.int32],
        best: NDArray[np.float32],
    ) -> None:
        if not len(members):
            return
        others = self._features[members].T
        step = max(1, _BLOCK_VALUES // len(members))
        for start in range(0, len(visitors), step):
            part = visitors[start : start + step]
            _keep_nearest(rows[part] @ others, norms[part], self._norms[members], members, part, found, best)


@njit(cache=True, nogil=True)
def _keep_nearest(products, norms, other_norms, members, rows, found, best):  # type: ignore[no-untyped-def]
    """Puts the members into the sorted lists of some rows, from the inner products (len(rows), len(members))."""
    last = found.shape[1] - 1
    values = np.empty(_CHUNK, np.float32)
    for i in range(len(rows)):
        norm, row = norms[i], rows[i]
        for begin in range(0, products.shape[1], _CHUNK):
            length = min(_CHUNK, products.shape[1] - begin)
            # Slices that start at 0 spare the check for negative indices, which would keep the loop scalar.
            chunk, others = products[i, begin : begin + length], other_norms[begin : begin + length]
            worst = best[row, last]
            near = np.int32(0)
            for t in range(length):
                value = squared_distance(chunk[t], norm, others[t])
                values[t] = value
                near += np.int32(value <= worst)
            if near:
                for t in range(length):
                    if values[t] <= best[row, last]:
                        insert_neighbour(found, best, row, members[begin + t], values[t])
