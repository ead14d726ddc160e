"""How far apart two sets of embeddings are: Frechet distance and kernel distance."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]


def frechet_distance(first: Rows, second: Rows) -> float:
    """Returns the squared Frechet distance of two normal distributions that have the sets' moments (arXiv 1706.08500).

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)). The last trace is the sum of the square roots of the eigenvalues of
    the symmetric C1^(1/2) C2 C1^(1/2): no complex numbers, and covariances of fewer images than dimensions do no harm.
    They bias the value upwards all the same: compare sets of the same size only.

    Deviation: the paper's features are those of an Inception network; these are whatever is given.

    Args:
        first: (N, D), N of 2 or more.
        second: (M, D), M of 2 or more.

    Returns:
        0 or more.

    Raises:
        ValueError: When shapes do not fit, or a value is not finite.
    """
    first, second = check_sets(first, second, least=2)
    difference = first.mean(axis=0) - second.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    product = root @ covariances[1] @ root
    shared = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(min=0)).sum()
    distance = difference @ difference + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * shared
    return max(0.0, float(distance))


def kernel_distance(first: Rows, second: Rows) -> float:
    """Returns the unbiased squared MMD with the kernel (x.y / D + 1)^3, as KID has it (arXiv 1801.01401).

    Args:
        first: (N, D), N of 2 or more.
        second: (M, D), M of 2 or more.

    Returns:
        About 0 for sets of one distribution, below 0 as often as above.

    Raises:
        ValueError: When shapes do not fit, or a value is not finite.
    """
    first, second = check_sets(first, second, least=2)

    def kernel(a: Rows, b: Rows) -> Rows:
        return (a @ b.T / a.shape[1] + 1.0) ** 3

    count, other = len(first), len(second)
    own, theirs = kernel(first, first), kernel(second, second)
    within = (own.sum() - np.trace(own)) / (count * (count - 1))
    within += (theirs.sum() - np.trace(theirs)) / (other * (other - 1))
    return float(within - 2 * kernel(first, second).mean())


def kernel_distance_of_subsets(
    first: Rows, second: Rows, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float | None]:
    """Returns mean and standard deviation of `kernel_distance` over random subsets, which is how KID is reported.

    The deviation is None where each subset is all there is.

    Args:
        first: (N, D).
        second: (M, D).
        subsets: How many.
        size: Images of each side in one, drawn without putting back; at most N and M.
        seed: Of the draws.

    Raises:
        ValueError: When a number is out of its range, shapes do not fit, or a value is not finite.
    """
    first, second = check_sets(first, second, least=2)
    size = min(size, len(first), len(second))
    if subsets < 1 or size < 2:
        raise ValueError(f"subsets, size: got {subsets}, {size}, allowed: 1 or more, 2 or more")
    if size == len(first) == len(second):
        return kernel_distance(first, second), None
    random = np.random.default_rng(seed)
    values = [
        kernel_distance(*(rows[random.choice(len(rows), size, replace=False)] for rows in (first, second)))
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def check_sets(first: Rows, second: Rows, least: int) -> tuple[Rows, Rows]:
    """Returns both as float64.

    Raises:
        ValueError: When they are not two sets of `least` or more finite vectors of one length.
    """
    for name, rows in (("first", first), ("second", second)):
        if rows.ndim != 2 or len(rows) < least or rows.shape[1] != first.shape[1]:
            raise ValueError(f"{name}: got shape {rows.shape}, allowed: ({least} or more, {first.shape[-1]})")
        if not np.isfinite(rows).all():
            raise ValueError(f"{name}: got NaN or infinity, allowed: finite values")
    return first.astype(np.float64), second.astype(np.float64)
