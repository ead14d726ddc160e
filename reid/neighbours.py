"""Exact nearest neighbours of every item among all items, without the matrix of all distances.

The matrix is symmetric, so only tiles on and above its diagonal are multiplied, half of the product; each tile then
serves its rows and its columns. A tile stays in the processor's cache while it is scanned, and a scan looks for nothing
but values below the worst neighbour found so far, which soon are rare.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reid.distances import available_threads

TILE = 1024  # rows and columns of a tile: 4 MB of float32
_CHUNK = 64
# A squared distance below this share of |x|^2 + |y|^2 is rounding noise of float32: it counts as zero, so that
# duplicates tie, and rank by index, on every machine. (numba keeps compiled code of reciprocal_weights.py,
# inverted_lists.py and approximate_neighbours.py, where this value is part of it: whoever changes it must touch those
# files too.)
ZERO_SHARE = np.float32(1e-6)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest items of each item, itself included, nearest first; equal distances rank by index.

    Attributes:
        indices: int32 (N, K), K = min(k, N). Column 0 is the item itself unless it has duplicates of lower index.
        distances: float32 (N, K), squared Euclidean.
        row_max: float32 (N,), the largest squared distance of each item to any other.
        cross: float32 (num_query, N - num_query), squared distances from the first num_query items to the others.
    """

    indices: NDArray[np.int32]
    distances: NDArray[np.float32]
    row_max: NDArray[np.float32]
    cross: NDArray[np.float32]


def nearest_neighbours(
    features: NDArray[np.float32], k: int, num_query: int = 0, threads: int | None = None
) -> Neighbours:
    """Returns the k nearest of every item, and the distances between the first num_query items and the rest.

    Memory beyond the result is one tile. The tiles do not depend on the number of threads, nor do the results.

    Args:
        features: float32 (N, D), C-contiguous, finite.
        k: Neighbours an item, itself included, 1 or more.
        num_query: How many of the leading items are queries, 0..N.
        threads: For the scans, at most so many; None means one a core. Products use the BLAS library's own.

    Raises:
        ValueError: When squared norms overflow float32, or k < 1.
    """
    num, width = len(features), min(k, len(features))
    if width < 1:
        raise ValueError(f"k: got {k} for {num} items, allowed: 1 or more of each")
    norms = np.einsum("nd,nd->n", features, features)  # (N,)
    if not np.all(norms < np.finfo(np.float32).max / 4):
        raise ValueError("features: got values whose squares overflow float32, allowed: finite norms below 1e19")
    found = (
        np.full((num, width), num, np.int32),
        np.full((num, width), np.inf, np.float32),
        np.full(num, np.inf, np.float32),  # the worst neighbour so far, side by side for the scan
        np.zeros(num, np.float32),
    )
    cross = np.empty((num_query, num - num_query), np.float32)
    tile = np.empty((min(TILE, num), min(TILE, num)), np.float32)
    workers = threads or available_threads()
    with ThreadPoolExecutor(workers) as pool:
        for top in range(0, num, TILE):
            rows = features[top : top + TILE]
            for left in range(top, num, TILE):
                columns = features[left : left + TILE]
                part = _product(rows, columns, tile)
                scan = (part, norms, top, left, *found)
                jobs = [pool.submit(_scan_rows, *scan, cross, *cut) for cut in _cuts(len(rows), workers)]
                if left > top:
                    jobs += [pool.submit(_scan_columns, *scan, *cut) for cut in _cuts(len(columns), workers)]
                for job in jobs:
                    job.result()
    return Neighbours(found[0], found[1], found[3], cross)


def _product(rows: NDArray[np.float32], columns: NDArray[np.float32], tile: NDArray[np.float32]) -> NDArray[Any]:
    part = tile.ravel()[: len(rows) * len(columns)].reshape(len(rows), len(columns))
    return np.matmul(rows, columns.T, out=part)


def _cuts(length: int, parts: int) -> list[tuple[int, int]]:
    edges = [length * part // parts // _CHUNK * _CHUNK for part in range(parts)] + [length]
    return [(start, stop) for start, stop in pairwise(edges) if stop > start]


@njit(cache=True, nogil=True)
def squared_distance(product, norm_x, norm_y):  # type: ignore[no-untyped-def]
    """Returns |x - y|^2 from the inner product, symmetric to the last bit, with noise around zero cut off."""
    total = norm_x + norm_y
    value = total - np.float32(2) * product
    return value if value > ZERO_SHARE * total else np.float32(0)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot(x, y):  # type: ignore[no-untyped-def]
    """Returns the inner product; sums in the order that the vector unit likes, the same for every call on a machine."""
    total = np.float32(0)
    for d in range(len(x)):
        total += x[d] * y[d]
    return total


@njit(cache=True, nogil=True)
def _scan_rows(part, norms, top, left, indices, distances, worst, row_max, cross, start, stop):  # type: ignore[no-untyped-def]
    """Takes the tile's rows start..stop - 1 as items and its columns as their candidates."""
    width, last = part.shape[1], indices.shape[1] - 1
    num_query = cross.shape[0]
    values = np.empty(_CHUNK, np.float32)
    largest = np.zeros(_CHUNK, np.float32)  # one maximum a lane: the loop then works on whole vectors
    for i in range(start, stop):
        item = top + i
        norm = norms[item]
        largest[:] = 0
        for begin in range(0, width, _CHUNK):
            count = min(_CHUNK, width - begin)
            # Slices that start at 0 spare the check for negative indices, which would keep the loop scalar.
            products, others = part[i, begin : begin + count], norms[left + begin : left + begin + count]
            limit = worst[item]
            near = np.int32(0)
            for t in range(count):
                value = squared_distance(products[t], norm, others[t])
                values[t] = value
                near += np.int32(value <= limit)
                largest[t] = value if value > largest[t] else largest[t]
            if near:
                for t in range(count):
                    if values[t] <= worst[item]:
                        insert_neighbour(indices, distances, item, left + begin + t, values[t])
                        worst[item] = distances[item, last]
            if item < num_query:
                for t in range(max(0, num_query - left - begin), count):
                    cross[item, left + begin + t - num_query] = values[t]
        row_max[item] = max(row_max[item], largest.max())


@njit(cache=True, nogil=True)
def _scan_columns(part, norms, top, left, indices, distances, worst, row_max, start, stop):  # type: ignore[no-untyped-def]
    """Takes the tile's columns start..stop - 1 as items and its rows as their candidates."""
    last = indices.shape[1] - 1
    values = np.empty(_CHUNK, np.float32)
    for begin in range(start, stop, _CHUNK):
        count = min(_CHUNK, stop - begin)
        first = left + begin
        others, limits = norms[first : first + count], worst[first : first + count]
        largest = row_max[first : first + count]
        for i in range(part.shape[0]):
            norm = norms[top + i]
            products = part[i, begin : begin + count]
            near = np.int32(0)
            for t in range(count):
                value = squared_distance(products[t], norm, others[t])
                values[t] = value
                near += np.int32(value <= limits[t])
                largest[t] = value if value > largest[t] else largest[t]
            if near:
                for t in range(count):
                    if values[t] <= worst[first + t]:
                        insert_neighbour(indices, distances, first + t, top + i, values[t])
                        worst[first + t] = distances[first + t, last]


@njit(cache=True, nogil=True)
def insert_neighbour(indices, distances, row, item, distance):  # type: ignore[no-untyped-def]
    """Puts an item into a row that is sorted by (distance, index), unless it ranks behind the last."""
    place = indices.shape[1]
    while place > 0:
        other = distances[row, place - 1]
        if other < distance or (other == distance and indices[row, place - 1] < item):
            break
        place -= 1
        if place + 1 < indices.shape[1]:
            distances[row, place + 1] = other
            indices[row, place + 1] = indices[row, place]
    if place < indices.shape[1]:
        distances[row, place] = distance
        indices[row, place] = item
