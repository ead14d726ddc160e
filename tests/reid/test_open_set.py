import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from reid.open_set import NearestDistances, Verification, nearest_distances, open_set_rates, verification_pairs


def world(seed, queries=40, gallery=300, people=12, whole=True):
    random = np.random.default_rng(seed)
    pids = random.integers(1, people, queries), random.integers(0, people, gallery)
    camids = random.integers(0, 3, queries), random.integers(0, 3, gallery)
    apart = pids[0][:, None] != pids[1]
    distmat = random.normal(10 + 4 * apart, 2)
    return (np.round(distmat) if whole else distmat), *pids, *camids  # whole numbers: ties


def plain_pairs(distmat, q_pids, g_pids, q_camids, g_camids):
    genuine, impostor = [], []
    for q in range(len(q_pids)):
        for g in range(len(g_pids)):
            if q_pids[q] != g_pids[g]:
                impostor.append(distmat[q, g])
            elif q_camids[q] != g_camids[g]:
                genuine.append(distmat[q, g])
    return sorted(genuine), sorted(impostor)


def test_pairs_and_rates_are_the_plain_loop():
    data = world(0)
    genuine, impostor = plain_pairs(*data)
    pairs = verification_pairs(*data)
    assert pairs.genuine.tolist() == genuine and pairs.impostor.tolist() == impostor
    for threshold in (-1.0, 9.0, 11.5, 99.0):
        assert pairs.fmr(threshold) == pytest.approx(sum(d <= threshold for d in impostor) / len(impostor))
        assert pairs.fnmr(threshold) == pytest.approx(sum(d > threshold for d in genuine) / len(genuine))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(0, 1), st.booleans())
def test_threshold_is_the_largest_that_keeps_the_rate(seed, fmr, whole):
    pairs = verification_pairs(*world(seed, queries=6, gallery=40, people=5, whole=whole))
    threshold = pairs.threshold_at(fmr)
    assert pairs.fmr(threshold) <= fmr + 1e-9
    larger = pairs.impostor[pairs.impostor > threshold]
    if len(larger):
        assert pairs.fmr(larger[0]) > fmr


def test_threshold_in_float32_lets_no_tie_in():
    pairs = Verification(np.float32([0.1, 0.2]), np.float32([0.3, 0.3, 0.3, 0.9]))
    assert pairs.fmr(pairs.threshold_at(0.5)) == 0
    assert pairs.fmr(pairs.threshold_at(0.75)) == 0.75
    assert pairs.threshold_at(1.0) == pytest.approx(0.9)


def test_roc_lies_on_scikit_learns():
    pairs = verification_pairs(*world(1, whole=False))
    labels = np.r_[np.ones(len(pairs.genuine)), np.zeros(len(pairs.impostor))]
    scores = -np.r_[pairs.genuine, pairs.impostor]
    fpr, tpr, cuts = roc_curve(labels, scores, drop_intermediate=False)
    thresholds, found_fmr, found_tmr = pairs.roc(50)
    assert len(thresholds) <= 50 and (np.diff(thresholds) > 0).all() and (np.diff(found_tmr) >= 0).all()
    for threshold, x, y in zip(thresholds, found_fmr, found_tmr, strict=True):
        place = np.flatnonzero(np.isclose(-cuts, threshold, rtol=0, atol=1e-12))[0]
        assert (fpr[place], tpr[place]) == pytest.approx((x, y))
    assert found_fmr[-1] == 1


def test_equal_error_is_the_crossing():
    pairs = verification_pairs(*world(2, whole=False))
    threshold, rate = pairs.equal_error()
    assert pairs.fmr(threshold) == pytest.approx(rate, abs=0.02)
    every = np.concatenate([pairs.genuine, pairs.impostor])
    best = min(abs(pairs.fmr(t) - pairs.fnmr(t)) for t in every)
    assert abs(pairs.fmr(threshold) - pairs.fnmr(threshold)) <= best + 1e-12
    separate = Verification(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert separate.equal_error() == (2.0, 0.0)


@pytest.mark.parametrize("threshold", [-1.0, 6.0, 8.0, 10.0, 99.0])
def test_open_set_rates_are_the_plain_loop(threshold):
    distmat, q_pids, g_pids, q_camids, g_camids = world(3)
    counts = {"identified": 0, "mistaken": 0, "rejected": 0, "accepted": 0}
    known = 0
    for q, row in enumerate(distmat):
        own = [d for d, p, c in zip(row, g_pids, g_camids, strict=True) if p == q_pids[q] and c != q_camids[q]]
        other = [d for d, p in zip(row, g_pids, strict=True) if p != q_pids[q]]
        counts["accepted"] += min(other) <= threshold
        if own:
            known += 1
            if min(own + other) > threshold:
                counts["rejected"] += 1
            else:
                counts["identified" if min(own) < min(other) else "mistaken"] += 1
    rates = open_set_rates(distmat, q_pids, g_pids, q_camids, g_camids, threshold)
    assert (rates.num_known, rates.num_unknown) == (known, len(q_pids))
    assert rates.known_identified == pytest.approx(counts["identified"] / known)
    assert rates.known_mistaken == pytest.approx(counts["mistaken"] / known)
    assert rates.known_rejected == pytest.approx(counts["rejected"] / known)
    assert rates.unknown_accepted == pytest.approx(counts["accepted"] / len(q_pids))
    assert rates.unknown_accepted + rates.unknown_rejected == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("whole", [True, False])
def test_suggested_threshold_is_the_best_of_all(seed, whole):
    data = world(seed, whole=whole)

    def gain(threshold):
        rates = open_set_rates(*data, threshold)
        return rates.known_identified + rates.unknown_rejected

    distances = np.unique(data[0])
    every = [distances[0] - 1, *distances, *((distances[1:] + distances[:-1]) / 2)]
    suggested = nearest_distances(*data).suggest()
    assert gain(suggested) == pytest.approx(max(gain(threshold) for threshold in every))
    assert suggested not in distances  # between two of them, so that rounding moves nobody across


def test_suggestion_separates_what_can_be_separated():
    nearest = NearestDistances(np.array([0.2, 0.3, np.inf]), np.array([0.7, 0.9, 0.5]))
    assert nearest.suggest() == pytest.approx(0.4)
    assert nearest.rates(0.4).known_identified == nearest.rates(0.4).unknown_rejected == 1
    hopeless = NearestDistances(np.array([0.5, 0.6]), np.array([0.1, 0.2]))
    assert hopeless.rates(hopeless.suggest()).unknown_rejected == 1


def test_a_query_without_a_match_is_a_stranger_only():
    rates = open_set_rates([[0.1, 0.9], [0.5, 0.4]], [1, 2], [1, 3], [0, 0], [1, 1], 0.45)
    assert dataclasses.astuple(rates) == (0.45, 1.0, 0.0, 0.0, 0.5, 0.5, 1, 2)


def test_bad_input_is_named():
    data = world(0)
    for broken, message in (
        ((np.full((2, 2), np.nan), [1, 2], [1, 2], [0, 0], [1, 1]), "NaN"),
        ((np.zeros((2, 2)), [1], [1, 2], [0, 0], [1, 1]), "q_pids: got shape"),
        ((np.zeros((0, 2)), [], [1, 2], [], [1, 1]), "distmat: got shape"),
        ((np.zeros((1, 2)), [1], [2, 3], [0], [1, 1]), "the same person in two cameras"),
        ((np.zeros((1, 2)), [1], [1, 1], [0], [1, 1]), "different people"),
    ):
        with pytest.raises(ValueError, match=message):
            verification_pairs(*broken)
    with pytest.raises(ValueError, match="fmr: got 2"):
        verification_pairs(*data).threshold_at(2)
    with pytest.raises(ValueError, match="points: got 1"):
        verification_pairs(*data).roc(1)
    with pytest.raises(ValueError, match="threshold: got nan"):
        open_set_rates(*data, float("nan"))
    with pytest.raises(ValueError, match="none with a match"):
        open_set_rates(np.zeros((1, 2)), [1], [2, 3], [0], [1, 1], 0.5)
