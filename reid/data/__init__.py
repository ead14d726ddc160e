"""Datasets, samplers and transforms for re-identification, and the MOT text formats."""

import inspect
import os
from collections.abc import Callable
from typing import Any

from reid.data.base import ReIDDataset, checked
from reid.data.cuhk03 import read_cuhk03
from reid.data.dukemtmc import read_dukemtmc
from reid.data.folder import read_folder
from reid.data.market1501 import read_market1501
from reid.data.mot_crops import read_mot
from reid.data.msmt17 import read_msmt17
from reid.data.veri776 import read_veri776
from reid.data.world import read_world

DATASETS: dict[str, Callable[..., ReIDDataset]] = {
    "world": read_world,
    "market1501": read_market1501,
    "dukemtmc": read_dukemtmc,
    "msmt17": read_msmt17,
    "cuhk03": read_cuhk03,
    "veri776": read_veri776,
    "mot": read_mot,
    "folder": read_folder,
}


def list_datasets() -> list[str]:
    """Returns the names that `read_dataset` knows."""
    return list(DATASETS)


def read_dataset(name: str, root: str | os.PathLike[str], **options: Any) -> ReIDDataset:
    """Reads a dataset.

    No image is decoded: `reid.data.crops.drop_unreadable` finds corrupt files, `python -m reid.data check` reports
    all that is wrong with a folder.

    Args:
        name: One of `list_datasets()`.
        root: Its folder.
        options: Those of its reader, see `DATASETS`.

    Raises:
        ValueError: When the name or an option is unknown, a split is empty, or no query has a match in the gallery.
        FileNotFoundError: When files are missing; the message shows the expected layout.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset: got {name!r}, allowed: {', '.join(DATASETS)}")
    reader = DATASETS[name]
    known = [parameter for parameter in inspect.signature(reader).parameters if parameter != "root"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"options of {name}: got {', '.join(unknown)}, allowed: {', '.join(known)}")
    return checked(reader(root, **options))
