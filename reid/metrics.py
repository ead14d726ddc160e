"""CMC, mAP and mINP by the Market-1501 protocol, from a distance matrix or straight from features."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from reid.distances import cosine_distances, euclidean_distances, map_row_blocks

DISTANCES = {"euclidean": euclidean_distances, "cosine": cosine_distances}
_BLOCK_ROWS = 64  # queries a thread takes at a time
_BLOCK_VALUES = 16_000_000  # distances held at once when scoring features


@dataclass(frozen=True, slots=True)
class RankResult:
    """Scores of one query set against one gallery; ratios in 0..1.

    Attributes:
        cmc: float64 (max_rank,). cmc[k - 1] is the share of valid queries with a match among the first k.
        mAP: Mean average precision over the valid queries.
        mINP: Mean inverse negative penalty (Ye et al., arXiv 2001.04193) over the valid queries.
        num_valid: Queries with at least one match in another camera. Only these count anywhere.
        num_skipped: The other queries.
        ap: float64 (num_query,), average precision of each query, NaN where it was skipped.
        inp: float64 (num_query,), inverse negative penalty of each query, NaN where it was skipped.
        first_match: int64 (num_query,), 1-based rank of the first match, 0 where the query was skipped.
    """

    cmc: NDArray[np.float64]
    mAP: float
    mINP: float
    num_valid: int
    num_skipped: int
    ap: NDArray[np.float64]
    inp: NDArray[np.float64]
    first_match: NDArray[np.int64]

    def scores(self) -> dict[str, float]:
        """Returns Rank-1, Rank-5, Rank-10 (as far as max_rank reaches), mAP and mINP by name."""
        ranks = {f"Rank-{k}": float(self.cmc[k - 1]) for k in (1, 5, 10) if k <= len(self.cmc)}
        return ranks | {"mAP": self.mAP, "mINP": self.mINP}


def evaluate_rank(
    distmat: ArrayLike,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    max_rank: int = 50,
    threads: int | None = None,
) -> RankResult:
    """Scores a distance matrix by the Market-1501 protocol (Zheng et al., ICCV 2015).

    For each query the gallery items with the same pid and the same camid are taken out. A query without a match among
    the rest is skipped and counts in no denominator. AP = sum over matches of precision(k) / number of matches (not
    trapezoidal); INP = number of matches / rank of the last match. Junk must have been dropped before; distractors
    (pid 0) are ordinary gallery items.

    Equal distances rank by gallery index, the lower first, on every machine. Nothing is sorted but the few matches of a
    query: the other items are only counted between them.

    Args:
        distmat: (num_query, num_gallery), smaller is nearer. Infinity is allowed, NaN is not.
        q_pids: Integers (num_query,).
        g_pids: Integers (num_gallery,).
        q_camids: Integers (num_query,).
        g_camids: Integers (num_gallery,).
        max_rank: Length of the CMC. Beyond the gallery's size the CMC stays at its last value.
        threads: At most so many; None means one a core. The result does not depend on it.

    Raises:
        ValueError: On NaN, an empty side, lengths that do not fit, max_rank < 1, or when no query is valid.
    """
    matrix = np.asarray(distmat)
    if matrix.dtype not in (np.float32, np.float64):
        matrix = matrix.astype(np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"distmat: got shape {matrix.shape}, allowed: (num_query, num_gallery)")
    protocol = _Protocol(q_pids, g_pids, q_camids, g_camids, matrix.shape, max_rank)
    protocol.score_rows(np.ascontiguousarray(matrix), 0, threads)
    return protocol.result()


def evaluate_features(
    query: ArrayLike,
    gallery: ArrayLike,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    max_rank: int = 50,
    distance: str = "euclidean",
    threads: int | None = None,
) -> RankResult:
    """Scores features as `evaluate_rank` scores their distance matrix, holding at most 64 MB of that at a time.

    Args:
        query: (num_query, D), turned into float32.
        gallery: (num_gallery, D).
        q_pids: As in `evaluate_rank`, like all that follow.
        g_pids: See there.
        q_camids: See there.
        g_camids: See there.
        max_rank: See there.
        distance: "euclidean" or "cosine".
        threads: See `evaluate_rank`.

    Raises:
        ValueError: When the distance is unknown, dimensions differ, or for a reason that `evaluate_rank` names.
    """
    blocks = distance_blocks(query, gallery, distance)
    return evaluate_blocks(blocks, q_pids, g_pids, q_camids, g_camids, max_rank, threads)


def distance_blocks(
    query: ArrayLike, gallery: ArrayLike, distance: str = "euclidean"
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Returns the distance matrix in blocks of at most 64 MB, or a row: the number of the first query, and the rows.

    Args:
        query: (num_query, D), turned into float32.
        gallery: (num_gallery, D).
        distance: "euclidean" or "cosine".

    Raises:
        ValueError: When the distance is unknown or dimensions differ.
    """
    if distance not in DISTANCES:
        raise ValueError(f"distance: got {distance!r}, allowed: {', '.join(DISTANCES)}")
    rows, columns = np.asarray(query, dtype=np.float32), np.asarray(gallery, dtype=np.float32)
    if rows.ndim != 2 or columns.ndim != 2 or rows.shape[1] != columns.shape[1]:
        raise ValueError(f"query, gallery: got shapes {rows.shape} and {columns.shape}, allowed: (Q, D) and (G, D)")
    step = max(1, _BLOCK_VALUES // max(1, len(columns)))
    return ((start, DISTANCES[distance](rows[start : start + step], columns)) for start in range(0, len(rows), step))


def evaluate_blocks(
    blocks: Iterable[tuple[int, NDArray[Any]]],
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    max_rank: int = 50,
    threads: int | None = None,
) -> RankResult:
    """Scores a distance matrix that comes in blocks of rows as `evaluate_rank` scores the whole.

    Args:
        blocks: The number of the first query and the (B, num_gallery) distances of B queries from there on, which
            together are every query once.
        q_pids: As in `evaluate_rank`, like all that follow.
        g_pids: See there.
        q_camids: See there.
        g_camids: See there.
        max_rank: See there.
        threads: See there.

    Raises:
        ValueError: When the blocks are not the queries' in their order, or for a reason that `evaluate_rank` names.
    """
    shape = (len(np.asarray(q_pids)), len(np.asarray(g_pids)))
    protocol = _Protocol(q_pids, g_pids, q_camids, g_camids, shape, max_rank)
    done = 0
    for start, distances in blocks:
        if start != done or distances.shape[1:] != shape[1:] or start + len(distances) > shape[0]:
            raise ValueError(
                f"blocks: got {distances.shape} distances of the queries from {start} on, allowed: (B, {shape[1]}) of "
                f"those from {done} to {shape[0] - 1}"
            )
        protocol.score_rows(np.ascontiguousarray(distances), start, threads)
        done += len(distances)
    if done != shape[0]:
        raise ValueError(f"blocks: got distances of {done} queries, allowed: of all {shape[0]}")
    return protocol.result()


class _Protocol:
    """Ids in the form that the kernel reads, and the scores of each query as they come in."""

    def __init__(
        self,
        q_pids: ArrayLike,
        g_pids: ArrayLike,
        q_camids: ArrayLike,
        g_camids: ArrayLike,
        shape: tuple[int, ...],
        max_rank: int,
    ) -> None:
        num_query, num_gallery = shape
        if num_query == 0 or num_gallery == 0:
            raise ValueError(f"distmat: got {num_query} queries and {num_gallery} gallery items, allowed: 1 or more")
        if max_rank < 1:
            raise ValueError(f"max_rank: got {max_rank}, allowed: 1 or more")
        self.max_rank = max_rank
        self.q_camids = _ids("q_camids", q_camids, num_query)
        self.g_camids = _ids("g_camids", g_camids, num_gallery)
        query_pids = _ids("q_pids", q_pids, num_query)
        gallery_pids = _ids("g_pids", g_pids, num_gallery)
        # The items of one identity lie side by side in `order`, by index: a query finds its own without a scan.
        self.order = np.argsort(gallery_pids, kind="stable")
        ordered = gallery_pids[self.order]
        self.first = np.searchsorted(ordered, query_pids, "left")
        self.last = np.searchsorted(ordered, query_pids, "right")
        self.ap = np.full(num_query, np.nan)
        self.inp = np.full(num_query, np.nan)
        self.first_match = np.zeros(num_query, np.int64)

    def score_rows(self, distances: NDArray[Any], offset: int, threads: int | None) -> None:
        """Scores the queries offset, offset + 1, ... whose distances are the rows of a C-contiguous block."""

        def score(start: int, stop: int) -> int:
            part = slice(offset + start, offset + stop)
            spans = (self.first[part], self.last[part], self.q_camids[part])
            found = (self.ap[part], self.inp[part], self.first_match[part])
            return _score_rows(distances[start:stop], self.order, self.g_camids, *spans, *found)

        bad = [row for row in map_row_blocks(score, len(distances), _BLOCK_ROWS, threads) if row >= 0]
        if bad:
            raise ValueError("distmat: got NaN, allowed: numbers and infinity")

    def result(self) -> RankResult:
        valid = self.first_match > 0
        num_valid = int(valid.sum())
        if num_valid == 0:
            raise ValueError(
                f"q_pids: got {len(valid)} queries, none of which has a gallery item of its pid in another camera; "
                "allowed: at least one that has"
            )
        hits = np.bincount(np.minimum(self.first_match[valid], self.max_rank + 1), minlength=self.max_rank + 2)
        cmc = np.cumsum(hits[1 : self.max_rank + 1]) / num_valid
        mean_ap, mean_inp = float(self.ap[valid].mean()), float(self.inp[valid].mean())
        num_skipped = len(valid) - num_valid
        return RankResult(cmc, mean_ap, mean_inp, num_valid, num_skipped, self.ap, self.inp, self.first_match)


def _ids(name: str, ids: ArrayLike, length: int) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.shape != (length,):
        raise ValueError(f"{name}: got shape {array.shape}, allowed: ({length},), as the distances have it")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name}: got {array.dtype}, allowed: integers")
    return array.astype(np.int64)


@njit(cache=True, nogil=True)
def _score_rows(distances, order, g_camids, first, last, q_camids, ap, inp, first_match):  # type: ignore[no-untyped-def]
    """Fills ap, inp and first_match; returns the first row that holds NaN, or -1."""
    num_query, num_gallery = distances.shape
    widest = 0
    for q in range(num_query):
        widest = max(widest, last[q] - first[q])
    keys = np.empty(widest, distances.dtype)  # distances of the matches, ascending
    items = np.empty(widest, np.int64)  # their gallery indices, ascending among equal distances
    before = np.empty(widest + 1, np.int64)  # gallery items from one match (exclusive) to the next (inclusive)
    for q in range(num_query):
        row = distances[q]
        nans = 0
        for j in range(num_gallery):
            nans += row[j] != row[j]
        if nans:
            return q
        count = _sorted_matches(row, order[first[q] : last[q]], g_camids, q_camids[q], keys, items)
        if count == 0:
            continue
        before[: count + 1] = 0
        for j in range(num_gallery):
            if row[j] <= keys[count - 1]:
                before[_place(row[j], j, keys, items, count)] += 1
        for k in range(first[q], last[q]):  # the same person in the same camera was counted and is no candidate
            j = order[k]
            if g_camids[j] == q_camids[q] and row[j] <= keys[count - 1]:
                before[_place(row[j], j, keys, items, count)] -= 1
        rank = 0
        precisions = 0.0
        for k in range(count):
            rank += before[k]
            precisions += (k + 1) / rank
            if k == 0:
                first_match[q] = rank
        ap[q] = precisions / count
        inp[q] = count / rank
    return -1


@njit(cache=True, nogil=True)
def _sorted_matches(row, candidates, g_camids, camid, keys, items):  # type: ignore[no-untyped-def]
    """Sorts the matches in other cameras by (distance, index) into keys and items and returns their number."""
    count = 0
    for j in candidates:
        if g_camids[j] != camid:
            keys[count] = row[j]
            items[count] = j
            count += 1
    # Candidates come by ascending index, so a stable sort by distance is all that is needed.
    sorting = np.argsort(keys[:count], kind="mergesort")
    keys[:count] = keys[:count][sorting]
    items[:count] = items[:count][sorting]
    return count


@njit(cache=True, nogil=True)
def _place(distance, j, keys, items, count):  # type: ignore[no-untyped-def]
    """Returns how many matches rank before gallery item j."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < distance or (keys[middle] == distance and items[middle] < j):
            low = middle + 1
        else:
            high = middle
    return low
