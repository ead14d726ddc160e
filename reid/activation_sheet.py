"""Sheets of where a network looks, and of what lies nearest to each image."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from reid.canvas import INK, QUERY, RIGHT, WRONG
from reid.data.base import Sample
from reid.data.crops import load_crop
from reid.nearest_images import Neighbour
from reid.thumbnail_sheet import ThumbnailSheet

ROWS = 8  # images a sheet
_SHARE = 0.55  # of the map's colour over the image


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draws a map over an image: dark is its lowest, bright its highest value.

    Args:
        image: uint8 RGB (H, W, 3).
        heat: float (h, w), stretched over the image; one that is the same everywhere is drawn dark.

    Returns:
        uint8 RGB (H, W, 3).
    """
    low, high = float(heat.min()), float(heat.max())
    scaled = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    wide = cv2.resize(scaled.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colours = matplotlib.colormaps["inferno"](wide)[..., :3]  # told apart by colour-blind readers, and in grey
    return (255 * _SHARE * colours + (1 - _SHARE) * image).round().astype(np.uint8)


def draw_maps(
    samples: Sequence[Sample],
    maps: Mapping[str, np.ndarray],
    others: Sequence[Neighbour] | None,
    folder: Path,
) -> list[Path]:
    """Draws one row an image: the image, then each map over it, and the second image behind the map that wants one.

    Args:
        samples: The images.
        maps: Name to (N, h, w).
        others: The second image of the map "grad", one an image.
        folder: Where maps-01.png and so on go.

    Returns:
        The sheets.
    """
    paths = []
    columns = 1 + len(maps) + (others is not None)
    for number, rows in _sheets(len(samples)):
        sheet = ThumbnailSheet(len(rows), columns, "Image, then where the network looks (bright: most)")
        for row, index in enumerate(rows):
            image, column = load_crop(samples[index]), 1
            sheet.note(row, _short(samples[index]))
            sheet.put_image(row, 0, image, QUERY, "image")
            for name, heat in maps.items():
                sheet.put_image(row, column, overlay(image, heat[index]), INK, name)
                column += 1
                if name == "grad" and others is not None:
                    other = others[index]
                    sheet.put(row, column, other.sample, INK, f"like this, {other.distance:.2f}")
                    column += 1
        paths.append(folder / f"maps-{number:02d}.png")
        sheet.save(paths[-1])
    return paths


def draw_neighbours(samples: Sequence[Sample], near: Sequence[Sequence[Neighbour]], folder: Path) -> list[Path]:
    """Draws one row an image: the image, then its nearest ones with their cosine distances.

    Args:
        samples: The images.
        near: The neighbours of each, the nearest first.
        folder: Where neighbours-01.png and so on go.

    Returns:
        The sheets.
    """
    known = any(one.same is not None for found in near for one in found)
    marks = " (✓ green: same person, ✗ orange: another)" if known else ""
    paths = []
    for number, rows in _sheets(len(samples)):
        longest = max((len(near[index]) for index in rows), default=0)
        sheet = ThumbnailSheet(len(rows), 1 + longest, f"Image, then its nearest, with cosine distances{marks}")
        for row, index in enumerate(rows):
            sheet.note(row, _short(samples[index]))
            sheet.put(row, 0, samples[index], QUERY, "image")
            for column, one in enumerate(near[index], start=1):
                mark = "" if one.same is None else " ✓" if one.same else " ✗"
                colour = INK if one.same is None else RIGHT if one.same else WRONG
                sheet.put(row, column, one.sample, colour, f"{one.distance:.3f}{mark}")
        paths.append(folder / f"neighbours-{number:02d}.png")
        sheet.save(paths[-1])
    return paths


def _sheets(count: int) -> Iterator[tuple[int, range]]:
    for number, start in enumerate(range(0, count, ROWS), start=1):
        yield number, range(start, min(start + ROWS, count))


def _short(sample: Sample) -> str:
    """Returns the end of a file name that fits beside a row."""
    name = Path(sample.path).stem
    return name if len(name) <= 12 else f"…{name[-11:]}"
