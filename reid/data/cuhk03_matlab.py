"""CUHK03 as it is published: two MATLAB files."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

# Of the ten cells a person: the first five are of one camera of the pair, the others of the other one.
_IMAGES_PER_VIEW = 5


def read_protocol(path: Path) -> dict[str, list[str]]:
    """Reads cuhk03_new_protocol_config_*.mat: the file names of the train, query and gallery images.

    Raises:
        ValueError: When it is no such file.
    """
    from scipy.io import loadmat  # slow to import, and few need it

    try:
        content = loadmat(str(path))
        names = [str(np.ravel(cell)[0]) for cell in content["filelist"].ravel()]
        indices = {name: content[f"{name}_idx"].ravel().astype(int) - 1 for name in ("train", "query", "gallery")}
        return {name: [names[index] for index in values] for name, values in indices.items()}
    except (KeyError, IndexError, NotImplementedError, ValueError, TypeError) as error:
        expected = "filelist, train_idx, query_idx and gallery_idx"
        raise ValueError(f"{path}: not readable ({type(error).__name__}: {error}); expected {expected}") from error


def extract_images(path: Path, boxes: str, folder: Path) -> None:
    """Writes the images of cuhk-03.mat as PNG files; the folder appears when it is complete.

    Args:
        path: cuhk-03.mat, a MATLAB 7.3 file, which is HDF5.
        boxes: "detected" or "labeled".
        folder: Where the images go, named <pair>_<person>_<view>_<image>.png, all counted from 1.

    Raises:
        ValueError: When h5py is missing, or the file is not what it should be.
    """
    try:
        import h5py
    except ImportError as error:
        message = f"{path} is HDF5: install h5py (pip install h5py), or provide {folder} with its images"
        raise ValueError(message) from error
    print(f"writing the {boxes} images of {path} to {folder}", flush=True)
    partial = folder.with_name(f".{folder.name}-partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with h5py.File(path, "r") as file:
            for pair, reference in enumerate(file[boxes][0], start=1):
                _write_pair(file, np.asarray(file[reference]).T, pair, partial)
    except (OSError, KeyError) as error:
        raise ValueError(f"{path}: not readable ({error}); expected CUHK03's cuhk-03.mat with {boxes!r}") from error
    partial.replace(folder)


def _write_pair(file: Any, cells: np.ndarray, pair: int, folder: Path) -> None:
    """Writes the images of one camera pair; `cells` are references (people, 10)."""
    for person, row in enumerate(cells, start=1):
        for index, reference in enumerate(row, start=1):
            image = np.asarray(file[reference]).T  # MATLAB stores columns first
            if image.ndim != 3:  # an empty cell
                continue
            view = 1 if index <= _IMAGES_PER_VIEW else 2
            name = f"{pair:d}_{person:03d}_{view:d}_{index:02d}.png"
            if not cv2.imwrite(str(folder / name), np.ascontiguousarray(image[:, :, ::-1])):
                raise OSError(f"cannot write {folder / name}")
