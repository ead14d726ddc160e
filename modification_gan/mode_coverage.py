"""How many kinds of people generated images show: coverage of modes, and spread."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modification_gan.distribution_distances import Rows
from modification_gan.kmeans import fit_groups


class ModeCoverage(NamedTuple):
    """What generated images show of the modes of real ones.

    Attributes:
        modes: How many there are.
        covered: Share of them that at least one generated image falls into.
        expected: The same for as many independent draws from the real images.
        evenness: Entropy of the generated images over modes, divided by its largest value: 1 is alike for all modes.
        real_evenness: The same of the real images.
    """

    modes: int
    covered: float
    expected: float
    evenness: float
    real_evenness: float


def mode_coverage(real: NDArray[np.integer], generated: NDArray[np.integer]) -> ModeCoverage:
    """Counts the modes that generated images fall into.

    Args:
        real: (N,), the mode of each real image: an identity, a cluster. Modes without a real image do not exist.
        generated: (M,), that of each generated image, one of the same.

    Raises:
        ValueError: When there is no image, or a generated one is of no real mode.
    """
    if not len(real) or not len(generated):
        raise ValueError(f"real, generated: got {len(real)}, {len(generated)} images, allowed: 1 or more")
    names, counts = np.unique(real, return_counts=True)
    strangers = np.setdiff1d(generated, names)
    if len(strangers):
        raise ValueError(f"generated: got mode {strangers[0]}, allowed: those of the real images")
    found = np.bincount(np.searchsorted(names, generated), minlength=len(names))
    missed = (1.0 - counts / counts.sum()) ** len(generated)
    return ModeCoverage(
        len(names), float((found > 0).mean()), float(1.0 - missed.mean()), _evenness(found), _evenness(counts)
    )


def _evenness(counts: NDArray[np.integer]) -> float:
    if len(counts) == 1:
        return 1.0
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(len(counts))) + 0.0  # no -0 of a single mode


def cluster_modes(
    real: Rows, generated: Rows, groups: int, seed: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Returns the k-means group of each real and each generated image; groups are made of the real ones alone.

    Args:
        real: (N, D).
        generated: (M, D).
        groups: 2 or more, at most the different real vectors.
        seed: Of k-means.

    Raises:
        ValueError: When the real images do not make so many groups.
    """
    means = fit_groups(real, groups, seed)
    return means.labels_, means.predict(generated.astype(np.float64))


def mean_pair_distance(rows: Rows) -> float:
    """Returns the mean cosine distance of all pairs of two different rows, (N, D) of norm 1; 0 for a single row.

    The mean of all pairs follows from the norm of the rows' sum, without a matrix of distances.
    """
    count = len(rows)
    if count < 2:
        return 0.0
    total = rows.astype(np.float64).sum(axis=0)
    return float(1.0 - (total @ total - count) / (count * (count - 1)))
