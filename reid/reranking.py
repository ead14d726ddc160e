"""k-reciprocal re-ranking (Zhong et al., CVPR 2017, arXiv 1701.08398), exact, sparse, straight from features.

The published code holds several dense N x N matrices, N = queries + gallery. Here only the neighbour lists, the sparse
weights V (some 30 to 150 values a row) and the result (num_query, num_gallery) exist at any time.
"""

from collections.abc import Callable, Iterator
from typing import overload

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from reid.distances import available_threads, map_row_blocks
from reid.exact_rows import smallest, squared_block
from reid.neighbour_search import Method, Say, find_neighbours
from reid.neighbours import Neighbours
from reid.reciprocal_weights import k_reciprocal_weights

_BLOCK_ROWS = 256
_BLOCK_VALUES = 1 << 24
_Mix = Callable[[int, int, NDArray[np.float32]], None]


@overload
def k_reciprocal_rerank(
    query: ArrayLike,
    gallery: ArrayLike,
    k1: int = ...,
    k2: int = ...,
    lambda_value: float = ...,
    threads: int | None = ...,
    *,
    top_k: None = None,
    neighbours: Method = ...,
    device: str = ...,
    say: Say = ...,
) -> NDArray[np.float32]: ...
@overload
def k_reciprocal_rerank(
    query: ArrayLike,
    gallery: ArrayLike,
    k1: int = ...,
    k2: int = ...,
    lambda_value: float = ...,
    threads: int | None = ...,
    *,
    top_k: int,
    neighbours: Method = ...,
    device: str = ...,
    say: Say = ...,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]: ...
def k_reciprocal_rerank(
    query: ArrayLike,
    gallery: ArrayLike,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    threads: int | None = None,
    *,
    top_k: int | None = None,
    neighbours: Method = "exact",
    device: str = "cpu",
    say: Say = print,
) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Returns (1 - lambda) * Jaccard distance + lambda * original distance of each query to each gallery item.

    The original distance is squared Euclidean, each row divided by its maximum over queries and gallery alike. Features
    are taken as they come: normalise them first where that is wanted. The result is transductive: the other queries
    take part in it. Memory: features once more, the result, and the sparse weights; time: mostly the matrix product.

    As in the authors' code, neighbourhoods hold the item itself and k more, the expansion takes half of k1 rounded to
    the even side (NumPy's rounding), and k1 or k2 beyond the number of items mean all of them. Where that code is
    undefined, here equal distances rank by index (queries before gallery), squared distances below float32's rounding
    noise (1e-6 of the two squared norms) count as zero, and items that all coincide have original distance 0.

    Args:
        query: (num_query, D), finite, turned into float32.
        gallery: (num_gallery, D), likewise.
        k1: Size of the reciprocal neighbourhoods, 1 or more.
        k2: Neighbours whose weights are averaged (local query expansion), the item itself included; 1 means none.
        lambda_value: Weight of the original distance, 0..1.
        threads: At most so many beside those of the BLAS library; None means one a core. It changes no result.
        top_k: Returns the so many best of each query instead of the matrix, so that memory does not grow with
            num_query x num_gallery. More than num_gallery means all.
        neighbours: How they are found, see `reid.neighbour_search.find_neighbours`: "exact", or approximately, by
            "hnsw" or "ivf", for a million items; then the maxima of the rows are approximate as well.
        device: Where the exact search runs: "cpu", "cuda", "cuda:N", or "torch-cpu".
        say: Told the recall of an approximate search.

    Returns:
        float32 (num_query, num_gallery), in 0..1 (with approximate maxima, slightly more than 1 may occur). With top_k:
        distances float32 (num_query, k), smallest first, equal ones by index, and gallery indices int32 (num_query, k).

    Raises:
        ValueError: When shapes do not fit, a side is empty, a value is not finite, or an option is out of its range.
        ModuleNotFoundError: When neighbours need faiss and it is missing.
    """
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k: got {top_k}, allowed: 1 or more, or None for the whole matrix")
    search = (neighbours, device, say)
    features, num_query, near, mix = _prepare(query, gallery, k1, k2, lambda_value, threads, search, top_k is None)
    if top_k is None:
        result = near.cross
        map_row_blocks(lambda start, stop: mix(start, stop, result[start:stop]), num_query, _BLOCK_ROWS, threads)
        return result
    return _best_of_queries(features, num_query, min(top_k, len(features) - num_query), mix, threads)


def k_reciprocal_blocks(
    query: ArrayLike,
    gallery: ArrayLike,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    threads: int | None = None,
    *,
    neighbours: Method = "exact",
    device: str = "cpu",
    say: Say = print,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Returns the matrix of `k_reciprocal_rerank` in blocks of at most 64 MB, or a row.

    Arguments and errors are those of `k_reciprocal_rerank`. Neighbours are found before the first block is asked for.

    Returns:
        The number of each block's first query, and its rows float32 (B, num_gallery), which are the caller's to keep.
    """
    search = (neighbours, device, say)
    features, num_query, _, mix = _prepare(query, gallery, k1, k2, lambda_value, threads, search, False)
    return _mixed_blocks(features, num_query, mix, threads)


def _prepare(
    query: ArrayLike,
    gallery: ArrayLike,
    k1: int,
    k2: int,
    lambda_value: float,
    threads: int | None,
    search: tuple[Method, str, Say],
    whole: bool,
) -> tuple[NDArray[np.float32], int, Neighbours, _Mix]:
    """Returns all features, the number of queries, the neighbours, and what turns squared distances into final ones."""
    _check_options(k1, k2, lambda_value)
    features, num_query = _stack(query, gallery)
    method, device, say = search
    kept = num_query if whole else 0
    near = find_neighbours(features, max(k1 + 1, k2), kept, method=method, device=device, threads=threads, say=say)
    weights = k_reciprocal_weights(features, near, k1, k2, threads)
    # Gallery items by the neighbour they share: a query meets only those that share one with it.
    columns = weights[num_query:].tocsc()

    def mix(start: int, stop: int, squared: NDArray[np.float32]) -> None:
        inverted = (columns.indptr, columns.indices, columns.data)
        rows = (weights.indptr[start : stop + 1], weights.indices, weights.data)
        _mix_rows(*rows, *inverted, near.row_max[start:stop], np.float32(lambda_value), squared)

    return features, num_query, near, mix


def _mixed_blocks(
    features: NDArray[np.float32], num_query: int, mix: _Mix, threads: int | None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Multiplies a block of queries with the gallery, mixes, and yields it."""
    norms = np.einsum("nd,nd->n", features, features)
    # A block of distances takes 64 MB at most, one row when a row is longer.
    rows = max(1, min(_BLOCK_ROWS, _BLOCK_VALUES // (len(features) - num_query)))
    share = -(-rows // (threads or available_threads()))
    for first in range(0, num_query, rows):
        last = min(first + rows, num_query)
        squared = squared_block(features, norms, np.arange(first, last), slice(num_query, None))

        def finish(start: int, stop: int, first: int = first, squared: NDArray[np.float32] = squared) -> None:
            mix(first + start, first + stop, squared[start:stop])

        map_row_blocks(finish, last - first, share, threads)
        yield first, squared


def _best_of_queries(
    features: NDArray[np.float32], num_query: int, top_k: int, mix: _Mix, threads: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Keeps the best of each row."""
    distances, indices = np.empty((num_query, top_k), np.float32), np.empty((num_query, top_k), np.int32)
    for first, block in _mixed_blocks(features, num_query, mix, threads):

        def keep(start: int, stop: int, first: int = first, block: NDArray[np.float32] = block) -> None:
            best = slice(first + start, first + stop)
            indices[best], distances[best] = smallest(block[start:stop], top_k)

        map_row_blocks(keep, len(block), -(-len(block) // (threads or available_threads())), threads)
    return distances, indices


def _check_options(k1: int, k2: int, lambda_value: float) -> None:
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, allowed: 1 or more")
    if not 0 <= lambda_value <= 1:
        raise ValueError(f"lambda_value: got {lambda_value}, allowed: 0..1")


def _stack(query: ArrayLike, gallery: ArrayLike) -> tuple[NDArray[np.float32], int]:
    first, second = np.asarray(query), np.asarray(gallery)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"query, gallery: got shapes {first.shape} and {second.shape}, allowed: (Q, D) and (G, D)")
    if 0 in (len(first), len(second)):
        raise ValueError(f"query, gallery: got {len(first)} and {len(second)} items, allowed: 1 or more of each")
    features = np.empty((len(first) + len(second), first.shape[1]), np.float32)
    features[: len(first)], features[len(first) :] = first, second
    for name, rows in (("query", features[: len(first)]), ("gallery", features[len(first) :])):
        if not np.isfinite(rows).all():
            raise ValueError(f"{name}: got NaN or infinity, allowed: finite numbers")
    return features, len(first)


@njit(cache=True, nogil=True)
def _mix_rows(indptr, indices, values, heads, items, weights, row_max, lambda_value, result):  # type: ignore[no-untyped-def]
    """Turns squared distances in result, one row a query, into the final distances."""
    one, two = np.float32(1), np.float32(2)
    shared = np.empty(result.shape[1], np.float32)  # sum over common neighbours of the smaller weight
    for q in range(len(result)):
        shared[:] = 0
        for e in range(indptr[q], indptr[q + 1]):
            column, value = indices[e], values[e]
            for f in range(heads[column], heads[column + 1]):
                shared[items[f]] += min(value, weights[f])
        scale = lambda_value / row_max[q] if row_max[q] > 0 else np.float32(0)
        row = result[q]
        for j in range(len(row)):
            jaccard = one - shared[j] / (two - shared[j])
            row[j] = (one - lambda_value) * jaccard + scale * row[j]
