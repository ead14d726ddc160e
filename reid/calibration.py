"""What a card says of distances: at which cosine distance so many different people are taken for one."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from reid.evaluation import protocol_of, protocol_samples
from reid.false_match_rates import MIN_FALSE_MATCHES, RATES, false_matches
from reid.records import score_record
from reid.training_data import TestSet


def calibrate(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    test: TestSet,
    *,
    protocol: str,
    rates: Sequence[float] = RATES,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns the record for `Card.calibration`, on the query and gallery images of a test set.

    Args:
        query_features: float32 (Q, D).
        gallery_features: float32 (G, D).
        test: Its people are no training people, where distances would be too good.
        protocol: Of the features; "transductive" for a network that has learnt from test images.
        rates: See `reid.false_match_rates.false_matches`, like what follows.
        confidence: See there.
        resamples: See there.
        seed: See there.

    Returns:
        A score record (`reid.records`); "scores" holds the fields of `FalseMatches`, and how its intervals were made.

    Raises:
        ValueError: See `false_matches`.
    """
    query, gallery = protocol_samples(test.data.query, test.data.gallery, test.data.cameras_known)
    q_pids, q_camids = np.array([(sample.pid, sample.camid) for sample in query]).T
    g_pids, g_camids = np.array([(sample.pid, sample.camid) for sample in gallery]).T
    told: dict[str, Any] = {"confidence": confidence, "resamples": resamples}
    ids = (q_pids, g_pids, q_camids, g_camids)
    found = false_matches(query_features, gallery_features, *ids, rates=rates, seed=seed, **told)
    scores = dataclasses.asdict(found) | {"points": [dataclasses.asdict(point) for point in found.points]} | told
    record = score_record(scores, protocol=protocol, dataset=test.name, split=test.split, seed=seed)
    return record | protocol_of(test.data.cameras_known) | {"distance": "cosine"}


def describe_calibration(record: dict[str, Any]) -> list[str]:
    """Returns the record in words: a line on the pairs, and one a rate."""
    scores = record["scores"]
    lines = [
        f"cosine distances on {record['dataset']}, {record['protocol']}: {scores['impostor_pairs']:,} pairs of "
        f"different people, {scores['genuine_pairs']:,} of one person, {scores['identities']:,} identities"
    ]
    for point in scores["points"]:
        rate = f"  false match rate {point['fmr']:g}: "
        if point["threshold"] is None:
            pairs = scores["impostor_pairs"]
            few = f"{point['false_matches']} of {pairs:,} pairs, {MIN_FALSE_MATCHES} are wanted"
            lines.append(f"{rate}not resolved by this set ({few})")
            continue
        interval = f"{100 * scores['confidence']:g} % interval {point['low']:.3f} to {point['high']:.3f}"
        missed = "" if point["fnmr"] is None else f", which refuses {100 * point['fnmr']:.1f} % of one person's pairs"
        lines.append(f"{rate}{point['threshold']:.3f} ({interval}){missed}")
    return lines
