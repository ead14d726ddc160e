"""Batches of uint8 images, decoded once when they fit into memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from reid.data.base import Sample
from reid.data.images import Preprocessing, load_image
from reid.data.samplers import PKBatchSampler


class ImageDataset(Dataset):
    """Images of samples as uint8 tensors (3, H, W) with label and camera.

    Args:
        samples: The images.
        labels: Training label of each pid.
        preprocessing: Height and width of the tensors.
        cache: Keep each decoded and resized image in memory.
    """

    def __init__(
        self, samples: Sequence[Sample], labels: dict[int, int], preprocessing: Preprocessing, cache: bool
    ) -> None:
        self.samples = samples
        self.labels = labels
        self.preprocessing = preprocessing
        self._cache: dict[int, np.ndarray] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.samples)

    def _image(self, index: int) -> np.ndarray:
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        image = self.preprocessing.batch([load_image(self.samples[index].path)])[0]
        if self._cache is not None:
            self._cache[index] = image
        return image

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.samples[index]
        return {"image": self._image(index), "pid": self.labels[sample.pid], "camid": sample.camid}


def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stacks items into images uint8 (B, 3, H, W), pids int64 (B,) and camids int64 (B,)."""
    return {
        "images": torch.from_numpy(np.stack([item["image"] for item in items])),
        "pids": torch.tensor([item["pid"] for item in items]),
        "camids": torch.tensor([item["camid"] for item in items]),
    }


def training_loader(
    samples: Sequence[Sample],
    labels: dict[int, int],
    preprocessing: Preprocessing,
    sampler: PKBatchSampler,
    workers: int,
    cache_megabytes: int,
) -> DataLoader:
    """Builds the loader of the training split.

    Args:
        samples: The training images.
        labels: Training label of each pid.
        preprocessing: Height and width of the images.
        sampler: Yields the indices of each batch.
        workers: Processes that decode; unused while all images fit into the cache.
        cache_megabytes: Decoded images are kept when all of them together need no more than this.
    """
    size = len(samples) * 3 * preprocessing.height * preprocessing.width / 2**20
    cache = size <= cache_megabytes
    dataset = ImageDataset(samples, labels, preprocessing, cache)
    # A worker process would fill a cache of its own.
    workers = 0 if cache else workers
    return DataLoader(
        dataset, batch_sampler=sampler, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0
    )
