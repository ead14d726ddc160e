"""Distances that come in blocks score as the whole matrix does."""

import numpy as np
import pytest

import reid.metrics
import reid.reranking
from reid.distances import cosine_distances, euclidean_distances
from reid.metrics import distance_blocks, evaluate_blocks, evaluate_rank
from reid.reranking import k_reciprocal_blocks, k_reciprocal_rerank


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of two or three queries."""
    monkeypatch.setattr(reid.metrics, "_BLOCK_VALUES", 3 * 40)
    monkeypatch.setattr(reid.reranking, "_BLOCK_VALUES", 2 * 40)


def data(seed=0, num_query=11, num_gallery=40):
    random = np.random.default_rng(seed)
    pids = random.integers(1, 6, num_query), random.integers(0, 6, num_gallery)
    centers = random.normal(size=(6, 8))
    query, gallery = (centers[p] + random.normal(size=(len(p), 8)) for p in pids)
    camids = random.integers(0, 3, num_query), random.integers(0, 3, num_gallery)
    return query.astype(np.float32), gallery.astype(np.float32), (*pids, *camids)


@pytest.mark.parametrize(("name", "function"), [("euclidean", euclidean_distances), ("cosine", cosine_distances)])
def test_blocks_of_distances_are_the_matrix(small_blocks, name, function):
    query, gallery, _ = data()
    blocks = list(distance_blocks(query, gallery, name))
    assert [start for start, _ in blocks] == [0, 3, 6, 9]
    np.testing.assert_allclose(np.concatenate([rows for _, rows in blocks]), function(query, gallery), atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("k1", "k2", "lambda_value"), [(5, 2, 0.3), (20, 6, 0.0), (3, 1, 1.0)])
def test_blocks_of_reranked_distances_are_the_matrix(small_blocks, threads, k1, k2, lambda_value):
    query, gallery, ids = data()
    whole = k_reciprocal_rerank(query, gallery, k1, k2, lambda_value)
    blocks = list(k_reciprocal_blocks(query, gallery, k1, k2, lambda_value, threads))
    assert [start for start, _ in blocks] == [0, 2, 4, 6, 8, 10]
    np.testing.assert_allclose(np.concatenate([rows for _, rows in blocks]), whole, atol=1e-6)
    found = evaluate_blocks(iter(blocks), *ids, max_rank=5)
    expected = evaluate_rank(np.concatenate([rows for _, rows in blocks]), *ids, max_rank=5)
    assert (found.mAP, found.mINP, found.cmc.tolist()) == (expected.mAP, expected.mINP, expected.cmc.tolist())


def test_neighbours_and_device_are_those_of_the_matrix():
    query, gallery, _ = data()
    told = []
    blocks = k_reciprocal_blocks(query, gallery, 5, 2, neighbours="hnsw", say=told.append)
    whole = k_reciprocal_rerank(query, gallery, 5, 2, neighbours="hnsw", say=told.append)
    np.testing.assert_allclose(np.concatenate([rows for _, rows in blocks]), whole, atol=1e-5)
    assert len(told) == 2 and "recall" in told[0]
    with pytest.raises(ValueError, match="allowed: cpu, torch-cpu, cuda"):
        k_reciprocal_blocks(query, gallery, device="nowhere")


def test_blocks_must_be_all_queries_in_their_order():
    query, gallery, ids = data()
    rows = euclidean_distances(query, gallery)
    for blocks, message in (
        ([(0, rows[:4])], "of 4 queries, allowed: of all 11"),
        ([(4, rows[4:])], "from 4 on, allowed: .* from 0 to 10"),
        ([(0, rows), (11, rows[:1])], "from 11 on"),
        ([(0, rows[:, :-1])], "allowed: .B, 40."),
        ([(0, rows * np.nan)], "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_blocks(blocks, *ids)
    with pytest.raises(ValueError, match="0 queries and 40 gallery items"):
        evaluate_blocks([], [], ids[1], [], ids[3])
