"""Distances of distributions, precision and recall, modes: against formulas, plain loops and scipy."""

import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm

from modification_gan.distribution_distances import frechet_distance, kernel_distance, kernel_distance_of_subsets
from modification_gan.leak_check import leak_check, nearest_list, nearest_rows
from modification_gan.mode_coverage import cluster_modes, mean_pair_distance, mode_coverage
from modification_gan.precision_recall import precision_recall
from modification_gan.sample_sheet import choose_rows


def rows(count: int, size: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(shift, 1, (count, size)) * np.linspace(0.5, 2, size)).astype(np.float32)


def unit(count: int, size: int, seed: int) -> np.ndarray:
    found = rows(count, size, seed)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("size", [1, 4, 9])
def test_frechet_distance_is_that_of_sqrtm(size: int) -> None:
    first, second = rows(40, size, 0), rows(60, size, 1, 0.5)
    c1, c2 = (np.atleast_2d(np.cov(part.astype(np.float64), rowvar=False)) for part in (first, second))
    difference = first.astype(np.float64).mean(axis=0) - second.astype(np.float64).mean(axis=0)
    expected = difference @ difference + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(first, first + 3) == pytest.approx(9 * size, rel=1e-5)


def test_frechet_distance_bears_fewer_images_than_dimensions() -> None:
    first, second = rows(6, 20, 0), rows(8, 20, 1)
    # The nuclear norm of the product of the centred sets is the trace of the root.
    a, b = ((part - part.mean(axis=0)).astype(np.float64) / np.sqrt(len(part) - 1) for part in (first, second))
    difference = first.astype(np.float64).mean(axis=0) - second.astype(np.float64).mean(axis=0)
    nuclear = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    expected = difference @ difference + (a**2).sum() + (b**2).sum() - 2 * nuclear
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_kernel_distance_is_that_of_a_double_loop() -> None:
    first, second = rows(7, 5, 0), rows(9, 5, 1)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(float(x) * float(y) for x, y in zip(a, b)) / 5 + 1) ** 3

    within = sum(kernel(a, b) for a, b in itertools.permutations(first, 2)) / (7 * 6)
    within += sum(kernel(a, b) for a, b in itertools.permutations(second, 2)) / (9 * 8)
    across = sum(kernel(a, b) for a in first for b in second) / (7 * 9)
    assert kernel_distance(first, second) == pytest.approx(within - 2 * across, rel=1e-6)
    mean, spread = kernel_distance_of_subsets(first, second, subsets=3, size=100)
    assert spread is not None and spread > 0 and mean != kernel_distance(first, second)  # 7 of 9 each
    again = kernel_distance_of_subsets(first, second, subsets=3, size=100)
    assert (mean, spread) == again != kernel_distance_of_subsets(first, second, subsets=3, size=100, seed=1)
    # As many images as a subset has: there is but one.
    assert kernel_distance_of_subsets(first, second[:7], size=7) == (kernel_distance(first, second[:7]), None)
    same = [kernel_distance(rows(200, 5, seed), rows(200, 5, 100 + seed)) for seed in range(10)]
    assert min(same) < 0 < max(same)  # without bias


def test_precision_and_recall_are_those_of_plain_loops() -> None:
    real, generated, k = rows(30, 3, 0), rows(25, 3, 1, 1.0), 2

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b))))

    def radii(some: np.ndarray) -> list[float]:
        return [sorted(distance(a, b) for j, b in enumerate(some) if j != i)[k - 1] for i, a in enumerate(some)]

    of_real, of_generated = radii(real), radii(generated)
    precision = np.mean([any(distance(g, r) <= of_real[i] for i, r in enumerate(real)) for g in generated])
    recall = np.mean([any(distance(g, r) <= of_generated[i] for i, g in enumerate(generated)) for r in real])
    coverage = np.mean([any(distance(g, r) <= of_real[i] for g in generated) for i, r in enumerate(real)])
    assert precision_recall(real, generated, k) == pytest.approx((precision, recall, coverage))
    assert 0 < precision < 1 and 0 < recall < 1 and 0 < coverage < 1
    assert precision_recall(real, real, k) == (1, 1, 1) and precision_recall(real, real + 100, k) == (0, 0, 0)
    assert precision_recall(real, generated, 5).precision >= precision


def test_one_image_again_and_again_has_precision_alone() -> None:
    real = rows(50, 3, 0)
    found = precision_recall(real, np.repeat(real[:1], 20, axis=0))
    assert found.precision == 1 and found.recall <= 1 / 50 and found.coverage < 0.5


def test_modes_are_counted() -> None:
    real = np.array([3, 3, 3, 5, 9, 9])
    found = mode_coverage(real, np.array([3, 9, 9, 9]))
    missed = [(1 - share) ** 4 for share in (1 / 2, 1 / 6, 1 / 3)]
    assert (found.modes, found.covered) == (3, pytest.approx(2 / 3))
    assert found.expected == pytest.approx(1 - sum(missed) / 3)
    assert found.evenness == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(3))
    assert mode_coverage(real, np.array([3, 5, 9])).evenness == pytest.approx(1)
    assert mode_coverage(np.array([4, 4]), np.array([4])).evenness == 1
    with pytest.raises(ValueError, match="got mode 4"):
        mode_coverage(real, np.array([4]))
    with pytest.raises(ValueError, match="allowed: 1 or more"):
        mode_coverage(real, np.array([], int))


def test_groups_are_those_of_the_real_images() -> None:
    centers = 10 * np.eye(3)
    real = np.repeat(centers, 5, axis=0) + 0.1 * rows(15, 3, 0)
    of_real, of_generated = cluster_modes(real, centers[[2, 0]], 3, seed=0)
    assert [of_real[10], of_real[0]] == of_generated.tolist() and len(set(of_real.tolist())) == 3
    with pytest.raises(ValueError, match="groups: got 16"):
        cluster_modes(real, centers, 16, seed=0)


def test_spread_is_that_of_all_pairs() -> None:
    some = unit(6, 4, 0)
    expected = np.mean([1 - float(a @ b) for a, b in itertools.permutations(some.astype(np.float64), 2)])
    assert mean_pair_distance(some) == pytest.approx(expected, abs=1e-6)
    assert mean_pair_distance(some[:1]) == 0 and mean_pair_distance(some[[0, 0]]) == pytest.approx(0, abs=1e-6)


def test_copies_are_found() -> None:
    train, test = unit(40, 8, 0), unit(30, 8, 1)
    fresh, copies = unit(20, 8, 2), train[[7, 3]]
    found = leak_check(np.concatenate([copies, fresh]), train, test)
    assert found.nearest[:2].tolist() == [7, 3] and found.distances[:2].max() < 1e-6
    distances = 1 - fresh.astype(np.float64) @ train.T
    np.testing.assert_allclose(found.distances[2:], distances.min(axis=1), atol=1e-6)
    own = 1 - train.astype(np.float64) @ train.T
    np.fill_diagonal(own, np.inf)
    np.testing.assert_allclose(found.train_distances, own.min(axis=1), atol=1e-6)
    facts = found.facts()
    assert facts["closer_than_test"]["nearest"] >= 2 / 22 and facts["closer_than_train"]["hundredth"] >= 2 / 22
    same = leak_check(test, train, test).facts()["closer_than_test"]
    assert same == {"median": 0.5, "hundredth": pytest.approx(1 / 30), "nearest": 0.0}
    assert nearest_list(fresh[0], train, 3)[0] == (found.nearest[2], pytest.approx(found.distances[2], abs=1e-6))
    assert nearest_rows(train, train, without_self=True)[0].tolist() == own.argmin(axis=1).tolist()


def test_the_sheet_shows_the_nearest_and_others() -> None:
    distances = np.array([0.5, 0.1, 0.4, 0.2, 0.3])
    chosen = choose_rows(distances, 4, seed=0)
    assert chosen[:2] == [("nearest", 1), ("nearest", 3)] and {index for _, index in chosen[2:]} < {0, 2, 4}
    assert len(choose_rows(distances, 10, seed=0)) == 5 and choose_rows(distances, 4, seed=0) == chosen


def test_unusable_sets_are_refused() -> None:
    good = rows(5, 3, 0)
    for function in (frechet_distance, kernel_distance, precision_recall):
        for bad in (good[:, :2], good[:1], good[0]):
            with pytest.raises(ValueError, match="second: got shape"):
                function(good, bad)  # type: ignore[operator]
        with pytest.raises(ValueError, match="NaN"):
            function(good, np.where(good > 1, np.nan, good) * np.nan)  # type: ignore[operator]
    with pytest.raises(ValueError, match="neighbours: got 0"):
        precision_recall(good, good, 0)
    with pytest.raises(ValueError, match="subsets, size: got 0"):
        kernel_distance_of_subsets(good, good, subsets=0)
    with pytest.raises(ValueError, match="train: got 1"):
        leak_check(good, good[:1], good)
