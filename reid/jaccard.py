"""The sparse graph of Jaccard distances that clustering for pseudo labels works on."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from reid.distances import map_row_blocks
from reid.neighbour_search import Method, Say, find_neighbours
from reid.reciprocal_weights import join_rows, reciprocal_weights, sparse_block


def jaccard_graph(
    features: ArrayLike,
    k1: int = 20,
    k2: int = 6,
    *,
    max_distance: float = 1.0,
    threads: int | None = None,
    neighbours: Method = "exact",
    device: str = "cpu",
    say: Say = print,
) -> csr_matrix:
    """Returns the Jaccard distances between items that have k-reciprocal neighbours in common.

    An absent entry means the distance 1, the largest there is: nothing in common. Explicit zeros are distances of 0,
    those on the diagonal among them; the matrix is symmetric to the last bit and its column indices are sorted.

    This is the variant that unsupervised re-identification clusters with, and not the one of
    `reid.reranking.k_reciprocal_rerank` (Zhong et al., CVPR 2017, arXiv 1701.08398). It differs in that features are
    L2-normalised here; a neighbourhood holds k1 items, itself included, not k1 + 1 (those of the candidates still hold
    round(k1 / 2) + 1); the weights are softmax(-d^2) with d^2 = 2 - 2 cos, not divided by the row's maximum; and no
    share of the original distance is mixed in. Ties rank by index, and k1 or k2 beyond the number of items mean all.

    Args:
        features: (N, D), finite, no row of zeros, turned into float32.
        k1: Size of the reciprocal neighbourhoods, 1 or more.
        k2: Neighbours whose weights are averaged, the item itself included; 1 means none.
        max_distance: Larger distances are left out too, in (0, 1]; who clusters with a radius needs no more than that.
        threads: At most so many beside those of the BLAS library; None means one a core. It changes no result.
        neighbours: See `k_reciprocal_rerank`.
        device: See `k_reciprocal_rerank`.
        say: Told the recall of an approximate search.

    Returns:
        float32 (N, N), values in 0..max_distance.

    Raises:
        ValueError: When features are no matrix, not finite or zero, or an option is out of its range.
    """
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, allowed: 1 or more")
    if not 0 < max_distance <= 1:
        raise ValueError(f"max_distance: got {max_distance}, allowed: above 0, at most 1")
    unit = _unit_features(features)
    num = len(unit)
    near = find_neighbours(unit, max(k1, k2), method=neighbours, device=device, threads=threads, say=say)
    sizes = (min(k1, num), min(round(k1 / 2) + 1, k1, num))
    scales = np.ones(num, np.float32)
    weights = reciprocal_weights(unit, near.indices, near.distances, scales, sizes, k2, threads=threads)
    weights.sort_indices()  # both directions of a pair then add the same terms in the same order
    columns = weights.tocsc()

    def distances(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        rows = (weights.indptr[start : stop + 1], weights.indices, weights.data)
        inverted = (columns.indptr, columns.indices, columns.data)
        return _jaccard_rows(*rows, *inverted, num, start, np.float32(max_distance))

    graph = join_rows(map_row_blocks(distances, num, sparse_block(num), threads), num)
    graph.sort_indices()
    return graph


def _unit_features(features: ArrayLike) -> NDArray[np.float32]:
    rows = np.ascontiguousarray(features, np.float32)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"features: got shape {rows.shape}, allowed: (N, D) with 1 or more of each")
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    if not np.isfinite(norms).all():
        raise ValueError(f"features: got NaN or infinity in row {int(np.argmin(np.isfinite(norms)))}, allowed: finite")
    if not norms.all():
        raise ValueError(f"features: got zeros in row {int(np.argmin(norms))}, which have no direction; leave them out")
    return (rows / norms[:, None]).astype(np.float32)


@njit(cache=True, nogil=True)
def _jaccard_rows(indptr, indices, values, heads, items, weights, num, first, limit):  # type: ignore[no-untyped-def]
    """Returns the row lengths, columns and distances of the items from first on, one for each row of indptr."""
    rows = len(indptr) - 1
    lengths = np.zeros(rows, np.int64)
    columns = np.empty(max(1024, 64 * rows), np.int32)
    found = np.empty(len(columns), np.float32)
    shared = np.empty(num, np.float32)  # sum over common neighbours of the smaller weight
    mark = np.full(num, -1, np.int64)
    touched = np.empty(num, np.int32)
    end = 0
    for i in range(rows):
        # An item may be no neighbour of its own, when it has many duplicates: its distance to itself is 0 all the same.
        mark[first + i] = i
        shared[first + i] = 1
        touched[0] = first + i
        count = 1
        for e in range(indptr[i], indptr[i + 1]):
            column, value = indices[e], values[e]
            for f in range(heads[column], heads[column + 1]):
                j = items[f]
                if mark[j] != i:
                    mark[j] = i
                    shared[j] = 0
                    touched[count] = j
                    count += 1
                shared[j] += min(value, weights[f])
        if end + count > len(columns):
            columns = _grown(columns, end, count)
            found = _grown(found, end, count)
        begin = end
        for j in touched[:count]:
            # Rounding can push the sum of minima beyond 1.
            overlap = np.float32(1) if j == first + i else min(shared[j], np.float32(1))
            distance = np.float32(1) - overlap / (np.float32(2) - overlap)
            if distance <= limit and overlap > 0:
                columns[end] = j
                found[end] = distance
                end += 1
        lengths[i] = end - begin
    return lengths, columns[:end].copy(), found[:end].copy()


@njit(cache=True, nogil=True)
def _grown(values, used, more):  # type: ignore[no-untyped-def]
    larger = np.empty(max(2 * len(values), used + more), values.dtype)
    larger[:used] = values[:used]
    return larger
