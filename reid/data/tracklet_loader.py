"""Batches of tracklets, T frames of each."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from reid.data.images import Preprocessing
from reid.data.tracklet_images import load_frames
from reid.data.tracklets import Tracklet, choose_frames


class BatchSampler(Protocol):
    """A sampler of batches whose order depends on the epoch."""

    batch_size: int

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[int]]: ...


class TrackletSampler:
    """Adds to each tracklet of a batch the number that its frames are drawn with.

    So the frames depend on the seed, the epoch and the place in the epoch alone, not on which process loads them.

    Args:
        batches: Chooses the tracklets.
        seed: Of the frames.
    """

    def __init__(self, batches: BatchSampler, seed: int) -> None:
        self.batches = batches
        self.batch_size = batches.batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses tracklets and frames of the next iteration."""
        self.epoch = epoch
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = np.random.default_rng([self.seed, self.epoch])
        for batch in self.batches:
            yield list(zip(batch, random.integers(0, 2**63, len(batch)).tolist(), strict=True))


class TrackletDataset(Dataset):
    """T random frames of a tracklet as uint8 (T, 3, H, W), with label and camera; `choose_frames` says which.

    Args:
        tracklets: The tracklets.
        labels: Training label of each pid.
        preprocessing: Height and width of the frames.
        frames: T.
        crop_factor: Scales each box before it is cut.
        cache: Keep all frames of all tracklets in memory, decoded at the start.
    """

    def __init__(
        self,
        tracklets: Sequence[Tracklet],
        labels: dict[int, int],
        preprocessing: Preprocessing,
        frames: int,
        crop_factor: float,
        cache: bool,
    ) -> None:
        self.tracklets = tracklets
        self.labels = labels
        self.preprocessing = preprocessing
        self.frames = frames
        self.crop_factor = crop_factor
        self._starts = np.cumsum([0, *(len(tracklet.frames) for tracklet in tracklets)])
        samples = [frame for tracklet in tracklets for frame in tracklet.frames]
        self._cache = load_frames(samples, preprocessing, crop_factor) if cache else None

    def __len__(self) -> int:
        return len(self.tracklets)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        index, draw = key
        tracklet = self.tracklets[index]
        chosen = choose_frames(len(tracklet.frames), self.frames, np.random.default_rng(draw))
        if self._cache is not None:
            images = self._cache[self._starts[index] + chosen]
        else:
            samples = [tracklet.frames[place] for place in chosen]
            images = load_frames(samples, self.preprocessing, self.crop_factor, threads=1)
        return {"images": images, "pid": self.labels[tracklet.pid], "camid": tracklet.camid}


def collate_tracklets(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stacks items into images uint8 (B, T, 3, H, W), pids int64 (B,) and camids int64 (B,)."""
    return {
        "images": torch.from_numpy(np.stack([item["images"] for item in items])),
        "pids": torch.tensor([item["pid"] for item in items]),
        "camids": torch.tensor([item["camid"] for item in items]),
    }


def tracklet_loader(
    tracklets: Sequence[Tracklet],
    labels: dict[int, int],
    preprocessing: Preprocessing,
    sampler: Iterable[Any],
    *,
    frames: int,
    crop_factor: float,
    workers: int,
    cache_megabytes: int,
) -> DataLoader:
    """Builds the loader of the training split; the frames must be readable (`drop_unreadable_frames`).

    Args:
        tracklets: The training tracklets.
        labels: Training label of each pid.
        preprocessing: Height and width of the frames.
        sampler: Yields this process's tracklets, and numbers to draw their frames with (`TrackletSampler`).
        frames: T.
        crop_factor: Scales each box before it is cut.
        workers: Processes that decode; unused while all frames fit into the cache.
        cache_megabytes: All frames are decoded at the start and kept when together they need no more than this.
    """
    count = sum(len(tracklet.frames) for tracklet in tracklets)
    cache = count * 3 * preprocessing.height * preprocessing.width / 2**20 <= cache_megabytes
    dataset = TrackletDataset(tracklets, labels, preprocessing, frames, crop_factor, cache)
    # A worker process would hold a cache of its own.
    workers = 0 if cache else workers
    return DataLoader(
        dataset,
        batch_sampler=sampler,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate_tracklets,
        persistent_workers=workers > 0,
    )
