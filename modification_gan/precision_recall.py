"""Are generated images like real ones, and do they show all that real ones do? Precision, recall, coverage."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modification_gan.distribution_distances import Rows, check_sets

_BLOCK = 1024  # rows of a distance matrix in memory at a time


class PrecisionRecall(NamedTuple):
    """Shares in 0..1.

    Attributes:
        precision: Of generated images that lie within a real image's ball.
        recall: Of real images that lie within a generated image's ball.
        coverage: Of real images whose ball holds a generated image.
    """

    precision: float
    recall: float
    coverage: float


def precision_recall(real: Rows, generated: Rows, neighbours: int = 3) -> PrecisionRecall:
    """Returns improved precision and recall (arXiv 1904.06991), and coverage (arXiv 2002.09797).

    A set covers the balls around its members, each with the distance to the member's k-th nearest other one as radius.
    Distances are Euclidean; a point on the rim counts as inside. One outlier makes a large ball, of which a lone fake
    may profit; coverage counts real images' balls, and bears that better.

    Args:
        real: (N, D), N above `neighbours`.
        generated: (M, D), M above `neighbours`.
        neighbours: k, 1 or more.

    Raises:
        ValueError: When there are too few vectors, shapes do not fit, or a value is not finite.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours: got {neighbours}, allowed: 1 or more")
    real, generated = check_sets(real, generated, least=neighbours + 1)
    real_radii, generated_radii = _radii(real, neighbours), _radii(generated, neighbours)
    inside_real, covered, inside_generated = [], np.zeros(len(real), bool), []
    for start in range(0, len(generated), _BLOCK):
        distances = squared_distances(generated[start : start + _BLOCK], real)
        inside = distances <= real_radii[None]
        inside_real.append(inside.any(axis=1))
        covered |= inside.any(axis=0)
    for start in range(0, len(real), _BLOCK):
        distances = squared_distances(real[start : start + _BLOCK], generated)
        inside_generated.append((distances <= generated_radii[None]).any(axis=1))
    return PrecisionRecall(
        float(np.concatenate(inside_real).mean()), float(np.concatenate(inside_generated).mean()), float(covered.mean())
    )


def squared_distances(first: Rows, second: Rows) -> NDArray[np.float64]:
    """Returns squared Euclidean distances of (N, D) and (M, D), (N, M)."""
    squares = np.einsum("nd,nd->n", first, first)[:, None] + np.einsum("nd,nd->n", second, second)[None]
    return (squares - 2.0 * first @ second.T).clip(min=0)


def _radii(rows: Rows, neighbours: int) -> NDArray[np.float64]:
    """Returns the squared distance of each row to its k-th nearest other one."""
    radii = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        part = np.arange(start, min(start + _BLOCK, len(rows)))
        distances = squared_distances(rows[part], rows)
        distances[np.arange(len(part)), part] = -1.0  # itself comes first, whatever rounding made of its zero
        radii[part] = np.partition(distances, neighbours, axis=1)[:, neighbours]
    return radii
