"""Calibration images of a quantisation, as a network's input wants them."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reid.data.base import Sample
from reid.data.crops import drop_unreadable, load_crops
from reid.data.images import Preprocessing
from reid.data.unlabelled import read_unlabelled

# Of the images of a quantisation: those that are measured with, and not calibrated with.
HELD_OUT = slice(None, None, 4)


@dataclasses.dataclass(frozen=True)
class CalibrationImages:
    """Images that a quantisation looks at.

    Attributes:
        images: uint8 RGB (H, W, 3).
        origin: Where they are from, for messages.
        num_found: How many they were chosen from.
        faults: What is wrong with those of the chosen that cannot be read.
    """

    images: list[np.ndarray]
    origin: str
    num_found: int
    faults: tuple[str, ...]


def choose_images(samples: Sequence[Sample], count: int, seed: int, origin: str) -> CalibrationImages:
    """Reads random images, boxes cut out of their frames.

    Args:
        samples: Any split.
        count: How many, or all when there are fewer.
        seed: Of the choice.
        origin: Where the samples are from.

    Raises:
        ValueError: When the count is below 2, fewer than 2 of the chosen can be read, or a box lies outside its frame.
    """
    if count < 2:
        raise ValueError(f"calibration_count: got {count}, allowed: 2 or more")
    order = np.random.default_rng(seed).permutation(len(samples))[:count]
    readable, faults = drop_unreadable([samples[number] for number in order])
    if len(readable) < 2:
        raise ValueError(f"{origin}: got {len(readable)} readable images of {len(order)} tried, allowed: 2 or more")
    # A frame with several of the boxes is decoded once where they stand together.
    by_file = sorted(range(len(readable)), key=lambda number: readable[number].path)
    crops = dict(zip(by_file, load_crops([readable[number] for number in by_file]), strict=True))
    return CalibrationImages([crops[number] for number in range(len(crops))], origin, len(samples), faults)


def training_images(train: Sequence[Sample], name: str, count: int, seed: int = 0) -> CalibrationImages:
    """Reads random training images of a dataset.

    Args:
        train: Its split.
        name: The dataset's.
        count: How many, or all when there are fewer.
        seed: Of the choice.

    Raises:
        ValueError: When the split is empty, and as `choose_images`.
    """
    if not train:
        raise ValueError(f"{name}: the train split is empty, with nothing to calibrate on; give --calibration-images")
    return choose_images(train, count, seed, f"training images of {name}")


def images_below(folder: str | os.PathLike[str], count: int, seed: int = 0) -> CalibrationImages:
    """Reads random images below a folder of people's crops, of any layout.

    Args:
        folder: Where they lie, subfolders included. Of a folder in Market-1501's layout the training images are taken.
        count: How many, or all when there are fewer.
        seed: Of the choice.

    Raises:
        FileNotFoundError: When there is no such folder.
        ValueError: When it holds no image, and as `choose_images`.
    """
    training = Path(folder) / "bounding_box_train"
    place = training if training.is_dir() else Path(folder)
    return choose_images(read_unlabelled(place), count, seed, f"images below {place}")


def folder_images(
    folder: str | os.PathLike[str], count: int, seed: int = 0
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Returns the images of `images_below`, and what is wrong with those of the chosen that cannot be read."""
    found = images_below(folder, count, seed)
    return found.images, found.faults


def network_input(images: Sequence[np.ndarray], preprocessing: Preprocessing, input_kind: str) -> np.ndarray:
    """Returns images of any size as (N, 3, height, width), uint8 or, for "float32", normalised."""
    batch = preprocessing.batch(images)
    return batch if input_kind == "uint8" else preprocessing.normalise(batch)
