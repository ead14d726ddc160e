"""One round of improvement against a plain loop over neighbours of neighbours."""

import numpy as np
import pytest

import reid.neighbour_descent
from reid.neighbour_descent import improve_neighbours
from reid.neighbours import nearest_neighbours


def whole_numbers(num, seed=0, levels=30):
    """Features whose squared distances are exact in float32, with ties and duplicates."""
    return np.random.default_rng(seed).integers(0, levels, (num, 4)).astype(np.float32)


def random_lists(rows, k, seed=1):
    """Each item and k - 1 random others, sorted by (distance, index)."""
    rng = np.random.default_rng(seed)
    indices = np.stack(
        [np.append(rng.choice(np.delete(np.arange(len(rows)), i), k - 1, False), i) for i in range(len(rows))]
    )
    return in_order(rows, indices)


def in_order(rows, indices):
    squared = ((rows[indices] - rows[:, None]) ** 2).sum(2)
    order = np.lexsort((indices, squared))
    return np.take_along_axis(indices, order, 1).astype(np.int32), np.take_along_axis(squared, order, 1)


def plain_round(rows, indices, width):
    k = indices.shape[1]
    result = []
    for i in range(len(rows)):
        have_me = [(int(np.flatnonzero(indices[j] == i)[0]), j) for j in range(len(rows)) if j != i and i in indices[j]]
        reverse = [j for _, j in sorted(have_me)][:width]
        seen = set(indices[i].tolist()) | set(reverse)
        for j in [*indices[i].tolist(), *reverse]:
            seen |= set(indices[j].tolist())
        squared = {j: float(((rows[i] - rows[j]) ** 2).sum()) for j in seen}
        result.append(sorted(seen, key=lambda j: (squared[j], j))[:k])
    return np.array(result)


@pytest.mark.parametrize("levels", [3, 30])
@pytest.mark.parametrize("k", [1, 4, 9])
def test_against_a_plain_loop(k, levels):
    rows = whole_numbers(150, levels=levels)
    indices, distances = random_lists(rows, k)
    before = indices.copy()
    found, squared = improve_neighbours(rows, (rows**2).sum(1), indices, distances)
    np.testing.assert_array_equal(found, plain_round(rows, indices, reid.neighbour_descent._REVERSE))
    np.testing.assert_array_equal(squared, in_order(rows, found)[1])
    np.testing.assert_array_equal(indices, before)


def test_a_few_rounds_find_nearly_all():
    rows = np.random.default_rng(2).normal(size=(1500, 6)).astype(np.float32)
    norms, exact = (rows**2).sum(1), nearest_neighbours(rows, 10).distances
    indices, distances = random_lists(rows, 10)
    recalls = []
    for _ in range(6):
        indices, distances = improve_neighbours(rows, norms, indices, distances)
        recalls.append((distances <= exact[:, -1:] * (1 + 1e-5)).mean())
    assert recalls == sorted(recalls) and recalls[-1] > 0.97


def test_blocks_and_threads_change_nothing(monkeypatch):
    rows = whole_numbers(300)
    indices, distances = random_lists(rows, 5)
    base = improve_neighbours(rows, (rows**2).sum(1), indices, distances, threads=1)
    monkeypatch.setattr(reid.neighbour_descent, "_BLOCK", 7)
    other = improve_neighbours(rows, (rows**2).sum(1), indices, distances, threads=3)
    assert all(np.array_equal(a, b) for a, b in zip(base, other, strict=True))
