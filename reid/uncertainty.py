"""How sure a score is: bootstrap intervals over identities, and the paired comparison of two rankings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.metrics import RankResult

METRICS = ("Rank-1", "mAP")


@dataclass(frozen=True)
class Interval:
    """A score and where it would lie with other people in the test set.

    Attributes:
        value: The score itself, in 0..1; of a comparison the second one minus the first, in -1..1.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two rankings of the same queries.

    Attributes:
        first: Interval of the first ranking.
        second: Interval of the second.
        difference: Interval of second minus first, of the same resampled identities on both sides.
        p_value: Two-sided: twice the smaller share of resamples in which the difference is at most 0, or at least 0,
            counted with the observed sample as one of them, so never 0.
    """

    first: Interval
    second: Interval
    difference: Interval
    p_value: float


def bootstrap_intervals(
    result: RankResult,
    q_pids: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Returns percentile intervals of Rank-1 and mAP (Efron and Tibshirani, 1993).

    Identities are drawn with replacement, each with all of its valid queries: queries of one person are not independent
    of each other, so drawing queries would promise too much. The training is taken as it is.

    Args:
        result: Scores of each query.
        q_pids: Integers (num_query,), those that were scored.
        confidence: Share of resamples inside the interval, above 0 and below 1.
        resamples: How many, 1 or more.
        seed: Of the draws.

    Returns:
        "Rank-1" and "mAP" to their intervals.

    Raises:
        ValueError: When lengths do not fit, an option is out of its range, or there is one identity only.
    """
    values, identities = _valid_scores(result, q_pids)
    weights = _draw(identities, resamples, seed)
    samples = _resampled(values, identities, weights)
    return {
        name: _interval(float(values[:, column].mean()), samples[:, column], confidence)
        for column, name in enumerate(METRICS)
    }


def count_identities(result: RankResult, q_pids: ArrayLike) -> int:
    """Returns how many identities have valid queries; intervals need 2 or more.

    Raises:
        ValueError: When there is not one pid a query.
    """
    return len(np.unique(_checked_pids(result, q_pids)[result.first_match > 0]))


def compare_results(
    first: RankResult,
    second: RankResult,
    q_pids: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Compares two rankings of the same queries, resampling the same identities on both sides.

    What both find easy or hard falls out of the difference, whose interval is therefore narrower than the two intervals
    suggest.

    Args:
        first: Scores of each query by one method.
        second: By the other, of the same queries in the same order.
        q_pids: As in `bootstrap_intervals`, like all that follow.
        confidence: See there.
        resamples: See there.
        seed: See there.

    Returns:
        "Rank-1" and "mAP" to their comparisons.

    Raises:
        ValueError: When the results are not of the same queries, or for a reason that `bootstrap_intervals` names.
    """
    if first.ap.shape != second.ap.shape or ((first.first_match > 0) != (second.first_match > 0)).any():
        raise ValueError(
            f"first, second: got {len(first.ap)} and {len(second.ap)} queries, {first.num_valid} and "
            f"{second.num_valid} of them valid; allowed: the same queries on both sides"
        )
    scores = []
    for result in (first, second):
        values, identities = _valid_scores(result, q_pids)
        scores.append(values)
    weights = _draw(identities, resamples, seed)
    samples = [_resampled(values, identities, weights) for values in scores]
    differences = samples[1] - samples[0]
    found = {}
    for column, name in enumerate(METRICS):
        a, b = (float(values[:, column].mean()) for values in scores)
        change = differences[:, column]
        tail = min(np.count_nonzero(change <= 0), np.count_nonzero(change >= 0))
        found[name] = Comparison(
            _interval(a, samples[0][:, column], confidence),
            _interval(b, samples[1][:, column], confidence),
            _interval(b - a, change, confidence),
            min(1.0, 2 * (tail + 1) / (resamples + 1)),
        )
    return found


def _valid_scores(result: RankResult, q_pids: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns Rank-1 and AP (V, 2) of the valid queries, and the number of each one's identity (V,), from 0."""
    pids = _checked_pids(result, q_pids)
    valid = result.first_match > 0
    values = np.stack([result.first_match[valid] == 1, result.ap[valid]], axis=1).astype(np.float64)
    names, identities = np.unique(pids[valid], return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"q_pids: got {len(names)} identities with valid queries, allowed: 2 or more to resample")
    return values, identities


def _checked_pids(result: RankResult, q_pids: ArrayLike) -> NDArray[np.int64]:
    pids = np.asarray(q_pids)
    if pids.shape != result.ap.shape:
        raise ValueError(f"q_pids: got shape {pids.shape}, allowed: {result.ap.shape}, as the result has it")
    return pids


def _draw(identities: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.int64]:
    """Returns how often each resample holds each identity, (resamples, identities)."""
    if resamples < 1:
        raise ValueError(f"resamples: got {resamples}, allowed: 1 or more")
    count = int(identities.max()) + 1
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)


def _resampled(
    values: NDArray[np.float64], identities: NDArray[np.int64], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Returns the mean over queries of each resample, (resamples, 2)."""
    queries = np.bincount(identities)
    sums = np.stack([np.bincount(identities, column) for column in values.T], axis=1)  # (identities, 2)
    return (weights @ sums) / (weights @ queries)[:, None]


def _interval(value: float, samples: NDArray[np.float64], confidence: float) -> Interval:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence}, allowed: above 0, below 1")
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
