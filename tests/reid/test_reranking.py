import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reid.neighbours
from reid.neighbours import nearest_neighbours
from reid.reciprocal_weights import k_reciprocal_weights
from reid.reranking import k_reciprocal_rerank


def plain_rerank(query, gallery, k1, k2, lambda_value):
    """The paper, dense and slow, in float64, with sets and loops."""
    items = np.concatenate([query, gallery]).astype(np.float64)
    num = len(items)
    squared = np.array([[((a - b) ** 2).sum() for b in items] for a in items])
    original = squared / np.maximum(squared.max(axis=1, keepdims=True), 1e-300)
    ranking = [sorted(range(num), key=lambda j: (squared[i, j], j)) for i in range(num)]

    def reciprocal(i, k):
        return [j for j in ranking[i][: k + 1] if i in ranking[j][: k + 1]]

    weights = np.zeros((num, num))
    for i in range(num):
        start = set(reciprocal(i, k1))
        expanded = set(start)
        for candidate in start:
            theirs = set(reciprocal(candidate, int(np.around(k1 / 2))))
            if len(theirs & start) > 2 / 3 * len(theirs):
                expanded |= theirs
        for j in expanded:
            weights[i, j] = np.exp(-original[i, j])
        if expanded:
            weights[i] /= weights[i].sum()
    if k2 != 1:
        weights = np.array([weights[ranking[i][:k2]].mean(axis=0) for i in range(num)])
    final = np.zeros((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            shared = np.minimum(weights[i], weights[len(query) + j]).sum()
            jaccard = 1 - shared / (2 - shared)
            final[i, j] = (1 - lambda_value) * jaccard + lambda_value * original[i, len(query) + j]
    return final


def clusters(rng, num, dim, num_clusters, spread):
    centers = rng.normal(size=(num_clusters, dim))
    return (centers[rng.integers(0, num_clusters, num)] + spread * rng.normal(size=(num, dim))).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_query=st.integers(1, 15),
    num_gallery=st.integers(1, 45),
    k1=st.integers(1, 70),
    k2=st.integers(1, 70),
    lambda_value=st.floats(0, 1),
    levels=st.integers(1, 6),
)
def test_against_the_paper_with_ties_and_duplicates(seed, num_query, num_gallery, k1, k2, lambda_value, levels):
    # Small integers: float32 is exact, so that ties and duplicates, of which there are many, are ties on both sides.
    rng = np.random.default_rng(seed)
    query = rng.integers(0, levels, (num_query, 3))
    gallery = rng.integers(0, levels, (num_gallery, 3))
    final = k_reciprocal_rerank(query, gallery, k1, k2, lambda_value)
    assert final.dtype == np.float32
    assert final.shape == (num_query, num_gallery)
    np.testing.assert_allclose(final, plain_rerank(query, gallery, k1, k2, lambda_value), atol=1e-5)


@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (5, 3), (7, 1), (3, 12), (30, 2)])
def test_against_the_paper_on_clusters(k1, k2):
    rng = np.random.default_rng(k1)
    rows = clusters(rng, 180, 16, 12, 0.5)
    expected = plain_rerank(rows[:40], rows[40:], k1, k2, 0.3)
    np.testing.assert_allclose(k_reciprocal_rerank(rows[:40], rows[40:], k1, k2), expected, atol=1e-5)


def test_tiles_and_threads_change_nothing(monkeypatch):
    rows = clusters(np.random.default_rng(0), 700, 8, 30, 0.4)
    rows = np.round(rows * 8)  # exact products, whatever the tile
    base = k_reciprocal_rerank(rows[:150], rows[150:], threads=1)
    assert np.array_equal(base, k_reciprocal_rerank(rows[:150], rows[150:], threads=7))
    for tile in (64, 100, 333):
        monkeypatch.setattr(reid.neighbours, "TILE", tile)
        assert np.array_equal(base, k_reciprocal_rerank(rows[:150], rows[150:], threads=3))


@pytest.mark.parametrize("tile", [50, 128, 1024])
@pytest.mark.parametrize("k", [1, 9, 500])
def test_neighbours_against_a_full_sort(monkeypatch, tile, k):
    monkeypatch.setattr(reid.neighbours, "TILE", tile)
    rows = np.random.default_rng(1).integers(0, 9, (300, 4)).astype(np.float32)
    squared = ((rows[:, None] - rows[None]) ** 2).sum(2)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    found = nearest_neighbours(rows, k, num_query=70, threads=2)
    assert np.array_equal(found.indices, order)
    assert np.array_equal(found.distances, np.take_along_axis(squared, order, 1))
    assert np.array_equal(found.row_max, squared.max(1))
    assert np.array_equal(found.cross, squared[:70, 70:])


def test_duplicates_tie_in_spite_of_rounding():
    rows = np.random.default_rng(2).normal(size=(40, 512)).astype(np.float32)
    rows = np.repeat(rows, 3, axis=0)  # items 3 n, 3 n + 1, 3 n + 2 are the same
    found = nearest_neighbours(rows, 3)
    assert np.array_equal(found.indices, np.arange(120).reshape(40, 3).repeat(3, axis=0))
    assert not found.distances.any()


def test_one_query_and_one_gallery_item():
    final = k_reciprocal_rerank(np.zeros((1, 4)), np.ones((1, 4)))
    np.testing.assert_allclose(final, plain_rerank(np.zeros((1, 4)), np.ones((1, 4)), 20, 6, 0.3), atol=1e-6)


def test_items_that_all_coincide_stay_finite():
    final = k_reciprocal_rerank(np.ones((3, 4)), np.ones((50, 4)))
    assert np.isfinite(final).all()


def test_extremes_of_lambda():
    rows = clusters(np.random.default_rng(3), 60, 8, 6, 0.5)
    squared = ((rows[:, None] - rows[None]) ** 2).sum(2)
    original = (squared / squared.max(1, keepdims=True))[:20, 20:]
    np.testing.assert_allclose(k_reciprocal_rerank(rows[:20], rows[20:], lambda_value=1), original, atol=1e-5)
    jaccard = k_reciprocal_rerank(rows[:20], rows[20:], lambda_value=0)
    np.testing.assert_allclose(
        k_reciprocal_rerank(rows[:20], rows[20:], lambda_value=0.25), 0.75 * jaccard + 0.25 * original, atol=1e-5
    )


def test_rows_of_the_weights_sum_to_one():
    rows = clusters(np.random.default_rng(4), 200, 8, 10, 0.4)
    weights = k_reciprocal_weights(rows, nearest_neighbours(rows, 21))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert weights.nnz < 0.5 * 200 * 200


def test_memory_stays_below_one_matrix_of_all_pairs():
    rows = clusters(np.random.default_rng(5), 6000, 16, 400, 0.3)
    k_reciprocal_rerank(rows[:100], rows[100:300])  # compiles
    tracemalloc.start()
    k_reciprocal_rerank(rows[:100], rows[100:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.3 * 6000 * 6000 * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": np.zeros((2, 3))}, r"query, gallery: got shapes \(2, 3\) and \(5, 4\)"),
        ({"query": np.zeros(4)}, r"query, gallery: got shapes \(4,\)"),
        ({"query": np.zeros((0, 4))}, "query, gallery: got 0 and 5 items"),
        ({"gallery": np.zeros((0, 4))}, "query, gallery: got 2 and 0 items"),
        ({"query": np.full((2, 4), np.nan)}, "query: got NaN or infinity"),
        ({"gallery": np.full((5, 4), np.inf)}, "gallery: got NaN or infinity"),
        ({"gallery": np.full((5, 4), 1e30)}, "overflow float32"),
        ({"k1": 0}, "k1: got 0, allowed: 1 or more"),
        ({"k2": 0}, "k2: got 0, allowed: 1 or more"),
        ({"lambda_value": 1.5}, r"lambda_value: got 1.5, allowed: 0\.\.1"),
        ({"lambda_value": float("nan")}, r"lambda_value: got nan"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        k_reciprocal_rerank(**({"query": np.zeros((2, 4)), "gallery": np.ones((5, 4))} | change))
