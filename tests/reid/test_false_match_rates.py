"""Distances of false match rates: against plain loops, against the open-set numbers, and what a set cannot tell."""

import numpy as np
import pytest

from reid import false_match_rates
from reid.distances import cosine_distances
from reid.false_match_rates import MIN_FALSE_MATCHES, FalseMatches, false_matches
from reid.open_set import verification_pairs

Side = tuple[np.ndarray, np.ndarray, np.ndarray]


def people(seed: int, count: int = 25, images: int = 4, distractors: int = 0) -> Side:
    """Features, pids and cameras; people are the same for every seed, distractors are not."""
    random, centres = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(count, 12))
    pids = np.repeat(np.arange(1, count + 1), images)
    features = np.concatenate([centres[pids - 1], random.normal(size=(distractors, 12))])
    features = features + random.normal(scale=0.6, size=features.shape)
    pids = np.concatenate([pids, np.zeros(distractors, np.int64)])
    return features.astype(np.float32), pids, random.integers(0, 3, len(pids))


def found(query: Side, gallery: Side, **options) -> FalseMatches:
    return false_matches(query[0], gallery[0], query[1], gallery[1], query[2], gallery[2], **options)


def loop(query: Side, gallery: Side, q_ids: list, g_ids: list, rate: float) -> float:
    """Returns the threshold by counting pairs one by one; rows are repeated as the resample has them."""
    distances = cosine_distances(query[0], gallery[0])
    impostor = sorted(distances[i, j] for i, first in zip(*q_ids) for j, second in zip(*g_ids) if first != second)
    return float(np.nextafter(impostor[int(rate * len(impostor) * (1 + 1e-12))], np.float32(-np.inf)))


def test_thresholds_are_those_of_the_pairs() -> None:
    query, gallery = people(1), people(2, distractors=20)
    ids = (query[1], gallery[1], query[2], gallery[2])
    pairs = verification_pairs(cosine_distances(query[0], gallery[0]), *ids)
    result = found(query, gallery, rates=(0.2, 0.01), resamples=20)
    assert result.impostor_pairs == len(pairs.impostor) and result.genuine_pairs == len(pairs.genuine)
    assert result.identities == 25 + 20
    for point in result.points:
        assert point.threshold == pytest.approx(pairs.threshold_at(point.fmr), abs=1e-7)
        assert point.fnmr == pytest.approx(float(pairs.fnmr(point.threshold)), abs=1e-9)
        assert point.false_matches == int(point.fmr * len(pairs.impostor))
        assert point.low < point.threshold < point.high


def test_resamples_are_those_of_a_plain_loop() -> None:
    query, gallery = people(3, count=12), people(4, count=12, distractors=5)
    result = found(query, gallery, rates=(0.05, 0.1), resamples=8, seed=5, confidence=0.5)
    names = np.concatenate([np.arange(1, 13), 100 + np.arange(5)])
    g_names = gallery[1].copy()
    g_names[g_names == 0] = 100 + np.arange(5)
    draws = np.random.default_rng(5).multinomial(17, np.full(17, 1 / 17), size=8)
    samples = []
    for draw in draws:
        times = dict(zip(names.tolist(), draw.tolist()))
        drawn = []
        for ids in (query[1], g_names):
            rows = [i for i, name in enumerate(ids.tolist()) for _ in range(times[name])]
            drawn.append((rows, [int(ids[i]) for i in rows]))
        samples.append([loop(query, gallery, *drawn, rate) for rate in (0.05, 0.1)])
    low, high = np.quantile(samples, [0.25, 0.75], axis=0)
    for column, point in enumerate(result.points):
        assert (point.low, point.high) == pytest.approx((low[column], high[column]), abs=1e-6)


def test_a_short_tail_is_lengthened(monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = people(3, count=12), people(4, count=12)
    usual = found(query, gallery, rates=(0.05,), resamples=30)
    monkeypatch.setattr(false_match_rates, "_TAIL", 1.0)
    monkeypatch.setattr(false_match_rates, "_BLOCK_ROWS", 7)
    assert found(query, gallery, rates=(0.05,), resamples=30) == usual


def test_what_a_set_cannot_tell_is_not_invented() -> None:
    query, gallery = people(1), people(2)
    few, enough = found(query, gallery, rates=(1e-4, 1e-2), resamples=10).points
    assert enough.false_matches >= MIN_FALSE_MATCHES > few.false_matches
    assert enough.threshold is not None
    assert (few.threshold, few.low, few.high, few.fnmr) == (None, None, None, None)


def test_options_act() -> None:
    query, gallery = people(1), people(2)

    def width(**options) -> float:
        (point,) = found(query, gallery, rates=(0.05,), **options).points
        return point.high - point.low

    assert width(confidence=0.5) < width(confidence=0.95)
    assert width(seed=1, resamples=50) != width(seed=2, resamples=50) != width(seed=2, resamples=40)


def test_more_people_make_the_interval_narrower() -> None:
    widths = []
    for count in (10, 80):
        (point,) = found(people(1, count), people(2, count), rates=(0.05,), resamples=200).points
        widths.append(point.high - point.low)
    assert widths[1] < widths[0] / 1.5


def test_bad_input_is_refused() -> None:
    query, gallery = people(1), people(2)
    for options, message in [
        ({"rates": ()}, r"rates: got \(\), allowed"),
        ({"rates": (0.0,)}, "above 0, below 1"),
        ({"confidence": 1.0}, "confidence: got 1.0"),
        ({"resamples": 0}, "resamples: got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            found(query, gallery, **options)
    with pytest.raises(ValueError, match="no pair of different people"):
        found(people(1, count=1), people(2, count=1))
    with pytest.raises(ValueError, match=r"q_pids: got shape \(3,\), allowed: \(100,\)"):
        false_matches(query[0], gallery[0], [1, 2, 3], gallery[1], query[2], gallery[2])
    with pytest.raises(ValueError, match="gallery_features: got shape"):
        false_matches(query[0], gallery[0] * np.nan, query[1], gallery[1], query[2], gallery[2])
