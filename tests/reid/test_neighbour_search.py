"""Every way to find neighbours against the compiled exact one, and re-ranking that returns the best alone."""

import importlib.util
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reid.approximate_neighbours
import reid.neighbour_search
from reid.exact_rows import smallest
from reid.jaccard import jaccard_graph
from reid.neighbour_search import find_neighbours
from reid.neighbours import nearest_neighbours
from reid.reranking import k_reciprocal_rerank


def clusters(num, dim=16, people=40, spread=0.4, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(people, dim))[rng.integers(0, people, num)] + spread * rng.normal(size=(num, dim))
    return rows.astype(np.float32)


def same(first, second):
    assert np.array_equal(first.indices, second.indices)
    assert np.array_equal(first.distances, second.distances)
    assert np.array_equal(first.row_max, second.row_max)
    assert np.array_equal(first.cross, second.cross)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num=st.integers(1, 120),
    k=st.integers(1, 150),
    levels=st.integers(1, 6),
    share=st.floats(0, 1),
)
def test_the_device_path_is_exact_with_ties_and_duplicates(seed, num, k, levels, share):
    rows = np.random.default_rng(seed).integers(0, levels, (num, 3)).astype(np.float32)
    num_query = round(share * num)
    same(find_neighbours(rows, k, num_query, device="torch-cpu"), nearest_neighbours(rows, k, num_query))


def test_tiles_of_the_device_change_nothing(monkeypatch):
    rows = np.random.default_rng(1).integers(0, 9, (300, 4)).astype(np.float32)
    base = nearest_neighbours(rows, 9, 70)
    for tiles in ((50, 33), (64, 500), (300, 7)):
        monkeypatch.setattr(reid.neighbour_search, "_DEVICE_ROWS", tiles[0])
        monkeypatch.setattr(reid.neighbour_search, "_DEVICE_COLUMNS", tiles[1])
        same(find_neighbours(rows, 9, 70, device="torch-cpu"), base)


def test_the_device_path_keeps_full_precision():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        rows = clusters(400, 64)
        found, base = find_neighbours(rows, 21, device="torch-cpu"), nearest_neighbours(rows, 21)
        np.testing.assert_allclose(found.distances, base.distances, rtol=1e-4, atol=1e-4)
        assert (found.indices == base.indices).mean() > 0.99
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_finds_what_the_cpu_finds():
    rows = np.random.default_rng(2).integers(0, 9, (5000, 8)).astype(np.float32)
    same(find_neighbours(rows, 21, 500, device="cuda"), nearest_neighbours(rows, 21, 500))


faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")


@faiss
@pytest.mark.parametrize("method", ["hnsw", "ivf"])
def test_approximate_search_says_its_recall(method):
    rows = clusters(3000)
    said = []
    found = find_neighbours(rows, 21, 200, method=method, say=said.append)
    exact = nearest_neighbours(rows, 21, 200)
    overlap = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found.indices, exact.indices, strict=True)]) / 21
    assert overlap > 0.9
    assert len(said) == 1 and said[0].startswith(f"{method}: recall ") and "on 1000 of 3000 items" in said[0]
    assert float(said[0].split()[2]) == pytest.approx(overlap, abs=0.02)
    assert np.array_equal(found.indices[:, 0], np.arange(3000)) and not found.distances[:, 0].any()
    assert (np.diff(found.distances, axis=1) >= 0).all()
    np.testing.assert_allclose(found.row_max, exact.row_max, rtol=1e-4)  # fewer items than the sample takes
    np.testing.assert_allclose(found.cross, exact.cross, atol=1e-3)


def replace_search(monkeypatch, search):
    for name in ("hnsw", "ivf"):
        monkeypatch.setitem(reid.approximate_neighbours._SEARCHES, name, lambda features, norms, seed: search)


@faiss
def test_a_poor_search_says_so(monkeypatch):
    # Everything far is missed: each item's neighbours are itself and whatever comes next.
    replace_search(monkeypatch, lambda items, k, effort, threads: (items[:, None] + np.arange(k)) % 2000)
    said = []
    find_neighbours(clusters(2000), 21, method="hnsw", say=said.append)
    assert float(said[0].split()[2]) < 0.5 and said[0].endswith("effort 512, improved 4 times")


@faiss
@pytest.mark.parametrize("enough", [8, 64, 512])
def test_no_more_effort_than_needed(monkeypatch, enough):
    rows = clusters(2000)
    exact = nearest_neighbours(rows, 21).indices
    efforts = []

    def search(items, k, effort, threads):
        efforts.append((len(items), effort))
        return exact[items] if effort >= enough else np.tile(np.arange(k), (len(items), 1))

    replace_search(monkeypatch, search)
    said = []
    find_neighbours(rows, 21, method="ivf", say=said.append)
    tried = [effort for effort in (8, 16, 32, 64, 128, 256, 512) if effort <= enough]
    assert efforts == [(256, effort) for effort in tried] + [(2000, enough)]
    assert "recall 1.0000" in said[0] and said[0].endswith(f"effort {enough}, improved 0 times")


@faiss
def test_rows_that_faiss_leaves_short_are_searched_exactly(monkeypatch):
    def short(items, k, effort, threads):
        found = np.full((len(items), k), -1)
        found[:, 0] = (items + 1) % 300
        return found

    replace_search(monkeypatch, short)
    rows = np.random.default_rng(3).integers(0, 9, (300, 4)).astype(np.float32)
    same(find_neighbours(rows, 9, 70, method="ivf", say=lambda text: None), nearest_neighbours(rows, 9, 70))


@faiss
@pytest.mark.parametrize("method", ["hnsw", "ivf"])
def test_few_items_are_no_trouble(method):
    rows = np.random.default_rng(4).integers(0, 3, (7, 4)).astype(np.float32)
    found = find_neighbours(rows, 20, 2, method=method, say=lambda text: None)
    np.testing.assert_array_equal(found.distances, nearest_neighbours(rows, 20, 2).distances)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_query=st.integers(1, 15),
    num_gallery=st.integers(1, 45),
    top_k=st.integers(1, 60),
    k1=st.integers(1, 70),
    k2=st.integers(1, 70),
    lambda_value=st.floats(0, 1),
    levels=st.integers(1, 6),
)
def test_the_best_are_those_of_the_matrix(seed, num_query, num_gallery, top_k, k1, k2, lambda_value, levels):
    # Small integers: the products are exact, and ties, of which there are many, are ties both ways.
    rng = np.random.default_rng(seed)
    query, gallery = rng.integers(0, levels, (num_query, 3)), rng.integers(0, levels, (num_gallery, 3))
    whole = k_reciprocal_rerank(query, gallery, k1, k2, lambda_value)
    distances, indices = k_reciprocal_rerank(query, gallery, k1, k2, lambda_value, top_k=top_k)
    expected = np.argsort(whole, axis=1, kind="stable")[:, :top_k]
    assert np.array_equal(indices, expected) and indices.dtype == np.int32
    assert np.array_equal(distances, np.take_along_axis(whole, expected, 1))


def test_blocks_and_threads_change_no_best(monkeypatch):
    rows = np.round(clusters(700, 8) * 8)
    base = k_reciprocal_rerank(rows[:150], rows[150:], top_k=30, threads=1)
    for values in (1, 5000, 20000):
        monkeypatch.setattr(reid.reranking, "_BLOCK_VALUES", values)
        other = k_reciprocal_rerank(rows[:150], rows[150:], top_k=30, threads=3)
        assert all(np.array_equal(a, b) for a, b in zip(base, other, strict=True))


def test_memory_of_the_best_does_not_grow_with_the_matrix(monkeypatch):
    monkeypatch.setattr(reid.reranking, "_BLOCK_VALUES", 1 << 16)
    rows = clusters(8000, people=800)
    k_reciprocal_rerank(rows[:100], rows[100:300], top_k=10)  # compiles
    tracemalloc.start()
    k_reciprocal_rerank(rows[:4000], rows[4000:], top_k=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * 4000 * 4000 * 4


def test_options_reach_re_ranking_and_graph():
    rows = clusters(600)
    base = k_reciprocal_rerank(rows[:100], rows[100:])
    device = k_reciprocal_rerank(rows[:100], rows[100:], device="torch-cpu")
    np.testing.assert_allclose(device, base, atol=2e-3)
    graph = jaccard_graph(rows, device="torch-cpu")
    assert abs(graph - jaccard_graph(rows)).max() < 0.2
    said: list[str] = []
    if importlib.util.find_spec("faiss"):
        close = k_reciprocal_rerank(rows[:100], rows[100:], neighbours="hnsw", say=said.append)
        assert np.abs(close - base).mean() < 0.02
        jaccard_graph(rows, neighbours="ivf", say=said.append)
        assert [line.split(":")[0] for line in said] == ["hnsw", "ivf"]


def test_smallest_ranks_ties_by_index():
    rows = np.random.default_rng(5).integers(0, 5, (20, 1200)).astype(np.float32)
    for k in (1, 7, 60, 1000, 1001, 1200):
        indices, values = smallest(rows, k)
        assert np.array_equal(indices, np.argsort(rows, axis=1, kind="stable")[:, :k])
        assert np.array_equal(values, np.take_along_axis(rows, indices.astype(np.int64), 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": "lsh"}, "neighbours: got 'lsh', allowed: exact, hnsw, ivf"),
        ({"device": "tpu9"}, "device: got 'tpu9', allowed: cpu, torch-cpu, cuda, cuda:N"),
        ({"device": "cuda:99"}, "device: got 'cuda:99', but torch sees"),
        ({"device": "cuda", "neighbours": "hnsw"}, "device: got 'cuda' with neighbours 'hnsw'"),
        ({"top_k": 0}, "top_k: got 0, allowed: 1 or more"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        k_reciprocal_rerank(np.eye(4), np.eye(4), **options)


@pytest.mark.parametrize("options", [{"device": "torch-cpu"}, {"method": "ivf"}])
def test_overflow_is_an_error_everywhere(options):
    with pytest.raises(ValueError, match="overflow float32"):
        find_neighbours(np.full((5, 4), 1e30, np.float32), 3, **options)
