"""Do generated images repeat training images? The nearest of each, and how near real test images come."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modification_gan.distribution_distances import Rows, check_sets

_BLOCK = 1024  # rows of a distance matrix in memory at a time


@dataclasses.dataclass(frozen=True)
class LeakCheck:
    """How near generated images come to training images, beside images that cannot have been copied.

    Attributes:
        nearest: int64 (M,), the nearest training image of each generated one.
        distances: (M,), its cosine distance.
        test_distances: (T,), of each test image to its nearest training image.
        train_distances: (N,), of each training image to the nearest other one, as near as images of known people come.
    """

    nearest: NDArray[np.int64]
    distances: NDArray[np.float64]
    test_distances: NDArray[np.float64]
    train_distances: NDArray[np.float64]

    def facts(self) -> dict[str, Any]:
        """Returns the shares of generated images that lie nearer to a training image than real ones do.

        `closer_than_test`: nearer than the median, the nearest hundredth and the very nearest of the test images; of
        images like these it would be 0.5, 0.01 and about 0. `closer_than_train`: the same against training images and
        their nearest others, which show the same person and are therefore nearer. A generator that repeats its training
        images has more than the hundredth of both.
        """
        facts: dict[str, Any] = {"median_distance": float(np.median(self.distances))}
        for name, real in (("test", self.test_distances), ("train", self.train_distances)):
            limits = {"median": np.median(real), "hundredth": np.quantile(real, 0.01), "nearest": real.min()}
            facts[f"closer_than_{name}"] = {
                limit: float((self.distances < value).mean()) for limit, value in limits.items()
            }
            facts[f"median_distance_of_{name}"] = float(np.median(real))
        return facts


def leak_check(generated: Rows, train: Rows, test: Rows) -> LeakCheck:
    """Finds the nearest training image of each generated image.

    Args:
        generated: (M, D), rows of norm 1.
        train: (N, D), N of 2 or more.
        test: (T, D), of people who are in no training image.

    Raises:
        ValueError: When shapes do not fit, or a value is not finite.
    """
    _, train = check_sets(generated, train, least=1)
    _, test = check_sets(generated, test, least=1)
    if len(train) < 2:
        raise ValueError(f"train: got {len(train)} images, allowed: 2 or more")
    nearest, distances = nearest_rows(generated.astype(np.float64), train)
    _, test_distances = nearest_rows(test, train)
    _, train_distances = nearest_rows(train, train, without_self=True)
    return LeakCheck(nearest, distances, test_distances, train_distances)


def nearest_rows(
    rows: Rows, among: Rows, *, without_self: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the nearest of (N, D) among (M, D) by cosine distance: its index and the distance, (N,) each.

    Args:
        rows: Of norm 1.
        among: Of norm 1.
        without_self: `rows` is `among`, and none is its own nearest.
    """
    nearest, distances = np.empty(len(rows), np.int64), np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        part = np.arange(start, min(start + _BLOCK, len(rows)))
        block = 1.0 - rows[part] @ among.T
        if without_self:
            block[np.arange(len(part)), part] = np.inf
        nearest[part] = block.argmin(axis=1)
        distances[part] = block[np.arange(len(part)), nearest[part]]
    return nearest, distances.clip(min=0)


def nearest_list(row: Rows, among: Rows, count: int) -> list[tuple[int, float]]:
    """Returns index and cosine distance of the `count` nearest of one row, the nearest first; fewer where there are."""
    distances = 1.0 - among @ row
    order = np.argsort(distances, kind="stable")[:count]
    return [(int(index), max(0.0, float(distances[index]))) for index in order]
