"""Triplets (anchor, positive, negative) for notebooks and metric learning without identity batches."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from reid.data.base import Sample, relabel
from reid.data.crops import load_crop
from reid.data.images import Preprocessing
from reid.data.market1501 import read_market1501
from reid.data.splitting import split_identities


class TripletDataset(Dataset):
    """One triplet an anchor image: another image of the same identity, and one of another.

    The positive comes from another camera where there is one. Positive and negative depend on the seed, the epoch and
    the anchor alone, so that loading processes agree.

    Args:
        samples: The images; an identity with a single image is no anchor, but may be a negative.
        preprocessing: Height and width of the images.
        seed: Chooses positives and negatives.
        transform: Applied to each image, uint8 (3, H, W); None returns it as it is.

    Raises:
        ValueError: When there are fewer than two identities, or none of them has two images.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        preprocessing: Preprocessing | None = None,
        seed: int = 0,
        transform: Callable[[torch.Tensor], Any] | None = None,
    ) -> None:
        self.samples = list(samples)
        self.preprocessing = preprocessing or Preprocessing()
        self.seed = seed
        self.transform = transform
        self.epoch = 0
        labels = relabel(self.samples)
        self.labels = np.array([labels[sample.pid] for sample in self.samples], np.int64)
        self.camids = np.array([sample.camid for sample in self.samples], np.int64)
        counts = np.bincount(self.labels) if len(self.labels) else np.zeros(0, np.int64)
        if len(counts) < 2 or counts.max() < 2:
            raise ValueError(
                f"samples: got {len(counts)} identities with at most {counts.max(initial=0)} images, allowed: 2 or "
                "more identities, one of which has 2 or more images"
            )
        self.anchors = np.flatnonzero(counts[self.labels] > 1)

    def set_epoch(self, epoch: int) -> None:
        """Chooses other positives and negatives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.anchors)

    def choose(self, index: int) -> tuple[int, int, int]:
        """Returns the positions of anchor, positive and negative in the samples.

        Raises:
            IndexError: When the index is out of range, which ends a plain loop over the dataset.
        """
        if not 0 <= index < len(self.anchors):
            raise IndexError(f"index: got {index}, allowed: 0 to {len(self.anchors) - 1}")
        anchor = int(self.anchors[index])
        random = np.random.default_rng([self.seed, self.epoch, index])
        same = np.flatnonzero(self.labels == self.labels[anchor])
        same = same[same != anchor]
        elsewhere = same[self.camids[same] != self.camids[anchor]]
        positive = random.choice(elsewhere if len(elsewhere) else same)
        negative = random.choice(np.flatnonzero(self.labels != self.labels[anchor]))
        return anchor, int(positive), int(negative)

    def __getitem__(self, index: int) -> tuple[Any, Any, Any]:
        """Returns the three images, uint8 (3, H, W) each unless the transform says otherwise."""
        anchor, positive, negative = (self._image(position) for position in self.choose(index))
        return anchor, positive, negative

    def _image(self, position: int) -> Any:
        size = (self.preprocessing.height, self.preprocessing.width)
        image = torch.from_numpy(self.preprocessing.batch([load_crop(self.samples[position], size)])[0])
        return image if self.transform is None else self.transform(image)


def get_market1501_dataset(
    data_dir: str | os.PathLike[str],
    split_ratio: float = 0.8,
    *,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    transform: Callable[[torch.Tensor], Any] | None = None,
) -> tuple[TripletDataset, TripletDataset]:
    """Divides the training folder of Market-1501 into triplets for training and for validation, by identity.

    Args:
        data_dir: The folder with bounding_box_train, query and bounding_box_test.
        split_ratio: Share of the training identities in the first part.
        preprocessing: Height and width of the images, 256 x 128 by default.
        seed: Chooses the identities, and the positives and negatives.
        transform: Applied to each image of either part.

    Raises:
        FileNotFoundError: When a folder is missing.
        ValueError: When the ratio is not between 0 and 1, or a part has too few identities for triplets.
    """
    if not 0.0 < split_ratio < 1.0:
        raise ValueError(f"split_ratio: got {split_ratio}, allowed: above 0 and below 1")
    train, validation = split_identities(read_market1501(data_dir).train, 1.0 - split_ratio, seed)
    return (
        TripletDataset(train, preprocessing, seed, transform),
        TripletDataset(validation, preprocessing, seed, transform),
    )
