"""Neighbour feature centralisation (NFC; Yuan et al., Pose2ID, arXiv 2503.00938). Transductive."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.cosine_neighbours import most_similar, unit_rows


def centralise_neighbours(features: ArrayLike, k1: int = 2, k2: int = 2) -> NDArray[np.float32]:
    """Returns each feature plus those of its mutual neighbours; query and gallery are passed apart.

    j is a mutual neighbour of i when j is among the k1 most similar to i and i among the k2 most similar to j, no item
    being its own neighbour. Features are normalised before and after; the sums are of the features as they came.

    Args:
        features: (N, D), finite.
        k1: Neighbours an item looks at, 1 or more; more than there are mean all of them.
        k2: Neighbours among which a neighbour must find the item again, 1 or more.

    Returns:
        float32 (N, D), rows of norm 1 or 0.

    Raises:
        ValueError: When the shape is another, a value is not finite, or k1 or k2 is below 1.
    """
    for name, k in (("k1", k1), ("k2", k2)):
        if k < 1:
            raise ValueError(f"{name}: got {k}, allowed: 1 or more")
    rows = unit_rows("features", features)
    nearest, _ = most_similar(rows, rows, max(k1, k2), exclude_self=True)
    result = rows.copy()
    items = np.arange(len(rows))[:, None]
    for column in range(min(k1, nearest.shape[1])):
        neighbour = nearest[:, column]
        mutual = (nearest[neighbour, :k2] == items).any(axis=1)
        result[mutual] += rows[neighbour[mutual]]
    return unit_rows("centralised features", result)
