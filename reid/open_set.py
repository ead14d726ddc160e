"""When not everybody is in the gallery: errors of a threshold on distances, and which threshold to take."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK_ROWS = 256


@dataclass(frozen=True)
class Verification:
    """Distances of pairs of the same person and of different people; a pair is accepted when distance <= threshold.

    Attributes:
        genuine: Sorted distances of the same person in two cameras.
        impostor: Sorted distances of different people.
    """

    genuine: NDArray[np.floating]
    impostor: NDArray[np.floating]

    def fmr(self, threshold: ArrayLike) -> NDArray[np.float64]:
        """Returns the false match rate: the share of different people accepted at each threshold."""
        return np.searchsorted(self.impostor, threshold, "right") / len(self.impostor)

    def fnmr(self, threshold: ArrayLike) -> NDArray[np.float64]:
        """Returns the false non-match rate: the share of pairs of one person rejected at each threshold."""
        return 1 - np.searchsorted(self.genuine, threshold, "right") / len(self.genuine)

    def threshold_at(self, fmr: float) -> float:
        """Returns the largest threshold whose false match rate is at most `fmr`.

        With few impostor pairs and a small `fmr` that is just below the nearest of them.

        Raises:
            ValueError: When `fmr` is not in 0..1.
        """
        if not 0 <= fmr <= 1:
            raise ValueError(f"fmr: got {fmr}, allowed: 0..1")
        allowed = int(np.floor(fmr * len(self.impostor) * (1 + 1e-12)))
        if allowed >= len(self.impostor):
            return float(max(self.impostor[-1], self.genuine[-1]))
        # Just below the first one too many; equal distances are accepted together or not at all.
        return float(np.nextafter(self.impostor[allowed], -np.inf, dtype=self.impostor.dtype))

    def roc(self, points: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Returns thresholds, false match rates and true match rates (1 - FNMR), all (K,) ascending, K <= points.

        Thresholds are impostor distances at rates evenly spaced in their logarithm, from one pair up to all.

        Raises:
            ValueError: When fewer than 2 points are asked for.
        """
        if points < 2:
            raise ValueError(f"points: got {points}, allowed: 2 or more")
        places = np.unique(np.geomspace(1, len(self.impostor), points).round().astype(np.int64)) - 1
        thresholds = np.unique(self.impostor[places]).astype(np.float64)
        return thresholds, self.fmr(thresholds), 1 - self.fnmr(thresholds)

    def equal_error(self) -> tuple[float, float]:
        """Returns the threshold where the two error rates are nearest to each other, and the mean of both there."""
        # FNMR falls at genuine distances only, FMR rises between them: the crossing is at one of these or just below.
        at = np.unique(self.genuine)
        candidates = np.concatenate([at, np.nextafter(at, -np.inf, dtype=at.dtype)])
        apart = np.abs(self.fmr(candidates) - self.fnmr(candidates))
        best = candidates[apart.argmin()]
        return float(best), float(self.fmr(best) + self.fnmr(best)) / 2


@dataclass(frozen=True)
class OpenSetRates:
    """What a threshold does to queries whose person is in the gallery, and to queries whose person is not.

    Attributes:
        threshold: A query is given the identity of its nearest gallery item when that is at most this far.
        known_identified: Share of known queries that get their own identity.
        known_mistaken: Share of known queries that get another one.
        known_rejected: Share of known queries that are called unknown.
        unknown_rejected: Share of unknown queries that are called unknown: the unknown-person rate.
        unknown_accepted: Share of unknown queries that get an identity.
        num_known: Queries with a match in another camera.
        num_unknown: All queries, each with its own identity taken out of the gallery.
    """

    threshold: float
    known_identified: float
    known_mistaken: float
    known_rejected: float
    unknown_rejected: float
    unknown_accepted: float
    num_known: int
    num_unknown: int


@dataclass(frozen=True)
class NearestDistances:
    """The nearest gallery item of each query's own person in another camera, and of anybody else.

    Attributes:
        own: float64 (Q,), infinity where the person has no such item.
        other: float64 (Q,).
    """

    own: NDArray[np.float64]
    other: NDArray[np.float64]

    def rates(self, threshold: float) -> OpenSetRates:
        """Counts what a threshold does; see `open_set_rates`.

        Raises:
            ValueError: When the threshold is not finite.
        """
        if not np.isfinite(threshold):
            raise ValueError(f"threshold: got {threshold}, allowed: a finite number")
        known = np.isfinite(self.own)
        accepted = np.minimum(self.own, self.other)[known] <= threshold
        # Where both are equally near, chance would decide: it counts as a mistake.
        right = (self.own < self.other)[known]
        stranger_accepted = float(np.mean(self.other <= threshold))
        return OpenSetRates(
            threshold=float(threshold),
            known_identified=float(np.mean(accepted & right)),
            known_mistaken=float(np.mean(accepted & ~right)),
            known_rejected=float(np.mean(~accepted)),
            unknown_rejected=1 - stranger_accepted,
            unknown_accepted=stranger_accepted,
            num_known=int(known.sum()),
            num_unknown=len(self.own),
        )

    def suggest(self) -> float:
        """Returns the threshold with the largest mean of `known_identified` and `unknown_rejected`.

        It lies half way to the next distance at which a rate would change; of equally good ones it is the smallest. It
        is chosen on these very queries, so that new ones will do a little worse.
        """
        known = np.isfinite(self.own)
        right = np.sort(self.own[known & (self.own < self.other)])
        others = np.sort(self.other)
        lowest = np.nextafter(min(others[0], right[0] if len(right) else np.inf), -np.inf)
        candidates = np.concatenate([[lowest], right])
        identified = np.searchsorted(right, candidates, "right") / known.sum()
        rejected = 1 - np.searchsorted(others, candidates, "right") / len(others)
        best = candidates[(identified + rejected).argmax()]
        larger = np.concatenate([right[right > best][:1], others[(others > best) & np.isfinite(others)][:1]])
        middle = (best + larger.min()) / 2 if len(larger) else best
        # Between neighbouring floats there is no middle, and the larger one would be accepted.
        return float(best if middle in larger else middle)


def verification_pairs(
    distmat: ArrayLike, q_pids: ArrayLike, g_pids: ArrayLike, q_camids: ArrayLike, g_camids: ArrayLike
) -> Verification:
    """Takes a distance matrix apart into pairs of the same person and of different people.

    Pairs of one person in one camera are left out, as the Market-1501 protocol does. Distractors (pid 0) are impostors.

    Args:
        distmat: (Q, G), smaller is nearer, finite.
        q_pids: Integers (Q,).
        g_pids: Integers (G,).
        q_camids: Integers (Q,).
        g_camids: Integers (G,).

    Raises:
        ValueError: When shapes do not fit, a distance is not finite, or one of the two kinds has no pair.
    """
    matrix, ids = _checked(distmat, q_pids, g_pids, q_camids, g_camids)
    genuine, impostor = [], []
    for start in range(0, len(matrix), _BLOCK_ROWS):
        rows, same, left_out = _block(matrix, ids, start)
        genuine.append(rows[same & ~left_out])
        impostor.append(rows[~same])
    pairs = [np.sort(np.concatenate(parts)) for parts in (genuine, impostor)]
    for name, found in zip(("the same person in two cameras", "different people"), pairs, strict=True):
        if not len(found):
            raise ValueError(f"q_pids, g_pids: got no pair of {name}, allowed: one or more")
    return Verification(*pairs)


def nearest_distances(
    distmat: ArrayLike, q_pids: ArrayLike, g_pids: ArrayLike, q_camids: ArrayLike, g_camids: ArrayLike
) -> NearestDistances:
    """Finds the nearest item of each query's own person and of anybody else, as `open_set_rates` needs them.

    Args:
        distmat: As in `verification_pairs`, like the ids.
        q_pids: See there.
        g_pids: See there.
        q_camids: See there.
        g_camids: See there.

    Raises:
        ValueError: When shapes do not fit, a distance is not finite, or no query has a match.
    """
    matrix, ids = _checked(distmat, q_pids, g_pids, q_camids, g_camids)
    own, other = np.empty(len(matrix)), np.empty(len(matrix))
    for start in range(0, len(matrix), _BLOCK_ROWS):
        rows, same, left_out = _block(matrix, ids, start)
        block = slice(start, start + _BLOCK_ROWS)
        own[block] = np.where(same & ~left_out, rows, np.inf).min(axis=1)
        other[block] = np.where(same, np.inf, rows).min(axis=1)
    if not np.isfinite(own).any():
        raise ValueError(f"q_pids: got {len(own)} queries, none with a match in another camera; allowed: at least one")
    return NearestDistances(own, other)


def open_set_rates(
    distmat: ArrayLike,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    threshold: float,
) -> OpenSetRates:
    """Counts what happens to known and to unknown people when their nearest gallery item decides.

    Every query is asked twice: with the gallery of the protocol, where its person is known, and with its identity taken
    out, where it is a stranger. Queries without a match in another camera are asked as strangers only. Gallery items of
    pid 0 are people of whom nothing is known; to be matched with one of them is a mistake.

    Args:
        distmat: As in `verification_pairs`, like the ids.
        q_pids: See there.
        g_pids: See there.
        q_camids: See there.
        g_camids: See there.
        threshold: Largest distance that is accepted, e.g. `Verification.threshold_at(fmr)`.

    Raises:
        ValueError: When shapes do not fit, a distance or the threshold is not finite, or no query has a match.
    """
    if not np.isfinite(threshold):
        raise ValueError(f"threshold: got {threshold}, allowed: a finite number")
    return nearest_distances(distmat, q_pids, g_pids, q_camids, g_camids).rates(threshold)


def _checked(distmat: ArrayLike, *ids: ArrayLike) -> tuple[NDArray[np.floating], list[NDArray[np.integer]]]:
    matrix = np.asarray(distmat)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"distmat: got shape {matrix.shape}, allowed: (Q, G) with Q and G of 1 or more")
    if matrix.dtype not in (np.float32, np.float64):
        matrix = matrix.astype(np.float64)
    arrays = [np.asarray(values) for values in ids]
    for name, values, length in zip(("q_pids", "g_pids", "q_camids", "g_camids"), arrays, 2 * matrix.shape):
        if values.shape != (length,):
            raise ValueError(f"{name}: got shape {values.shape}, allowed: ({length},), as distmat has it")
    for start in range(0, len(matrix), _BLOCK_ROWS):
        if not np.isfinite(matrix[start : start + _BLOCK_ROWS]).all():
            raise ValueError("distmat: got NaN or infinity, allowed: finite distances")
    return matrix, arrays


def _block(
    matrix: NDArray[np.floating], ids: list[NDArray[np.integer]], start: int
) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns rows from `start` on, where they are of the same person, and where of person and camera."""
    block = slice(start, start + _BLOCK_ROWS)
    same = ids[0][block, None] == ids[1]
    return matrix[block], same, same & (ids[2][block, None] == ids[3])
