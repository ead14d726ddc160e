"""Groups of images by k-means, the same for the same seed."""

import numpy as np
from sklearn.cluster import KMeans

_STARTS = 4  # the best one is kept


def fit_groups(rows: np.ndarray, count: int, seed: int) -> KMeans:
    """Returns k-means of real images, fitted in float64.

    Args:
        rows: (N, D), a vector of each image.
        count: Groups, 2 or more, at most the different vectors.
        seed: 0 or more.

    Raises:
        ValueError: When the images do not make so many groups.
    """
    distinct = len(np.unique(rows, axis=0))
    if distinct < 2:
        raise ValueError(f"groups: got {count}, but all {len(rows)} training images look the same; allowed: no groups")
    if not 2 <= count <= distinct:
        raise ValueError(f"groups: got {count}, allowed: 2 to {distinct}, the different training images")
    return KMeans(count, n_init=_STARTS, random_state=np.random.RandomState(seed % 2**32)).fit(rows.astype(np.float64))
