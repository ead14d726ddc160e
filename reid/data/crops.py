"""The pixels of samples: whole files, or boxes cut out of frames."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from reid.data.base import Sample, Split
from reid.data.images import load_image

Item = TypeVar("Item")
Result = TypeVar("Result")
_TAIL = 64  # bytes at the end of a file in which its end mark must be; cameras append a few
_END_MARKS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}


def load_crop(sample: Sample, least: tuple[int, int] | None = None) -> np.ndarray:
    """Reads the image of one sample.

    Args:
        sample: Its box is rounded outwards to whole pixels and clipped to the image.
        least: The (height, width) that will be used: a larger JPEG may be decoded at a half or a quarter of its size,
            never below this. A box always comes at full size.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When the file is no readable image or the box lies outside it; the message names the file.
    """
    if sample.box is None:
        return load_image(sample.path, least)
    return _cut(load_image(sample.path), sample)


def load_crops(samples: Sequence[Sample], least: tuple[int, int] | None = None) -> list[np.ndarray]:
    """Reads the images of samples as `load_crop` does, each file once for all neighbours that share it."""
    crops: list[np.ndarray] = []
    path, frame = "", np.empty(0)
    for sample in samples:
        if sample.box is None:
            crops.append(load_image(sample.path, least))
            continue
        if sample.path != path:
            path, frame = sample.path, load_image(sample.path)
        crops.append(_cut(frame, sample))
    return crops


def _cut(frame: np.ndarray, sample: Sample) -> np.ndarray:
    assert sample.box is not None
    height, width = frame.shape[:2]
    left, top = (max(0, int(np.floor(value))) for value in sample.box[:2])
    right, bottom = (int(np.ceil(value)) for value in sample.box[2:])
    right, bottom = min(right, width), min(bottom, height)
    if right <= left or bottom <= top:
        raise ValueError(f"{sample.path}: the box {sample.box} lies outside its {width} x {height} pixels")
    return np.ascontiguousarray(frame[top:bottom, left:right])


def file_fault(path: str | os.PathLike[str]) -> str | None:
    """Returns what is wrong with a file without decoding it, or None.

    An image that ends in the middle may decode, with gray where pixels are missing; its missing end mark tells.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(2)
            file.seek(-min(_TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
            tail = file.read()
    except OSError as error:
        return str(error)
    mark = _END_MARKS.get(start)
    return None if mark is None or mark in tail else f"{path}: the file ends in the middle of the image"


def image_fault(path: str | os.PathLike[str]) -> str | None:
    """Returns what is wrong with an image file, which is decoded for that, or None."""
    return _decoding_fault(path) or file_fault(path)


def _decoding_fault(path: str | os.PathLike[str]) -> str | None:
    try:
        load_image(path, (1, 1))
    except (OSError, ValueError) as error:
        return str(error)
    return None


def unreadable_files(samples: Sequence[Sample], threads: int | None = None) -> tuple[str, ...]:
    """Decodes every image once, and returns a sentence for each file that is missing or no readable image.

    Args:
        samples: Any split.
        threads: How many decode at a time; None means one a core.
    """
    paths = sorted({sample.path for sample in samples})
    return tuple(fault for fault in map_threads(_decoding_fault, paths, threads) if fault is not None)


def drop_unreadable(samples: Sequence[Sample], threads: int | None = None) -> tuple[Split, tuple[str, ...]]:
    """Decodes every image once, and leaves out those that are missing or corrupt.

    Args:
        samples: Any split.
        threads: How many decode at a time; None means one a core.

    Returns:
        The readable samples in their order, and a sentence for each file that is not, which names it.
    """
    paths = sorted({sample.path for sample in samples})
    found = map_threads(image_fault, paths, threads)
    faults = {path: fault for path, fault in zip(paths, found, strict=True) if fault is not None}
    return [sample for sample in samples if sample.path not in faults], tuple(faults.values())


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Iterator[Result]:
    """Yields `function` of each item in their order; OpenCV decodes without the interpreter's lock."""
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        yield from pool.map(function, items)
