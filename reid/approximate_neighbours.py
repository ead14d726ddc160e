"""Neighbours of a million items: found approximately, as thoroughly as a sample says is needed, and the recall said."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reid.distances import map_row_blocks
from reid.exact_rows import exact_rows, squared_block
from reid.inverted_lists import InvertedLists
from reid.neighbour_descent import improve_neighbours
from reid.neighbours import Neighbours, dot, squared_distance

_PILOT = 256  # items that say when the neighbours are good enough
_ROUGH = 0.9  # recall at which the search makes no more effort: improving what it has found is cheaper from there on
_GOOD = 0.99  # recall at which the neighbours are improved no more
_ROUNDS = 4  # of improvement, at most
_SAMPLE = 1000  # other items, on which the recall is measured
_FAR_SAMPLE = 4096  # items among which the farthest is looked for
_EFFORTS = (8, 16, 32, 64, 128, 256, 512)
_BLOCK = 512

# Returns the k nearest of some items, int (R, k), nearest first, -1 where there are fewer: (items, k, effort, threads).
Search = Callable[[NDArray[np.int64], int, int, int | None], NDArray[Any]]


def require_faiss(method: str) -> None:
    """Raises a ModuleNotFoundError that says what to do when faiss is missing."""
    if importlib.util.find_spec("faiss") is None:
        raise ModuleNotFoundError(f"neighbours: {method} needs faiss; install faiss-cpu, or take exact")


def approximate_neighbours(
    features: NDArray[np.float32],
    norms: NDArray[np.float32],
    k: int,
    num_query: int,
    method: str,
    threads: int | None,
    seed: int,
    say: Callable[[str], None],
) -> Neighbours:
    """Returns what `reid.neighbour_search.find_neighbours` promises of "hnsw" and "ivf".

    Args:
        features: See there.
        norms: float32 (N,), their squared norms.
        k: See there; at most N.
        num_query: See there.
        method: "hnsw" or "ivf".
        threads: See there.
        seed: See there.
        say: See there.

    Raises:
        ModuleNotFoundError: When faiss is missing.
    """
    require_faiss(method)
    num = len(features)
    random = np.random.default_rng(seed)
    search = _SEARCHES[method](features, norms, seed)
    pilot, sample, far = (
        np.sort(random.choice(num, min(n, num), replace=False)) for n in (_PILOT, _SAMPLE, _FAR_SAMPLE)
    )
    nearest = exact_rows(features, norms, pilot, k)[1]
    effort = _enough_effort(features, norms, search, pilot, nearest, threads)
    indices, distances = _ordered(features, norms, np.arange(num), search(np.arange(num), k, effort, threads), threads)
    short = np.flatnonzero(indices[:, 0] < 0)
    indices[short], distances[short] = exact_rows(features, norms, short, k)
    rounds = 0
    while rounds < _ROUNDS and _recall(distances[pilot], nearest) < _GOOD:
        indices, distances = improve_neighbours(features, norms, indices, distances, threads)
        rounds += 1
    recall = _recall(distances[sample], exact_rows(features, norms, sample, k)[1])
    measured = f"recall {recall:.4f} of the {k} nearest, measured on {len(sample)} of {num} items"
    say(f"{method}: {measured}; effort {effort}, improved {rounds} times")
    row_max = _farthest(features, norms, far)
    cross = np.empty((num_query, num - num_query), np.float32)
    for start in range(0, num_query, _BLOCK):
        stop = min(start + _BLOCK, num_query)
        cross[start:stop] = squared_block(features, norms, np.arange(start, stop), slice(num_query, None))
        row_max[start:stop] = np.maximum(row_max[start:stop], cross[start:stop].max(axis=1, initial=0))
    return Neighbours(indices, distances, row_max, cross)


def _hnsw(features: NDArray[np.float32], norms: NDArray[np.float32], seed: int) -> Search:
    import faiss

    index: Any = faiss.IndexHNSWFlat(features.shape[1], 24)
    index.hnsw.efConstruction = 40
    index.add(features)

    def search(items: NDArray[np.int64], k: int, effort: int, threads: int | None) -> NDArray[Any]:
        index.hnsw.efSearch = max(effort, k)
        everything = len(items) == len(features)  # no copy of a million rows then
        found: NDArray[Any] = index.search(features if everything else features[items], k)[1]
        return found

    return search


def _ivf(features: NDArray[np.float32], norms: NDArray[np.float32], seed: int) -> Search:
    return InvertedLists(features, norms, seed).search


_SEARCHES: dict[str, Callable[[NDArray[np.float32], NDArray[np.float32], int], Search]] = {"hnsw": _hnsw, "ivf": _ivf}


def _enough_effort(
    features: NDArray[np.float32],
    norms: NDArray[np.float32],
    search: Search,
    pilot: NDArray[np.int64],
    nearest: NDArray[np.float32],
    threads: int | None,
) -> int:
    """Returns the least effort that finds enough of the pilot items' nearest, or the greatest of all."""
    k = nearest.shape[1]
    for effort in _EFFORTS:
        found = _ordered(features, norms, pilot, search(pilot, k, effort, threads), threads)[1]
        if _recall(found, nearest) >= _ROUGH:
            return effort
    return _EFFORTS[-1]


def _recall(distances: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Returns the share of the nearest that is among those found, (R, k) both.

    By distance, not by name: which of several equally near items is found does not matter.
    """
    return float((distances <= exact[:, -1:] * np.float32(1 + 1e-5)).mean())


def _ordered(
    features: NDArray[np.float32],
    norms: NDArray[np.float32],
    items: NDArray[np.int64],
    found: NDArray[Any],
    threads: int | None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Sorts what was found by (distance, index), the item itself among it; rows that are not full hold -1, infinity."""
    indices, distances = np.empty(found.shape, np.int32), np.empty(found.shape, np.float32)

    def order(start: int, stop: int) -> None:
        _order_rows(features, norms, items, found, indices, distances, start, stop)

    map_row_blocks(order, len(items), _BLOCK, threads)
    return indices, distances


@njit(cache=True, nogil=True)
def _order_rows(features, norms, items, found, indices, distances, start, stop):  # type: ignore[no-untyped-def]
    k = found.shape[1]
    for row in range(start, stop):
        i = items[row]
        present, full = False, True
        for p in range(k):
            present |= found[row, p] == i
            full &= found[row, p] >= 0
        if not full:
            indices[row] = -1
            distances[row] = np.inf
            continue
        if not present:
            found[row, k - 1] = i
        for p in range(k):
            j = found[row, p]
            distance = squared_distance(dot(features[i], features[j]), norms[i], norms[j])
            place = p
            while place > 0 and (
                distances[row, place - 1] > distance
                or (distances[row, place - 1] == distance and indices[row, place - 1] > j)
            ):
                distances[row, place] = distances[row, place - 1]
                indices[row, place] = indices[row, place - 1]
                place -= 1
            distances[row, place] = distance
            indices[row, place] = j


def _farthest(
    features: NDArray[np.float32], norms: NDArray[np.float32], sample: NDArray[np.int64]
) -> NDArray[np.float32]:
    others, other_norms = features[sample], norms[sample]
    result = np.empty(len(features), np.float32)
    for start in range(0, len(features), _BLOCK):
        block = slice(start, start + _BLOCK)
        squared = norms[block, None] + other_norms - 2 * (features[block] @ others.T)
        result[block] = np.maximum(squared.max(axis=1), 0)
    return result
