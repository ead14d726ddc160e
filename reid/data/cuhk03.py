"""CUHK03 (Li et al., CVPR 2014) in the new protocol of 767 training and 700 test people (arXiv 1701.08398)."""

import json
import os
import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from reid.data.base import ReIDDataset, Sample, Split
from reid.data.cuhk03_matlab import extract_images, read_protocol
from reid.data.market1501 import FOLDERS
from reid.data.named_folders import Layout, read_named_folders

Boxes = Literal["detected", "labeled"]
# Camera pair, person, view (1 or 2), image.
_NAME = re.compile(r"(?P<pair>\d+)_(?P<person>\d+)_(?P<camid>[12])_(?P<frame>\d+)\.(?:png|jpg|jpeg)", re.IGNORECASE)
_EXPECTED_NAME = "<pair>_<person>_<view>_<image>.png, e.g. 1_001_1_01.png"
_PEOPLE_PER_PAIR = 10_000


def read_cuhk03(root: str | os.PathLike[str], boxes: Boxes = "detected") -> ReIDDataset:
    """Reads the new protocol from whichever form of it lies in a folder.

    - CUHK03-NP: detected/ and labeled/ with bounding_box_train, query, bounding_box_test, names like 0001_c1_1.png.
    - images_detected, images_labeled and splits_new_{detected,labeled}.json, as torchreid writes them.
    - The published cuhk-03.mat (in it or in cuhk03_release) and cuhk03_new_protocol_config_{detected,labeled}.mat; the
      images are written to images_{detected,labeled} once, for which h5py must be installed.

    The identity in the second and third form is 10,000 times the camera pair plus the person, the same for both kinds
    of boxes. The camera is the view, 0 or 1, as everybody scores it: people never change the camera pair.

    Args:
        root: The folder.
        boxes: Found by a detector ("detected") or drawn by hand ("labeled").

    Raises:
        FileNotFoundError: When there is none of these forms, or a listed image is missing.
        ValueError: When a file says something else than it should, or h5py is missing.
    """
    if boxes not in get_args(Boxes):
        raise ValueError(f"boxes: got {boxes!r}, allowed: {', '.join(get_args(Boxes))}")
    folder = Path(root)
    source = f"cuhk03-{boxes}"
    if (folder / boxes).is_dir():
        return read_named_folders(folder / boxes, _np_layout(boxes), source)
    split_file, protocol_file = folder / f"splits_new_{boxes}.json", _protocol_file(folder, boxes)
    if split_file.is_file():
        names = _read_json(split_file)
    elif protocol_file.is_file():
        names = read_protocol(protocol_file)
    else:
        raise FileNotFoundError(f"{folder}: {_layout(boxes)}")
    images = folder / f"images_{boxes}"
    if not images.is_dir():
        matlab = next((path for path in _matlab_files(folder) if path.is_file()), None)
        if matlab is None:
            raise FileNotFoundError(f"{images}: missing; {_layout(boxes)}")
        extract_images(matlab, boxes, images)
    where = split_file if split_file.is_file() else protocol_file
    train, query, gallery = (_samples(names[split], images, where, source) for split in FOLDERS)
    return ReIDDataset(source, train, query, gallery)


def _np_layout(boxes: str) -> Layout:
    return Layout(
        folders=FOLDERS,
        public_name=boxes,
        name=re.compile(r"(?P<pid>-1|\d+)_c(?P<camid>\d+)_(?P<frame>\d+)\.(?:jpg|jpeg|png)", re.IGNORECASE),
        expected_name="<pid>_c<camera>_<image>.png, e.g. 0001_c1_1.png",
    )


def _layout(boxes: str) -> str:
    return (
        f"expected {boxes}/ with {', '.join(FOLDERS.values())}, or images_{boxes} and splits_new_{boxes}.json, or "
        f"cuhk-03.mat and cuhk03_new_protocol_config_{boxes}.mat"
    )


def _protocol_file(folder: Path, boxes: str) -> Path:
    return folder / f"cuhk03_new_protocol_config_{boxes}.mat"


def _matlab_files(folder: Path) -> tuple[Path, Path]:
    return folder / "cuhk03_release" / "cuhk-03.mat", folder / "cuhk-03.mat"


def _read_json(path: Path) -> dict[str, list[str]]:
    """Returns the file names of each split; the folders before them are those of whoever wrote the list."""
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
        return {name: [re.split(r"[/\\]", entry[0])[-1] for entry in splits[0][name]] for name in FOLDERS}
    except (json.JSONDecodeError, KeyError, IndexError, TypeError) as error:
        expected = "a list with one mapping of train, query and gallery to lists of [path, pid, camid]"
        raise ValueError(f"{path}: not readable ({type(error).__name__}: {error}); expected {expected}") from error


def _samples(names: list[str], images: Path, where: Path, source: str) -> Split:
    samples: Split = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{where}: got the image {name!r}, expected names are {_EXPECTED_NAME}")
        pid = _PEOPLE_PER_PAIR * int(match["pair"]) + int(match["person"])
        samples.append(Sample(str(images / name), pid, int(match["camid"]) - 1, int(match["frame"]), source))
    present = set(os.listdir(images))
    missing = np.array([name not in present for name in names], dtype=bool)
    if missing.any():
        first = names[int(missing.argmax())]
        raise FileNotFoundError(
            f"{images / first}: missing (and {int(missing.sum()) - 1} more), though {where} lists it"
        )
    return samples
