"""The pixels of tracklets: boxes cut out of frames, scaled by the crop factor."""

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from reid.data.base import Sample
from reid.data.images import Preprocessing, load_image
from reid.data.tracklets import Tracklet

_EPSILON = 1e-6  # of a pixel: what rounding may add to an edge


def check_crop_factor(factor: float, cropped: bool) -> None:
    """Refuses a factor that is not positive, or above 1 where nothing lies around the person.

    Raises:
        ValueError: In either case.
    """
    if not (factor > 0 and math.isfinite(factor)):
        raise ValueError(f"crop_factor: got {factor}, allowed: above 0")
    if cropped and factor > 1:
        raise ValueError(f"crop_factor: got {factor}, allowed: at most 1, as these images are cut out already")


def cut(image: np.ndarray, box: tuple[float, ...] | None, factor: float) -> np.ndarray:
    """Cuts a box, scaled around its centre, out of an image.

    The edges of the scaled box are rounded outwards to whole pixels and clipped to the image.

    Args:
        image: (H, W, 3).
        box: (left, top, right, bottom) in pixels; None is the whole image.
        factor: Of width and height; 1 is the box itself.

    Returns:
        A view of the image, at least one pixel in either direction.

    Raises:
        ValueError: When the scaled box lies outside the image.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = (0.0, 0.0, float(width), float(height)) if box is None else box
    half_width, half_height = factor * (right - left) / 2, factor * (bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    columns = max(0, math.floor(x - half_width + _EPSILON)), min(width, math.ceil(x + half_width - _EPSILON))
    rows = max(0, math.floor(y - half_height + _EPSILON)), min(height, math.ceil(y + half_height - _EPSILON))
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        raise ValueError(f"box {box} times {factor:g} lies outside the {width} x {height} pixels of the image")
    return image[rows[0] : rows[1], columns[0] : columns[1]]


def load_frames(
    samples: Sequence[Sample], preprocessing: Preprocessing, crop_factor: float, threads: int | None = None
) -> np.ndarray:
    """Reads the images of frames, each file once however many boxes are cut out of it.

    Args:
        samples: In any order, of any tracklets.
        preprocessing: Height and width of the result.
        crop_factor: See `cut`; the same in training and at test.
        threads: How many decode at a time; None leaves it to Python.

    Returns:
        uint8 (N, 3, height, width).

    Raises:
        OSError: When a file is missing.
        ValueError: When a file is no image, or a box lies outside it; the message names the file.
    """
    images = np.empty((len(samples), 3, preprocessing.height, preprocessing.width), np.uint8)
    positions: dict[str, list[int]] = {}
    for position, sample in enumerate(samples):
        positions.setdefault(sample.path, []).append(position)

    def load(path: str) -> None:
        image = load_image(path)
        for position in positions[path]:
            try:
                crop = cut(image, samples[position].box, crop_factor)
            except ValueError as error:
                raise ValueError(f"{path}: {error}; correct the ground truth") from error
            images[position] = preprocessing.resize(np.ascontiguousarray(crop)).transpose(2, 0, 1)

    _each(load, positions, threads)
    return images


def _each(function: Callable[[str], None], paths: Iterable[str], threads: int | None) -> None:
    paths = list(paths)
    if len(paths) == 1 or threads == 1:
        for path in paths:
            function(path)
        return
    # OpenCV decodes without the interpreter's lock.
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(function, paths):
            pass


def drop_unreadable_frames(
    splits: Sequence[Sequence[Tracklet]], find_fault: Callable[[str], str | None], threads: int | None = None
) -> tuple[list[list[Tracklet]], tuple[str, ...]]:
    """Leaves frames out whose files are missing or corrupt, and tracklets of which no frame is left.

    A tracklet that stands in several splits is the same one in all of them afterwards.

    Args:
        splits: Looked at together, so that each file is decoded once.
        find_fault: Says what is wrong with a file, or None: `reid.data.crops.image_fault`.
        threads: How many decode at a time.

    Returns:
        The splits without the frames, and a sentence for each file, which names it.
    """
    paths = sorted({frame.path for split in splits for tracklet in split for frame in tracklet.frames})
    faults: dict[str, str] = {}

    def look(path: str) -> None:
        fault = find_fault(path)
        if fault is not None:
            faults[path] = fault

    _each(look, paths, threads)
    kept: list[list[Tracklet]] = []
    for split in splits:
        kept.append([])
        for tracklet in split:
            frames = tuple(frame for frame in tracklet.frames if frame.path not in faults)
            if len(frames) == len(tracklet.frames):
                kept[-1].append(tracklet)
            elif frames:
                kept[-1].append(Tracklet(frames, tracklet.pid, tracklet.camid, tracklet.source))
    return kept, tuple(faults[path] for path in sorted(faults))
