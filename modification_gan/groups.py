"""What may be asked of a conditional model: groups of training images."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.cluster import KMeans

from reid.data.base import Sample
from reid.data.crops import load_crops
from reid.embedder import Embedder
from reid.histogram import ColourHistogram

Kind = Literal["none", "embeddings", "colours", "identities", "cameras"]
_CHUNK = 256  # images in memory at a time
_STARTS = 4  # of k-means; the best one is kept


@dataclasses.dataclass(frozen=True)
class Groups:
    """Groups of training images.

    Attributes:
        kind: What they are made of.
        of_image: int64 (N,), each image's group, from 0; None for the kind "none".
        labels: For each group the identities' shares of its images, by the dataset's names.
        shares: For each group its share of all images.
    """

    kind: Kind
    of_image: np.ndarray | None = None
    labels: tuple[dict[int, float], ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """How many there are; 0 for the kind "none"."""
        return len(self.labels)


def build_groups(samples: Sequence[Sample], kind: Kind, count: int, ckpt: Path | None, seed: int) -> Groups:
    """Divides training images into groups.

    Args:
        samples: The images.
        kind: "embeddings" and "colours" are k-means of a re-ID network's embeddings or of colour histograms
            (`reid.histogram`); "identities" and "cameras" are the dataset's own; "none" makes no groups.
        count: Groups of k-means.
        ckpt: The network, for "embeddings".
        seed: Of k-means.

    Raises:
        ValueError: When the images do not make so many groups.
    """
    if kind == "none":
        return Groups(kind)
    if kind == "identities":
        return _described(samples, kind, [sample.pid for sample in samples])
    if kind == "cameras":
        return _described(samples, kind, [sample.camid for sample in samples])
    features = _embeddings(samples, ckpt) if kind == "embeddings" else _colours(samples)
    distinct = len(np.unique(features, axis=0))
    if not 2 <= count <= distinct:
        raise ValueError(f"groups: got {count}, allowed: 2 to {distinct}, the different training images")
    means = KMeans(count, n_init=_STARTS, random_state=np.random.RandomState(seed % 2**32))
    return _described(samples, kind, means.fit_predict(features.astype(np.float64)).tolist())


def _described(samples: Sequence[Sample], kind: Kind, names: list[int]) -> Groups:
    values = sorted(set(names))
    numbers = {name: number for number, name in enumerate(values)}
    of_image = np.array([numbers[name] for name in names], np.int64)
    labels, shares = [], []
    for group in range(len(values)):
        pids = Counter(sample.pid for sample, own in zip(samples, of_image, strict=True) if own == group)
        total = sum(pids.values())
        labels.append({pid: pids[pid] / total for pid in sorted(pids)})
        shares.append(total / len(samples))
    return Groups(kind, of_image, tuple(labels), tuple(shares))


def _embeddings(samples: Sequence[Sample], ckpt: Path | None) -> np.ndarray:
    if ckpt is None:
        raise ValueError("ckpt: got none, allowed: a re-ID network, whose embeddings are grouped")
    embed = Embedder(ckpt)
    size = (embed.preprocessing.height, embed.preprocessing.width)
    parts = []
    for start in range(0, len(samples), _CHUNK):
        chunk = samples[start : start + _CHUNK]
        cameras = [sample.camid for sample in chunk] if embed.needs_cameras else None
        parts.append(embed(load_crops(chunk, size), cameras))
    return np.concatenate(parts)


def _colours(samples: Sequence[Sample]) -> np.ndarray:
    histogram = ColourHistogram()
    parts = [histogram(load_crops(samples[start : start + _CHUNK])) for start in range(0, len(samples), _CHUNK)]
    return np.concatenate(parts)
