"""What scores would have been over other sequences: combined as TrackEval combines, resampled with replacement."""

from collections.abc import Mapping
from typing import Any

import numpy as np

SCORES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1")


def combined_scores(evaluation: Mapping[str, Any], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Returns scores over multisets of sequences, each (R,), ratios in 0..1.

    Counts are summed, AssA is averaged by the matches at each of HOTA's thresholds, as `trackeval` combines sequences.

    Args:
        evaluation: What `tracking.evaluation.evaluate_mot` returned.
        weights: int (R, S), how often each of its S sequences is in each of the R multisets, in its order.
    """
    names = list(evaluation["sequences"])
    weights = np.asarray(weights, np.float64)
    curves = {
        key: np.array([evaluation["curves"][name][key] for name in names])
        for key in ("HOTA_TP", "HOTA_FN", "HOTA_FP", "AssA")
    }  # (S, 19)
    counts = {
        key: weights @ np.array([evaluation["sequences"][name][key] for name in names], np.float64)
        for key in ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "IDTP", "IDFN", "IDFP")
    }  # (R,)
    matches = weights @ curves["HOTA_TP"]  # (R, 19)
    objects = matches + weights @ (curves["HOTA_FN"] + curves["HOTA_FP"])
    detection = matches / np.maximum(1, objects)
    association = weights @ (curves["AssA"] * curves["HOTA_TP"]) / np.maximum(1, matches)
    wrong = counts["CLR_FP"] + counts["IDSW"]
    mota = (counts["CLR_TP"] - wrong) / np.maximum(1, counts["CLR_TP"] + counts["CLR_FN"])
    idf1 = counts["IDTP"] / np.maximum(1, counts["IDTP"] + 0.5 * counts["IDFP"] + 0.5 * counts["IDFN"])
    hota = np.sqrt(detection * association).mean(axis=1)
    values = (hota, detection.mean(axis=1), association.mean(axis=1), mota, idf1)
    return dict(zip(SCORES, values))


def resamples(sequences: int, count: int, seed: int) -> np.ndarray:
    """Returns int (count, sequences): how often each sequence is drawn when as many are drawn with replacement."""
    random = np.random.default_rng(seed)
    return random.multinomial(sequences, np.full(sequences, 1 / sequences), size=count)


def difference_interval(
    first: Mapping[str, Any], second: Mapping[str, Any], score: str, weights: np.ndarray, level: float = 0.95
) -> tuple[float, float] | None:
    """Returns the percentile bootstrap interval of second - first, or None for fewer than two sequences.

    Both are resampled alike, so what only says that a sequence is hard cancels out.

    Args:
        first: What `evaluate_mot` returned.
        second: The same for another tracker over the same sequences.
        score: One of `SCORES`.
        weights: From `resamples`.
        level: How often such an interval covers the difference, if sequences are independent.

    Raises:
        ValueError: When the two scored different sequences.
    """
    if list(first["sequences"]) != list(second["sequences"]):
        raise ValueError("sequences: the two evaluations differ in them; score both over the same ones")
    if len(first["sequences"]) < 2:
        return None
    difference = combined_scores(second, weights)[score] - combined_scores(first, weights)[score]
    low, high = np.quantile(difference, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
