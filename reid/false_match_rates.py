"""The cosine distance at which different people are taken for one, at chosen rates, and how sure that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from reid.data.base import DISTRACTOR_PID
from reid.distances import cosine_distances, map_row_blocks

RATES = (0.03, 1e-2, 1e-3, 1e-4)
# Doddington's rule (Doddington et al., Speech Communication 31, 2000): of 30 errors one may say, with 90 % confidence,
# that their rate is within 30 % of the true one, if pairs are independent; fewer say too little to set a threshold by.
MIN_FALSE_MATCHES = 30
_BLOCK_ROWS = 256
_BINS = 1 << 16  # of distances 0..2, to find where the tail ends
_TAIL = 4.0  # times the largest rate: as far as resamples usually reach


@dataclass(frozen=True)
class RatePoint:
    """What a false match rate asks of the distance.

    Attributes:
        fmr: The rate.
        false_matches: Impostor pairs that are accepted at most at this rate.
        threshold: Largest cosine distance whose false match rate is at most `fmr`; None where `false_matches` is below
            `MIN_FALSE_MATCHES`: the set cannot tell.
        low: Lower end of its interval.
        high: Upper end.
        fnmr: Share of the pairs of one person that lie beyond the threshold; None without such pairs.
    """

    fmr: float
    false_matches: int
    threshold: float | None = None
    low: float | None = None
    high: float | None = None
    fnmr: float | None = None


@dataclass(frozen=True)
class FalseMatches:
    """The points of all rates, and what they were counted on.

    Attributes:
        points: One a rate, in the order given.
        impostor_pairs: Query and gallery items of different people, in any two cameras.
        genuine_pairs: Those of one person in two cameras.
        identities: People that were resampled; each distractor (pid 0) counts as one.
    """

    points: tuple[RatePoint, ...]
    impostor_pairs: int
    genuine_pairs: int
    identities: int


@dataclass(frozen=True)
class _Sides:
    """Features of norm 1, numbers of identities from 0 on, and cameras."""

    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    q_ids: NDArray[np.int32]
    g_ids: NDArray[np.int32]
    q_camids: NDArray[np.integer]
    g_camids: NDArray[np.integer]

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yields rows of queries, their distances, and where both items are of one person."""
        for start in range(0, len(self.query), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            yield rows, cosine_distances(self.query[rows], self.gallery), self.q_ids[rows, None] == self.g_ids


def false_matches(
    query_features: ArrayLike,
    gallery_features: ArrayLike,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    *,
    rates: Sequence[float] = RATES,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> FalseMatches:
    """Finds the cosine distances of false match rates, with percentile intervals of a bootstrap over identities.

    Pairs are those of `reid.open_set.verification_pairs`. A resample draws identities with replacement and holds each
    pair of different people as often as the product of both counts: pairs of one person are not independent, so that
    drawing pairs would promise too much. Draws without any pair are left out. Distances are made in blocks, twice, and
    only the smallest are kept.

    Args:
        query_features: (Q, D), of any norm.
        gallery_features: (G, D).
        q_pids: Integers (Q,).
        g_pids: Integers (G,), 0 for distractors.
        q_camids: Integers (Q,).
        g_camids: Integers (G,).
        rates: Each above 0, below 1.
        confidence: Share of resamples inside an interval, above 0, below 1.
        resamples: Draws of identities, 1 or more.
        seed: Of the draws.

    Raises:
        ValueError: When shapes do not fit, a feature is not finite, an option is out of its range, or there is no pair
            of different people.
    """
    if not rates or not all(0 < rate < 1 for rate in rates):
        raise ValueError(f"rates: got {tuple(rates)}, allowed: one or more above 0, below 1")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence}, allowed: above 0, below 1")
    if resamples < 1:
        raise ValueError(f"resamples: got {resamples}, allowed: 1 or more")
    sides = _sides(query_features, gallery_features, [q_pids, g_pids, q_camids, g_camids])
    histogram, genuine = _look(sides)
    pairs = int(histogram.sum())
    if not pairs:
        raise ValueError("q_pids, g_pids: got no pair of different people, allowed: one or more")
    allowed = {rate: _allowed(rate, pairs) for rate in rates}
    told = [rate for rate in rates if allowed[rate] >= MIN_FALSE_MATCHES]
    points = {rate: RatePoint(rate, allowed[rate]) for rate in rates}
    if told:
        tail = _tail(sides, histogram, _TAIL * max(told))
        samples = _resampled(sides, histogram, tail, sorted(told), resamples, seed)
        edges = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
        for column, rate in enumerate(sorted(told)):
            threshold = _just_below(tail[0][allowed[rate]])
            missed = float(np.mean(genuine > threshold)) if len(genuine) else None
            low, high = map(float, edges[:, column])
            points[rate] = RatePoint(rate, allowed[rate], threshold, low, high, missed)
    identities = len(np.unique(np.concatenate([sides.q_ids, sides.g_ids])))
    return FalseMatches(tuple(points[rate] for rate in rates), pairs, len(genuine), identities)


def _allowed(rate: float, pairs: int) -> int:
    return int(np.floor(rate * pairs * (1 + 1e-12)))


def _just_below(distance: np.floating) -> float:
    # Equal distances are accepted together or not at all.
    return float(np.nextafter(np.float32(distance), np.float32(-np.inf)))


def _sides(query_features: ArrayLike, gallery_features: ArrayLike, ids: list[ArrayLike]) -> _Sides:
    query, gallery = (np.asarray(features, np.float32) for features in (query_features, gallery_features))
    for name, features in (("query_features", query), ("gallery_features", gallery)):
        if features.ndim != 2 or 0 in features.shape or not np.isfinite(features).all():
            raise ValueError(f"{name}: got shape {features.shape}, allowed: (N, D), finite, N and D of 1 or more")
    arrays = [np.asarray(values) for values in ids]
    names = ("q_pids", "g_pids", "q_camids", "g_camids")
    for name, values, length in zip(names, arrays, 2 * (len(query), len(gallery)), strict=True):
        if values.shape != (length,):
            raise ValueError(f"{name}: got shape {values.shape}, allowed: ({length},), one an image")
    g_pids = arrays[1].astype(np.int64)
    distractors = g_pids == DISTRACTOR_PID
    # Nobody knows who they are: each counts as somebody else.
    g_pids[distractors] = arrays[0].max(initial=g_pids.max()) + 1 + np.arange(distractors.sum())
    numbers = np.unique(np.concatenate([arrays[0], g_pids]), return_inverse=True)[1].astype(np.int32)
    return _Sides(query, gallery, numbers[: len(query)], numbers[len(query) :], arrays[2], arrays[3])


def _bins(distances: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.minimum((distances * (_BINS / 2)).astype(np.int64), _BINS - 1)


def _look(sides: _Sides) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns how many impostor pairs each bin of distances has, and the distances of one person in two cameras."""
    histogram, genuine = np.zeros(_BINS, np.int64), []
    for rows, distances, same in sides.blocks():
        histogram += np.bincount(_bins(distances[~same]), minlength=_BINS)
        genuine.append(distances[same & (sides.q_camids[rows, None] != sides.g_camids)])
    return histogram, np.concatenate(genuine)


Tail = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]


def _tail(sides: _Sides, histogram: NDArray[np.int64], share: float) -> Tail:
    """Returns at least this share of the impostor pairs, the nearest, sorted: distances and both identities."""
    last = int(np.searchsorted(np.cumsum(histogram), min(1.0, share) * histogram.sum()))
    found = []
    for rows, distances, same in sides.blocks():
        row, column = np.nonzero(~same & (_bins(distances) <= last))
        found.append((distances[row, column], sides.q_ids[rows][row], sides.g_ids[column]))
    near, first, second = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(near, kind="stable")
    return near[order], first[order], second[order]


def _resampled(
    sides: _Sides, histogram: NDArray[np.int64], tail: Tail, rates: list[float], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Returns the thresholds of each resample that has pairs, (resamples, rates); rates ascend."""
    size = 1 + int(max(sides.q_ids.max(), sides.g_ids.max()))
    counts = [np.bincount(ids, minlength=size) for ids in (sides.q_ids, sides.g_ids)]
    weights = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=resamples)
    # All pairs of items, less those of one identity.
    totals = (weights @ counts[0]) * (weights @ counts[1]) - weights**2 @ (counts[0] * counts[1])
    weights, totals = weights[totals > 0], totals[totals > 0]
    limits = np.floor(totals[:, None] * np.array(rates) * (1 + 1e-12))
    found = np.full(limits.shape, np.nan, np.float32)
    share = _TAIL * rates[-1]
    while True:

        def walk(start: int, stop: int, tail: Tail = tail) -> bool:
            return all([_walk(*tail, weights[i], limits[i], found[i]) for i in range(start, stop)])

        if all(map_row_blocks(walk, len(weights), 16)):
            return np.nextafter(found, np.float32(-np.inf)).astype(np.float64)
        share *= 2  # some resample reaches farther than that
        tail = _tail(sides, histogram, share)


@njit(cache=True, nogil=True)
def _walk(distances, first, second, weights, limits, found):  # type: ignore[no-untyped-def]
    """Writes the first distance at which the weight of all pairs up to there exceeds each limit.

    Returns whether all limits were exceeded.
    """
    total, place = 0, 0
    for k in range(len(distances)):
        total += weights[first[k]] * weights[second[k]]
        while place < len(limits) and total > limits[place]:
            found[place] = distances[k]
            place += 1
        if place == len(limits):
            return True
    return False
