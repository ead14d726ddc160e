"""Batches of uint8 images, decoded once when they fit into memory."""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from reid.data.base import Sample
from reid.data.crops import load_crops
from reid.data.images import Preprocessing

_CHUNK = 64  # images that one thread decodes at a time
_AHEAD = 4  # batches that a worker process prepares ahead


class BatchSampler(Protocol):
    """Yields the indices of each batch of an epoch."""

    batch_size: int
    drop_last: bool

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[int]]: ...


class ImageDataset(Dataset):
    """Images of samples as uint8 tensors (3, H, W) with label and camera.

    Images are decoded by threads, at the reduced size where that is enough. One that cannot be read in the middle of
    the training (`drop_unreadable` finds them ahead) is replaced by the next readable one of its identity, with a
    warning that names the file.

    Args:
        samples: The images.
        labels: Training label of each pid.
        preprocessing: Height and width of the tensors.
        cache: Keep each decoded and resized image in memory; all of them are decoded when the first is asked for.
        threads: How many decode at a time; None means one a core.

    Attributes:
        replaced: Position of each image that could not be read to that of the image that stands in for it.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: dict[int, int],
        preprocessing: Preprocessing,
        cache: bool,
        threads: int | None = None,
    ) -> None:
        self.samples = samples
        self.preprocessing = preprocessing
        self.pids = np.array([labels[sample.pid] for sample in samples], np.int64)
        self.camids = np.array([sample.camid for sample in samples], np.int64)
        self.threads = threads or os.cpu_count() or 1
        self.replaced: dict[int, int] = {}
        self.cache = cache
        self._images: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Returns a batch, as torch asks for it: images uint8 (B, 3, H, W), pids int64 (B,), camids int64 (B,)."""
        if self.cache and self._images is None:
            self._images = self._decode(range(len(self)))
        images = self._decode(indices) if self._images is None else self._images[indices]
        # The label is the sampler's choice; a replacement has the same identity, but its own camera.
        actual = [self.replaced.get(int(index), int(index)) for index in indices]
        return {
            "images": torch.from_numpy(images),
            "pids": torch.from_numpy(self.pids[indices]),
            "camids": torch.from_numpy(self.camids[actual]),
        }

    def _decode(self, indices: Sequence[int]) -> np.ndarray:
        images = np.empty((len(indices), 3, self.preprocessing.height, self.preprocessing.width), np.uint8)
        # Boxes of one frame come one after the other, so that it is decoded once.
        order = sorted(range(len(indices)), key=lambda position: self.samples[indices[position]].path)
        size = min(_CHUNK, -(-len(order) // self.threads))
        chunks = [order[start : start + size] for start in range(0, len(order), size)]

        def fill(positions: list[int]) -> None:
            images[positions] = self._read([int(indices[position]) for position in positions])

        if self.threads == 1 or len(chunks) == 1:
            for chunk in chunks:
                fill(chunk)
            return images
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(fill, chunks))  # the list raises what a thread raised
        return images

    def _read(self, indices: list[int]) -> np.ndarray:
        size = (self.preprocessing.height, self.preprocessing.width)
        try:
            return self.preprocessing.batch(load_crops([self.samples[index] for index in indices], size))
        except (OSError, ValueError) as error:
            if len(indices) > 1:
                return np.concatenate([self._read([index]) for index in indices])
            return self._replace(indices[0], error)

    def _replace(self, index: int, error: Exception) -> np.ndarray:
        size = (self.preprocessing.height, self.preprocessing.width)
        same = np.flatnonzero(self.pids == self.pids[index]).tolist()
        start = same.index(index)
        for other in same[start + 1 :] + same[:start]:
            try:
                image = self.preprocessing.batch(load_crops([self.samples[other]], size))
            except (OSError, ValueError):
                continue
            if index not in self.replaced:
                warnings.warn(f"{error}; {self.samples[other].path} stands in for it", stacklevel=2)
            self.replaced[index] = other
            return image
        raise ValueError(f"{error}; identity {self.samples[index].pid} has no other readable image")


def training_loader(
    samples: Sequence[Sample],
    labels: dict[int, int],
    preprocessing: Preprocessing,
    sampler: BatchSampler,
    workers: int,
    cache_megabytes: int,
) -> DataLoader:
    """Builds the loader of the training split.

    The order of batches is the sampler's alone, however many workers or threads decode.

    Args:
        samples: The training images.
        labels: Training label of each pid.
        preprocessing: Height and width of the images.
        sampler: Yields the indices of each batch.
        workers: Processes that decode four batches ahead each; unused while all images fit into the cache. 0 decodes
            in threads, without working ahead.
        cache_megabytes: Decoded images are kept when all of them together need no more than this; every process of a
            distributed training keeps its own.
    """
    size = len(samples) * 3 * preprocessing.height * preprocessing.width / 2**20
    cache = size <= cache_megabytes
    # A worker process would fill a cache of its own.
    workers = 0 if cache else workers
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = 1 if workers else max(1, (os.cpu_count() or 1) // processes)
    dataset = ImageDataset(samples, labels, preprocessing, cache, threads)
    ahead = {"prefetch_factor": _AHEAD, "persistent_workers": True} if workers else {}
    return DataLoader(
        dataset,
        batch_sampler=sampler,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_whole_batch,  # type: ignore[arg-type]
        **ahead,  # type: ignore[arg-type]
    )


def _whole_batch(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch  # the dataset has put it together already
