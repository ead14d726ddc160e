"""The sparse Jaccard graph against a dense plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.jaccard import jaccard_graph


def plain_jaccard(features, k1, k2):
    """The clustering variant, dense and slow, with sets and loops; ranks by float32-exact integer cosines."""
    num = len(features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    squared = np.array([[((a - b) ** 2).sum() for b in unit] for a in unit])
    squared[squared < 1e-6] = 0
    ranking = [sorted(range(num), key=lambda j: (round(squared[i, j], 5), j)) for i in range(num)]

    def reciprocal(i, k):
        return [j for j in ranking[i][:k] if i in ranking[j][:k]]

    weights = np.zeros((num, num))
    for i in range(num):
        start = set(reciprocal(i, k1))
        expanded = set(start)
        for candidate in start:
            theirs = set(reciprocal(candidate, min(int(np.around(k1 / 2)) + 1, k1)))
            if len(theirs & start) > 2 / 3 * len(theirs):
                expanded |= theirs
        for j in expanded:
            weights[i, j] = np.exp(-squared[i, j])
        if expanded:
            weights[i] /= weights[i].sum()
    if k2 != 1:
        weights = np.array([weights[ranking[i][:k2]].mean(axis=0) for i in range(num)])
    distances = np.ones((num, num))
    for i in range(num):
        for j in range(num):
            shared = np.minimum(weights[i], weights[j]).sum()
            distances[i, j] = 0.0 if i == j else 1 - shared / (2 - shared)
    return distances


def dense(graph):
    full = np.ones(graph.shape)
    entries = graph.tocoo()
    full[entries.row, entries.col] = entries.data
    return full


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num=st.integers(1, 60), k1=st.integers(1, 80), k2=st.integers(1, 80))
def test_against_a_plain_loop_with_ties_and_duplicates(seed, num, k1, k2):
    # Vectors of +-1/2: norms are 1 and products exact, so that ties and duplicates are ties on both sides.
    features = np.random.default_rng(seed).choice([-0.5, 0.5], (num, 4))
    graph = jaccard_graph(features, k1, k2)
    assert graph.dtype == np.float32 and graph.shape == (num, num)
    np.testing.assert_allclose(dense(graph), plain_jaccard(features, k1, k2), atol=1e-5)


@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (5, 3), (7, 1), (3, 12), (30, 2)])
def test_against_a_plain_loop_on_clusters(k1, k2):
    rng = np.random.default_rng(k1)
    features = rng.normal(size=(15, 16))[rng.integers(0, 15, 200)] + 0.5 * rng.normal(size=(200, 16))
    np.testing.assert_allclose(dense(jaccard_graph(features, k1, k2)), plain_jaccard(features, k1, k2), atol=1e-5)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 16))[rng.integers(0, 40, 700)] + 0.4 * rng.normal(size=(700, 16))


def test_symmetric_sorted_and_zero_on_the_diagonal(rows):
    graph = jaccard_graph(rows)
    assert (graph != graph.T).nnz == 0
    assert graph.has_sorted_indices and not graph.diagonal().any()
    lengths = np.diff(graph.indptr)
    owners = np.repeat(np.arange(700), lengths)
    assert np.count_nonzero(graph.indices == owners) == 700  # the diagonal is stored
    assert graph.data.min() >= 0 and graph.data.max() < 1
    assert graph.nnz < 0.25 * 700 * 700


def test_scale_and_threads_change_nothing(rows):
    graph = jaccard_graph(rows, threads=1)
    for other in (jaccard_graph(rows, threads=5), jaccard_graph(4 * rows)):
        assert np.array_equal(graph.indices, other.indices) and np.array_equal(graph.data, other.data)


def test_a_limit_leaves_the_far_pairs_out(rows):
    whole, near = jaccard_graph(rows), jaccard_graph(rows, max_distance=0.4)
    assert 0 < near.nnz < whole.nnz and near.data.max() <= 0.4
    assert np.array_equal(dense(near), np.where(dense(whole) <= np.float32(0.4), dense(whole), 1))


def test_more_duplicates_than_neighbours_coincide():
    features = np.repeat(np.eye(3), 40, axis=0)
    assert np.array_equal(dense(jaccard_graph(features)) == 0, np.kron(np.eye(3), np.ones((40, 40))) > 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros(4)}, r"features: got shape \(4,\)"),
        ({"features": np.zeros((0, 4))}, r"features: got shape \(0, 4\)"),
        ({"features": np.eye(3) * np.nan}, "features: got NaN or infinity in row 0"),
        ({"features": np.diag([1.0, 0.0])}, "features: got zeros in row 1"),
        ({"k1": 0}, "k1: got 0"),
        ({"k2": 0}, "k2: got 0"),
        ({"max_distance": 0.0}, "max_distance: got 0"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        jaccard_graph(**({"features": np.eye(4)} | change))
