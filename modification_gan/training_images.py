"""The images that generative models learn from: those of a training split, and of nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from modification_gan.generative_model import Batch
from modification_gan.randomness import generator_for
from reid.data import read_dataset
from reid.data.base import Split, relabel
from reid.data.crops import drop_unreadable
from reid.data.images import Preprocessing
from reid.data.loader import ImageDataset

_ORDER = 1  # sets the generators of orders apart from others of the same seed


def read_training_split(name: str, root: Path, options: dict[str, Any], say: Callable[[str], None]) -> Split:
    """Reads the training split of a dataset; query and gallery are listed by the reader, but no image of them is read.

    Args:
        name: Of the dataset, see `reid.data.list_datasets`.
        root: Its folder.
        options: Of its reader.
        say: Told what was found, and which images cannot be read and are left out.

    Raises:
        ValueError: When the dataset is not usable or no training image can be read.
        FileNotFoundError: When files are missing.
    """
    data = read_dataset(name, root, **options)
    train, faults = drop_unreadable(data.train)
    if faults:
        say(f"note: {len(faults)} training images cannot be read and are left out, e.g. {faults[0]}")
    if not train:
        raise ValueError(f"{root}: none of the {len(data.train)} training images can be read, e.g. {faults[0]}")
    say(f"{root}: {len(train)} training images of {len(relabel(train))} people")
    return train


def load_training_images(samples: Split, height: int, width: int) -> torch.Tensor:
    """Decodes and resizes images, which stay in memory.

    Returns:
        RGB uint8 (N, 3, height, width).
    """
    dataset = ImageDataset(samples, relabel(samples), Preprocessing(height, width), cache=False)
    return dataset.__getitems__(range(len(samples)))["images"]


class TrainingBatches:
    """Batches by number: each pass over the images has an order of its own, a last incomplete batch is left out.

    Args:
        images: uint8 (N, 3, H, W).
        groups: int64 (N,), or None.
        batch_size: Images a batch and process.
        seed: Of the orders.
        process: Number of this process, whose share of each batch of all processes is given.
        processes: How many there are.

    Raises:
        ValueError: When the images do not fill a batch, or the batch is smaller than 2 images.
    """

    def __init__(
        self,
        images: torch.Tensor,
        groups: torch.Tensor | None,
        batch_size: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        whole = batch_size * processes
        if batch_size < 2 or whole > len(images):
            raise ValueError(
                f"batch_size: got {batch_size} x {processes} processes, allowed: 2 or more, together at most the "
                f"{len(images)} training images"
            )
        self.images = images
        self.groups = groups
        self.whole = whole
        self._share = slice(process * batch_size, (process + 1) * batch_size)
        self._seed = seed
        self._pass, self._order = -1, torch.empty(0, dtype=torch.int64)

    def indices(self, number: int) -> torch.Tensor:
        """Returns which images are in this process's share of a batch, int64 (B,)."""
        a_pass = len(self.images) // self.whole
        if number // a_pass != self._pass:
            self._pass = number // a_pass
            self._order = torch.randperm(len(self.images), generator=generator_for(self._seed, _ORDER, self._pass))
        start = number % a_pass * self.whole
        return self._order[start : start + self.whole][self._share]

    def batch(self, number: int, device: torch.device) -> Batch:
        """Returns this process's share of a batch, numbered from 0, on the device."""
        chosen = self.indices(number)
        images = self.images[chosen].to(device, non_blocking=True).float() / 127.5 - 1
        return Batch(images, None if self.groups is None else self.groups[chosen].to(device))
