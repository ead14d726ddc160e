"""Calibration images of a quantisation, as a network's input wants them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reid.data.crops import drop_unreadable, load_crops
from reid.data.images import Preprocessing
from reid.data.unlabelled import read_unlabelled


def folder_images(
    folder: str | os.PathLike[str], count: int, seed: int = 0
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Reads random images below a folder of people's crops, of any layout.

    Args:
        folder: Where they lie, subfolders included. Of a folder in Market-1501's layout the training images are taken.
        count: How many, or all when there are fewer.
        seed: Of the choice.

    Returns:
        uint8 RGB images (H, W, 3), and what is wrong with those of the chosen that cannot be read.

    Raises:
        FileNotFoundError: When there is no such folder.
        ValueError: When the count is below 2, or fewer than 2 of the chosen images can be read.
    """
    if count < 2:
        raise ValueError(f"calibration_count: got {count}, allowed: 2 or more")
    training = Path(folder) / "bounding_box_train"
    samples = read_unlabelled(training if training.is_dir() else folder)
    order = np.random.default_rng(seed).permutation(len(samples))[:count]
    readable, faults = drop_unreadable([samples[number] for number in order])
    if len(readable) < 2:
        raise ValueError(f"{folder}: holds {len(readable)} readable images of {len(order)} tried, allowed: 2 or more")
    return load_crops(readable), faults


def network_input(images: Sequence[np.ndarray], preprocessing: Preprocessing, input_kind: str) -> np.ndarray:
    """Returns images of any size as (N, 3, height, width), uint8 or, for "float32", normalised."""
    batch = preprocessing.batch(images)
    return batch if input_kind == "uint8" else preprocessing.normalise(batch)
