"""Embeddings of samples by a re-ID network, some hundred images in memory at a time."""

from collections.abc import Sequence

import numpy as np

from reid.data.base import Sample
from reid.data.crops import load_crops
from reid.embedder import Embedder

_CHUNK = 256  # images


def embed_crops(embed: Embedder, samples: Sequence[Sample]) -> np.ndarray:
    """Returns float32 (N, D), rows of norm 1, of one sample or more; a network with cameras is told the samples' own.

    Raises:
        FileNotFoundError: When an image is missing.
        ValueError: When an image cannot be read.
    """
    size = (embed.preprocessing.height, embed.preprocessing.width)
    parts = []
    for start in range(0, len(samples), _CHUNK):
        chunk = samples[start : start + _CHUNK]
        cameras = [sample.camid for sample in chunk] if embed.needs_cameras else None
        parts.append(embed(load_crops(chunk, size), cameras))
    return np.concatenate(parts)
