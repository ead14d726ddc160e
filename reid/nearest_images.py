"""Images of a folder or of a test set, and what lies nearest to each."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.data.base import ReIDDataset, Sample, Split
from reid.data.crops import drop_unreadable
from reid.data.named_folders import IMAGE_SUFFIXES
from reid.distances import cosine_distances
from reid.evaluation import protocol_samples
from reid.files import atomic_path

_BLOCK = 256


@dataclass(frozen=True)
class Neighbour:
    """An image that lies near another one.

    Attributes:
        sample: The image.
        distance: Cosine distance.
        same: Whether it is of the same person; None where nobody knows.
    """

    sample: Sample
    distance: float
    same: bool | None


@dataclass(frozen=True)
class Images:
    """Images whose neighbours are looked for, and among what.

    Attributes:
        all: The images.
        places: int64, those of them that are drawn.
        pool: Where neighbours are looked for; the same list as `all` for a plain folder.
        labelled: Whether identities are known.
        notes: What was left out.
    """

    all: Split
    places: NDArray[np.int64]
    pool: Split
    labelled: bool
    notes: tuple[str, ...]

    @property
    def drawn(self) -> Split:
        """The images that are drawn."""
        return [self.all[place] for place in self.places]


def images_of_folder(folder: Path, num: int) -> Images:
    """Finds the images of a folder and its sub-folders, and leaves out those that cannot be decoded.

    Args:
        folder: Of .jpg, .jpeg and .png files.
        num: Images to draw, evenly spaced; 0 means all.

    Raises:
        FileNotFoundError: When there is no such folder.
        ValueError: When it holds no readable image.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    found = [Sample(str(path), 0, 0, number, "images") for number, path in enumerate(files)]
    readable, faults = drop_unreadable(found)
    return _images(readable, readable, faults, num, False, str(folder))


def images_of_test_set(data: ReIDDataset, num: int) -> Images:
    """Takes query and gallery of a dataset, and leaves out those that cannot be decoded.

    Args:
        data: The dataset.
        num: Query images to draw, evenly spaced; 0 means all.

    Raises:
        ValueError: When no query image is readable.
    """
    query, gallery = protocol_samples(data.query, data.gallery, data.cameras_known)
    readable, faults = drop_unreadable([*query, *gallery])
    kept = {sample.path for sample in readable}
    query, gallery = ([sample for sample in side if sample.path in kept] for side in (query, gallery))
    return _images(query, gallery, faults, num, True, data.name)


def _images(query: Split, gallery: Split, faults: Sequence[str], num: int, labelled: bool, where: str) -> Images:
    if not query:
        raise ValueError(f"{where}: no readable image ({len(faults)} cannot be read)")
    notes = (f"{len(faults)} images cannot be read and are left out, e.g. {faults[0]}",) if faults else ()
    places = np.linspace(0, len(query) - 1, min(num or len(query), len(query))).round().astype(np.int64)
    return Images(query, places, gallery, labelled, notes)


def find_near(images: Images, query: np.ndarray, pool: np.ndarray, top: int) -> list[list[Neighbour]]:
    """Finds the nearest of each image: without itself, and without its own person in its own camera.

    Args:
        images: Which.
        query: float32 (N, D), features of `all`.
        pool: float32 (M, D), features of `pool`.
        top: How many, fewer where there are fewer.

    Returns:
        The neighbours of each image, the nearest first, equal distances in the pool's order.
    """
    near: list[list[Neighbour]] = []
    if not images.pool:
        return [[] for _ in images.all]
    files = np.array([sample.path for sample in images.pool])
    pids, camids = np.array([(sample.pid, sample.camid) for sample in images.pool]).T
    for start in range(0, len(query), _BLOCK):
        part = slice(start, start + _BLOCK)
        for sample, row in zip(images.all[part], cosine_distances(query[part], pool), strict=True):
            left_out = (pids == sample.pid) & (camids == sample.camid) if images.labelled else files == sample.path
            order = np.argsort(np.where(left_out, np.inf, row), kind="stable")[: min(top, int((~left_out).sum()))]
            same = [bool(pids[j] == sample.pid) if images.labelled else None for j in order]
            found = zip(order, same, strict=True)
            near.append([Neighbour(images.pool[j], float(row[j]), whether) for j, whether in found])
    return near


def write_near(path: str | os.PathLike[str], samples: Sequence[Sample], near: Sequence[Sequence[Neighbour]]) -> None:
    """Writes one line for each image and neighbour: image, rank from 1, nearest, cosine_distance."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "rank", "nearest", "cosine_distance"))
        for sample, found in zip(samples, near, strict=True):
            for rank, one in enumerate(found, start=1):
                writer.writerow((sample.path, rank, one.sample.path, f"{one.distance:.6g}"))
