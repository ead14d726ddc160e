"""The sparse weights V of k-reciprocal encoding: how strongly each item belongs to the neighbourhood of each other.

Re-ranking (`reid.reranking`) and the graph that clustering works on (`reid.jaccard`) are made of them.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from reid.distances import map_row_blocks
from reid.neighbours import Neighbours, dot, squared_distance

_BLOCK_ROWS = 256


def k_reciprocal_weights(
    features: NDArray[np.float32], neighbours: Neighbours, k1: int = 20, k2: int = 6, threads: int | None = None
) -> csr_matrix:
    """Returns V: how strongly each item belongs to the expanded k-reciprocal neighbourhood of each item.

    Args:
        features: float32 (N, D), those that the neighbours were found with.
        neighbours: With at least max(k1 + 1, k2) columns, or N.
        k1: See `k_reciprocal_rerank`.
        k2: See `k_reciprocal_rerank`.
        threads: See `k_reciprocal_rerank`.

    Returns:
        float32 (N, N) in CSR form, column indices unsorted; rows sum to 1, or are empty where an item has so many
        duplicates that it is no neighbour of its own.
    """
    num = len(features)
    sizes = (min(k1 + 1, num), min(round(k1 / 2) + 1, num))  # both round and NumPy round half to even
    return reciprocal_weights(
        features, neighbours.indices, neighbours.distances, neighbours.row_max, sizes, k2, threads=threads
    )


def reciprocal_weights(
    features: NDArray[np.float32],
    indices: NDArray[np.int32],
    distances: NDArray[np.float32],
    scales: NDArray[np.float32],
    sizes: tuple[int, int],
    k2: int,
    *,
    threads: int | None = None,
) -> csr_matrix:
    """Returns the weights V of any variant: exp(-distance / scale) over the expanded sets, summing to 1, averaged.

    Args:
        features: float32 (N, D).
        indices: int32 (N, K), the nearest of each item.
        distances: float32 (N, K), squared Euclidean.
        scales: float32 (N,), what the distances of each item are divided by; 0 makes them all 0.
        sizes: How many neighbours, the item itself among them, make a set and a candidate's set; at most K.
        k2: Neighbours whose weights are averaged, the item itself included; 1 means none.
        threads: See `k_reciprocal_rerank`.
    """
    num = len(features)
    norms = np.einsum("nd,nd->n", features, features)

    def encode(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        return _encode_rows(features, norms, indices, distances, scales, *sizes, start, stop)

    weights = join_rows(map_row_blocks(encode, num, sparse_block(num), threads), num)
    if k2 == 1:
        return weights

    def average(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        rows = (weights.indptr, weights.indices, weights.data)
        return _average_rows(*rows, indices[start:stop, :k2], num)

    return join_rows(map_row_blocks(average, num, sparse_block(num), threads), num)


def sparse_block(num: int) -> int:
    """Returns how many rows a thread takes at a time; each clears arrays of num items, so there are some 64 blocks."""
    return max(_BLOCK_ROWS, num // 64)


def join_rows(blocks: list[tuple[NDArray[Any], ...]], num: int) -> csr_matrix:
    """Puts blocks of (row lengths, column indices, values) together."""
    lengths, indices, values = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    indptr = np.zeros(num + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    return csr_matrix((values, indices, indptr), shape=(num, num), copy=False)


@njit(cache=True, nogil=True)
def _encode_rows(features, norms, indices, distances, row_max, full, half, start, stop):  # type: ignore[no-untyped-def]
    """Returns the weights of items start..stop - 1 over their expanded reciprocal sets."""
    num = len(features)
    # A candidate's half set brings in less than a third of itself that is new.
    widest = min(num, full * (1 + half // 3))
    lengths = np.zeros(stop - start, np.int64)
    columns = np.empty((stop - start) * widest, np.int32)
    values = np.empty((stop - start) * widest, np.float32)
    mark = np.full(num, -1, np.int64)  # 2 i: in the reciprocal set of i; 2 i + 1: joined by expansion
    part = np.empty(half, np.int32)
    end = 0
    for i in range(start, stop):
        begin = end
        scale = np.float32(1) / row_max[i] if row_max[i] > 0 else np.float32(0)
        for p in range(full):
            j = indices[i, p]
            if _is_among(i, indices[j], full):
                mark[j] = 2 * i
                columns[end] = j
                values[end] = np.exp(-distances[i, p] * scale)
                end += 1
        for e in range(begin, end):  # range takes its bound before the set grows
            size, common = _reciprocal_set(columns[e], indices, half, mark, 2 * i, part)
            if 3 * common > 2 * size:
                for j in part[:size]:
                    if mark[j] < 2 * i:
                        mark[j] = 2 * i + 1
                        distance = squared_distance(dot(features[i], features[j]), norms[i], norms[j])
                        columns[end] = j
                        values[end] = np.exp(-distance * scale)
                        end += 1
        total = np.float32(0)
        for e in range(begin, end):
            total += values[e]
        for e in range(begin, end):
            values[e] /= total
        lengths[i - start] = end - begin
    return lengths, columns[:end].copy(), values[:end].copy()


@njit(cache=True, nogil=True)
def _reciprocal_set(item, indices, half, mark, marked, part):  # type: ignore[no-untyped-def]
    """Fills part with the item's reciprocal set; returns its size and how many of it carry the mark."""
    size = 0
    common = 0
    for p in range(half):
        j = indices[item, p]
        if _is_among(item, indices[j], half):
            part[size] = j
            size += 1
            common += mark[j] == marked
    return size, common


@njit(cache=True, nogil=True)
def _is_among(item, neighbours, count):  # type: ignore[no-untyped-def]
    for p in range(count):
        if neighbours[p] == item:
            return True
    return False


@njit(cache=True, nogil=True)
def _average_rows(indptr, indices, values, neighbours, num):  # type: ignore[no-untyped-def]
    """Returns, for each row of neighbours, the mean of the weights of those items."""
    rows, width = neighbours.shape
    bound = 0
    for i in range(rows):
        for r in neighbours[i]:
            bound += indptr[r + 1] - indptr[r]
    lengths = np.zeros(rows, np.int64)
    columns = np.empty(bound, np.int32)
    means = np.empty(bound, np.float32)
    sums = np.empty(num, np.float32)
    mark = np.full(num, -1, np.int64)
    end = 0
    for i in range(rows):
        begin = end
        for r in neighbours[i]:
            for e in range(indptr[r], indptr[r + 1]):
                column = indices[e]
                if mark[column] != i:
                    mark[column] = i
                    sums[column] = 0
                    columns[end] = column
                    end += 1
                sums[column] += values[e]
        for e in range(begin, end):
            means[e] = sums[columns[e]] / np.float32(width)
        lengths[i] = end - begin
    return lengths, columns[:end].copy(), means[:end].copy()
