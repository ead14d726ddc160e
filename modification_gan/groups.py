"""What may be asked of a conditional model: groups of training images."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from modification_gan.embedding import embed_crops
from modification_gan.kmeans import fit_groups
from reid.data.base import Sample
from reid.data.crops import load_crops
from reid.embedder import Embedder
from reid.histogram import ColourHistogram

Kind = Literal["none", "embeddings", "colours", "identities", "cameras"]
_CHUNK = 256  # images in memory at a time


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
        ckpt: The network, for "embeddings"; it must not have learnt from test images.
        seed: Of k-means.

    Raises:
        ValueError: When the images do not make so many groups, or the network has learnt from test images.
    """
    if kind == "none":
        return Groups(kind)
    if kind == "identities":
        return _described(samples, kind, [sample.pid for sample in samples])
    if kind == "cameras":
        return _described(samples, kind, [sample.camid for sample in samples])
    features = _embeddings(samples, ckpt) if kind == "embeddings" else _colours(samples)
    return _described(samples, kind, fit_groups(features, count, seed).labels_.tolist())


def _described(samples: Sequence[Sample], kind: Kind, names: list[int]) -> Groups:
    values = sorted(set(names))
    numbers = {name: number for number, name in enumerate(values)}
    of_image = np.array([numbers[name] for name in names], np.int64)
    people: list[Counter[int]] = [Counter() for _ in values]
    for sample, group in zip(samples, of_image, strict=True):
        people[group][sample.pid] += 1
    labels, shares = [], []
    for pids in people:
        total = pids.total()
        labels.append({pid: pids[pid] / total for pid in sorted(pids)})
        shares.append(total / len(samples))
    return Groups(kind, of_image, tuple(labels), tuple(shares))


def _embeddings(samples: Sequence[Sample], ckpt: Path | None) -> np.ndarray:
    if ckpt is None:
        raise ValueError("ckpt: got none, allowed: a re-ID network, whose embeddings are grouped")
    embed = Embedder(ckpt)
    if embed.protocol != "inductive":
        # Its groups would carry what it knows of query and gallery into the labels of a training.
        raise ValueError(f"ckpt: {embed.name} has learnt from test images, allowed: networks that have not")
    return embed_crops(embed, samples)


def _colours(samples: Sequence[Sample]) -> np.ndarray:
    histogram = ColourHistogram()
    parts = [histogram(load_crops(samples[start : start + _CHUNK])) for start in range(0, len(samples), _CHUNK)]
    return np.concatenate(parts)
