"""Dividing images into training and test people, and test images into query and gallery."""

import math
from collections.abc import Sequence

import numpy as np

from reid.data.base import Sample, Split


def split_identities(samples: Sequence[Sample], test_fraction: float, seed: int) -> tuple[Split, Split]:
    """Divides samples by identity, so that nobody is in both parts.

    Args:
        samples: Their order is kept in both parts.
        test_fraction: Share of the identities in the second part; at least one stays in either.
        seed: Chooses them.

    Raises:
        ValueError: When the fraction is not between 0 and 1, or there are fewer than two identities.
    """
    if not 0.0 < test_fraction < 1.0:
        raise ValueError(f"test_fraction: got {test_fraction}, allowed: above 0 and below 1")
    pids = sorted({sample.pid for sample in samples})
    if len(pids) < 2:
        raise ValueError(f"samples: got {len(pids)} identities, allowed: 2 or more, as none may be in both parts")
    count = min(max(1, math.floor(test_fraction * len(pids) + 0.5)), len(pids) - 1)
    chosen = {pids[index] for index in np.random.default_rng(seed).permutation(len(pids))[:count]}
    return (
        [sample for sample in samples if sample.pid not in chosen],
        [sample for sample in samples if sample.pid in chosen],
    )


def query_and_gallery(samples: Sequence[Sample]) -> tuple[Split, Split]:
    """Divides test samples: the first image of each identity in each camera is a query, the others are the gallery.

    First means the lowest frame, then the first of the paths. A single image of an identity in a camera goes to the
    gallery, where it is a match for queries of other cameras.
    """
    groups: dict[tuple[int, int], Split] = {}
    for sample in sorted(samples, key=lambda sample: (sample.frame, sample.path)):
        groups.setdefault((sample.pid, sample.camid), []).append(sample)
    query: Split = []
    gallery: Split = []
    for key in sorted(groups):
        first, *rest = groups[key]
        (query if rest else gallery).append(first)
        gallery += rest
    return query, gallery
