import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.distances import euclidean_distances
from reid.metrics import evaluate_features, evaluate_rank


def plain_scores(distmat, q_pids, g_pids, q_camids, g_camids, max_rank):
    """The protocol word by word: rank, remove, look."""
    cmc, average_precisions, penalties = np.zeros(max_rank), [], []
    for q, row in enumerate(distmat):
        ranked = sorted(range(len(row)), key=lambda j: (row[j], j))
        kept = [j for j in ranked if not (g_pids[j] == q_pids[q] and g_camids[j] == q_camids[q])]
        ranks = [rank for rank, j in enumerate(kept, start=1) if g_pids[j] == q_pids[q]]
        if not ranks:
            continue
        cmc[ranks[0] - 1 :] += 1
        average_precisions.append(sum(k / rank for k, rank in enumerate(ranks, start=1)) / len(ranks))
        penalties.append(len(ranks) / ranks[-1])
    valid = len(penalties)
    return (cmc / valid, np.mean(average_precisions), np.mean(penalties), valid) if valid else None


def test_by_hand():
    # The gallery by distance: 7 in camera 0 (the query's own, removed), 3, 7 in camera 1, 0, 7 in camera 2.
    result = evaluate_rank(
        np.array([[0.1, 0.2, 0.3, 0.4, 0.5]]), [7], [7, 3, 7, 0, 7], [0], [0, 0, 1, 1, 2], max_rank=5
    )
    # Without the removed item the matches have ranks 2 and 4.
    assert result.cmc.tolist() == [0, 1, 1, 1, 1]
    assert result.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert result.mINP == pytest.approx(2 / 4)
    assert (result.num_valid, result.num_skipped) == (1, 0)
    assert result.first_match.tolist() == [2]


def test_skipped_queries_count_nowhere():
    # The second query has its identity in its own camera only, the third not at all.
    distmat = np.tile(np.array([0.1, 0.2, 0.3], np.float32), (3, 1))
    result = evaluate_rank(distmat, [1, 2, 9], [1, 2, 3], [0, 0, 0], [1, 0, 1], max_rank=3)
    assert result.cmc.tolist() == [1, 1, 1]
    assert result.mAP == result.mINP == 1
    assert (result.num_valid, result.num_skipped) == (1, 2)
    assert np.isnan(result.ap).tolist() == np.isnan(result.inp).tolist() == [False, True, True]
    assert result.first_match.tolist() == [1, 0, 0]


def test_distractors_push_matches_back():
    near = evaluate_rank(np.array([[0.1, 0.5]]), [1], [0, 1], [0], [0, 1])
    assert near.mAP == 0.5
    assert near.cmc[:2].tolist() == [0, 1]


def test_ties_rank_by_gallery_index():
    zeros = np.zeros((1, 4))
    result = evaluate_rank(zeros, [1], [2, 1, 2, 1], [0], [1, 1, 1, 1])
    assert result.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert evaluate_rank(zeros, [1], [1, 1, 2, 2], [0], [1, 1, 1, 1]).mAP == 1


def test_max_rank_beyond_the_gallery():
    result = evaluate_rank(np.array([[0.2, 0.1]]), [1], [1, 2], [0], [1, 1], max_rank=20)
    assert result.cmc.tolist() == [0] + [1] * 19
    assert result.scores() == {"Rank-1": 0, "Rank-5": 1, "Rank-10": 1, "mAP": 0.5, "mINP": 0.5}


def test_infinity_is_a_distance():
    result = evaluate_rank(np.array([[np.inf, 1.0, np.inf]]), [1], [1, 2, 1], [0], [1, 1, 1])
    assert result.mAP == pytest.approx((1 / 2 + 2 / 3) / 2)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_query=st.integers(1, 12),
    num_gallery=st.integers(1, 40),
    num_pids=st.integers(1, 6),
    levels=st.integers(1, 50),
    max_rank=st.integers(1, 60),
    dtype=st.sampled_from([np.float32, np.float64, np.int32]),
)
def test_against_the_plain_loop(seed, num_query, num_gallery, num_pids, levels, max_rank, dtype):
    rng = np.random.default_rng(seed)
    distmat = rng.integers(0, levels, (num_query, num_gallery)).astype(dtype)  # few levels make many ties
    pids = rng.integers(0, num_pids, num_query), rng.integers(0, num_pids, num_gallery)
    camids = rng.integers(0, 3, num_query), rng.integers(0, 3, num_gallery)
    longest = max(max_rank, num_gallery)
    expected = plain_scores(distmat, *pids, *camids, longest)
    if expected is None:
        with pytest.raises(ValueError, match="none of which has a gallery item"):
            evaluate_rank(distmat, *pids, *camids, max_rank)
        return
    result = evaluate_rank(distmat, *pids, *camids, max_rank)
    np.testing.assert_allclose(result.cmc, expected[0][:max_rank])
    np.testing.assert_allclose([result.mAP, result.mINP, result.num_valid], expected[1:])


def test_layout_and_threads_change_nothing():
    rng = np.random.default_rng(1)
    distmat = rng.random((300, 500)).astype(np.float32)
    ids = [rng.integers(0, 40, 300), rng.integers(0, 40, 500), rng.integers(0, 4, 300), rng.integers(0, 4, 500)]
    base = evaluate_rank(distmat, *ids, threads=1)
    for other in (evaluate_rank(distmat, *ids, threads=5), evaluate_rank(np.asfortranarray(distmat), *ids)):
        assert np.array_equal(base.ap, other.ap, equal_nan=True)
        assert np.array_equal(base.cmc, other.cmc)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_features_score_as_their_matrix(distance, monkeypatch):
    rng = np.random.default_rng(2)
    query, gallery = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(90, 8)).astype(np.float32)
    if distance == "cosine":
        query, gallery = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (query, gallery))
    ids = [rng.integers(0, 9, 50), rng.integers(0, 9, 90), rng.integers(0, 4, 50), rng.integers(0, 4, 90)]
    result = evaluate_features(query, gallery, *ids, distance=distance)
    expected = evaluate_rank(euclidean_distances(query, gallery), *ids)
    assert result.mAP == pytest.approx(expected.mAP, abs=1e-9)
    assert np.array_equal(result.cmc, expected.cmc)


def test_features_never_make_the_whole_matrix(monkeypatch):
    import reid.metrics

    sizes = []

    def watched(x, y):
        sizes.append(len(x) * len(y))
        return euclidean_distances(x, y)

    monkeypatch.setitem(reid.metrics.DISTANCES, "euclidean", watched)
    monkeypatch.setattr(reid.metrics, "_BLOCK_VALUES", 1000)
    rows = np.random.default_rng(3).normal(size=(300, 4)).astype(np.float32)
    pids, camids = np.arange(300) % 10, np.arange(300) % 7
    evaluate_features(rows[:20], rows, pids[:20], pids, camids[:20], camids)
    assert sum(sizes) == 20 * 300
    assert max(sizes) <= 1000


GOOD = {
    "distmat": np.zeros((2, 3)),
    "q_pids": [1, 2],
    "g_pids": [1, 2, 3],
    "q_camids": [0, 0],
    "g_camids": [1, 1, 1],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distmat": np.array([[0, np.nan, 0], [0, 0, 0]])}, "distmat: got NaN"),
        ({"distmat": np.zeros((2, 0)), "g_pids": [], "g_camids": []}, "2 queries and 0 gallery items"),
        ({"distmat": np.zeros((0, 3)), "q_pids": [], "q_camids": []}, "0 queries and 3 gallery items"),
        ({"distmat": np.zeros(3)}, r"distmat: got shape \(3,\)"),
        ({"q_pids": [1]}, r"q_pids: got shape \(1,\), allowed: \(2,\)"),
        ({"g_camids": [1, 1]}, r"g_camids: got shape \(2,\), allowed: \(3,\)"),
        ({"g_pids": [1.5, 2, 3]}, "g_pids: got float64, allowed: integers"),
        ({"q_pids": [8, 9]}, "q_pids: got 2 queries, none of which"),
        ({"max_rank": 0}, "max_rank: got 0, allowed: 1 or more"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        evaluate_rank(**(GOOD | change))


def test_bad_features():
    ids = ([1], [1], [0], [1])
    with pytest.raises(ValueError, match="distance: got 'hamming', allowed: euclidean, cosine"):
        evaluate_features(np.zeros((1, 2)), np.zeros((1, 2)), *ids, distance="hamming")
    with pytest.raises(ValueError, match=r"query, gallery: got shapes \(1, 2\) and \(1, 3\)"):
        evaluate_features(np.zeros((1, 2)), np.zeros((1, 3)), *ids)
    with pytest.raises(ValueError, match="0 gallery items"):
        evaluate_features(np.zeros((1, 2)), np.zeros((0, 2)), [1], [], [0], [])
