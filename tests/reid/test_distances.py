import subprocess
import sys

import numpy as np
import pytest
import torch

from reid.distances import cosine_distances, euclidean_distances, map_row_blocks


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(9, 5)).astype(np.float32)


def test_euclidean_against_a_loop(pair):
    x, y = pair
    expected = np.array([[np.sqrt(sum((a - b) ** 2)) for b in y.astype(float)] for a in x.astype(float)])
    distances = euclidean_distances(x, y)
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, expected, atol=1e-5)
    np.testing.assert_allclose(euclidean_distances(torch.tensor(x), torch.tensor(y)).numpy(), expected, atol=1e-5)


def test_cosine_against_a_loop(pair):
    x, y = pair
    expected = [[1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in y.astype(float)] for a in x.astype(float)]
    np.testing.assert_allclose(cosine_distances(x, y), expected, atol=1e-5)
    np.testing.assert_allclose(cosine_distances(torch.tensor(x), torch.tensor(y)).numpy(), expected, atol=1e-5)


def test_cosine_of_zero_rows_is_one():
    assert np.all(cosine_distances(np.zeros((2, 3)), np.eye(3)) == 1)


@pytest.mark.parametrize("distance", [euclidean_distances, cosine_distances])
def test_gradient_is_finite_at_zero_distance(distance):
    x = torch.ones(4, 3, requires_grad=True)
    distance(x, x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_gradient_is_right_elsewhere(pair):
    x, y = (torch.tensor(rows, dtype=torch.float64, requires_grad=True) for rows in pair)
    assert torch.autograd.gradcheck(euclidean_distances, (x, y))
    assert torch.autograd.gradcheck(cosine_distances, (x, y))


def test_autocast_does_not_lower_the_precision(pair):
    x, y = map(torch.tensor, pair)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = euclidean_distances(x, y)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, euclidean_distances(x, y))


def test_half_precision_comes_out_as_float32():
    x = torch.ones(2, 3, dtype=torch.float16)
    assert euclidean_distances(x, x).dtype == torch.float32


@pytest.mark.parametrize("shapes", [((3, 4), (3, 5)), ((3,), (3, 3)), ((2, 3, 4), (3, 4))])
def test_shapes_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match=r"x, y: got shapes .* allowed: \(N, D\) and \(M, D\)"):
        euclidean_distances(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_mixing_arrays_and_tensors():
    with pytest.raises(ValueError, match="two arrays or two tensors"):
        cosine_distances(np.zeros((2, 3)), torch.zeros(2, 3))


def test_import_leaves_torch_alone():
    code = "import sys, reid.distances, reid.metrics; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("threads", [1, 3, None])
def test_row_blocks_come_back_in_order(threads):
    blocks = map_row_blocks(lambda start, stop: (start, stop), 10, 4, threads)
    assert blocks == [(0, 4), (4, 8), (8, 10)]
    assert map_row_blocks(lambda start, stop: 1, 0, 4, threads) == []
