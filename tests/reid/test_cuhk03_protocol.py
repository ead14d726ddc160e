import numpy as np
import pytest

from reid.cuhk03_protocol import evaluate_single_shot
from reid.metrics import evaluate_rank


def world(seed, queries=30, gallery=200, people=15):
    random = np.random.default_rng(seed)
    pids = random.integers(1, people, queries), random.integers(1, people, gallery)
    camids = random.integers(0, 2, queries), random.integers(0, 2, gallery)
    distmat = np.round(random.normal(10 + 3 * (pids[0][:, None] != pids[1]), 2))  # whole numbers: ties
    return distmat, *pids, *camids


def plain_cmc(distmat, q_pids, g_pids, q_camids, g_camids, repeats, seed, max_rank):
    """Draws one item of each identity, ranks the drawn ones, looks for the match."""
    random = np.random.default_rng(seed)
    cmc, valid = np.zeros(max_rank), 0
    for q in range(len(q_pids)):
        kept = [g for g in range(len(g_pids)) if g_pids[g] != q_pids[q] or g_camids[g] != q_camids[q]]
        if all(g_pids[g] != q_pids[q] for g in kept):
            continue
        valid += 1
        people = sorted({int(g_pids[g]) for g in kept})
        for uniform in random.random((repeats, len(people))):
            drawn = []
            for pid, value in zip(people, uniform, strict=True):
                own = [g for g in kept if g_pids[g] == pid]
                drawn.append(own[int(value * len(own))])
            ranked = sorted(drawn, key=lambda g: (distmat[q, g], g))
            place = [g_pids[g] for g in ranked].index(q_pids[q])
            cmc[place:] += 1
    return cmc / (repeats * valid)


@pytest.mark.parametrize(("repeats", "max_rank"), [(1, 5), (10, 50)])
def test_sampled_curve_is_the_plain_loop(repeats, max_rank):
    data = world(0)
    cmc, result = evaluate_single_shot(*data, repeats=repeats, seed=7, max_rank=max_rank)
    assert cmc == pytest.approx(plain_cmc(*data, repeats, 7, max_rank))
    assert result.mAP == evaluate_rank(*data).mAP


def test_with_one_item_a_person_nothing_is_left_to_chance():
    distmat, q_pids, _, q_camids, _ = world(1, gallery=14)
    ids = (q_pids, np.arange(1, 15), np.zeros_like(q_camids), np.ones(14, int))
    cmc, result = evaluate_single_shot(distmat, *ids, repeats=3, max_rank=14)
    assert cmc == pytest.approx(result.cmc)


def test_draws_follow_the_seed_and_settle_with_repeats():
    data = world(2)
    first, _ = evaluate_single_shot(*data, seed=1)
    assert (first == evaluate_single_shot(*data, seed=1)[0]).all()
    assert (first != evaluate_single_shot(*data, seed=2)[0]).any()
    many = [evaluate_single_shot(*data, seed=seed, repeats=400)[0][0] for seed in (1, 2)]
    assert many[0] == pytest.approx(many[1], abs=0.02)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="repeats: got 0"):
        evaluate_single_shot(*world(0), repeats=0)
    with pytest.raises(ValueError, match="NaN"):
        evaluate_single_shot([[np.nan, 1.0]], [1], [1, 2], [0], [1, 1])
    with pytest.raises(ValueError, match="none of which has"):
        evaluate_single_shot([[0.5, 1.0]], [1], [3, 2], [0], [1, 1])
