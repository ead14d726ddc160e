"""Inverted lists against a plain loop over the same lists, and against all items."""

import importlib.util

import numpy as np
import pytest

import reid.inverted_lists
from reid.inverted_lists import InvertedLists
from reid.neighbours import nearest_neighbours

pytestmark = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")


def whole_numbers(num, dim=8, seed=0):
    """Features whose squared distances are exact in float32."""
    rng = np.random.default_rng(seed)
    centers = rng.integers(-40, 40, (num // 20, dim))
    return (centers[rng.integers(0, len(centers), num)] + rng.integers(-6, 7, (num, dim))).astype(np.float32)


def lists_of(rows):
    return InvertedLists(rows, np.einsum("nd,nd->n", rows, rows), seed=3)


@pytest.mark.parametrize("effort", [1, 4, 15])
def test_against_a_plain_loop_over_the_lists(effort):
    rows = whole_numbers(1200)
    lists = lists_of(rows)
    assert lists.count == 1200 // 39
    means, members = lists.means, lists.members()
    assert sorted(np.concatenate(members).tolist()) == list(range(1200))
    items = np.array([7, 3, 900, 41, 1199])
    found = lists.search(items, 10, effort)
    for item, row in zip(items, found, strict=True):
        near = np.argsort(((means - rows[item]) ** 2).sum(1), kind="stable")[:effort]
        candidates = np.concatenate([members[number] for number in near])
        expected = np.sort(((rows[candidates] - rows[item]) ** 2).sum(1))[:10]
        full = row >= 0
        assert full.sum() == len(expected) and full[: len(expected)].all() and set(row[full]) <= set(candidates)
        np.testing.assert_array_equal(((rows[row[full]] - rows[item]) ** 2).sum(1), expected)


def test_all_lists_find_everything():
    rows = whole_numbers(700)
    lists = lists_of(rows)
    found = lists.search(np.arange(700), 12, lists.count + 5)
    exact = nearest_neighbours(rows, 12)
    np.testing.assert_array_equal(((rows[found] - rows[:, None]) ** 2).sum(2), exact.distances)


def test_blocks_and_threads_change_nothing(monkeypatch):
    rows = whole_numbers(900)
    lists = lists_of(rows)
    base = lists.search(np.arange(900), 9, 4, threads=1)
    monkeypatch.setattr(reid.inverted_lists, "_BLOCK_VISITS", 1)
    monkeypatch.setattr(reid.inverted_lists, "_BLOCK_VALUES", 1)
    assert np.array_equal(base, lists.search(np.arange(900), 9, 4, threads=3))
    order = np.random.default_rng(1).permutation(900)
    assert np.array_equal(base[order], lists.search(order, 9, 4))


def test_the_seed_decides_the_lists():
    rows = whole_numbers(900)
    one, same, other = (InvertedLists(rows, (rows**2).sum(1), seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one.members(), same.members(), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one.members(), other.members(), strict=True))
