"""A sheet of framed thumbnails with titles, for ranked lists and the like."""

import os

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from reid.canvas import DPI, INK, save_figure
from reid.data.base import Sample
from reid.data.crops import load_crop

_CROP = (72, 144)  # width and height of a thumbnail, pixels
_FRAME, _GAP, _TITLE = 3, 8, 20  # pixels; _TITLE is the space above each thumbnail
_HEAD, _NOTE = 34, 112


class ThumbnailSheet:
    """Thumbnails in rows and columns; places that nothing is put into stay white.

    The thumbnails are put together as one array of pixels: a hundred axes of matplotlib would take seconds.

    Args:
        rows: Rows of thumbnails.
        columns: Thumbnails a row.
        title: Above all.
    """

    def __init__(self, rows: int, columns: int, title: str) -> None:
        self._step = _CROP[0] + 2 * _FRAME + _GAP, _CROP[1] + 2 * _FRAME + _TITLE + _GAP
        self._width, self._height = _NOTE + columns * self._step[0] + _GAP, _HEAD + rows * self._step[1]
        self._pixels = np.full((self._height, self._width, 3), 255, np.uint8)
        self._figure = Figure(figsize=(self._width / DPI, self._height / DPI), dpi=DPI)
        self._write(_GAP, _HEAD / 2, title, size=11, color=INK, ha="left", va="center")

    def put(self, row: int, column: int, sample: Sample, colour: str, title: str) -> None:
        """Puts a sample's image into a place, framed and titled in a colour.

        Raises:
            FileNotFoundError: When the image is missing.
            ValueError: When it cannot be read; the message names the file.
        """
        self.put_image(row, column, load_crop(sample), colour, title)

    def put_image(self, row: int, column: int, image: np.ndarray, colour: str, title: str) -> None:
        """Puts an image, uint8 RGB (H, W, 3), into a place, framed and titled in a colour."""
        crop = np.asarray(Image.fromarray(image).resize(_CROP, Image.Resampling.LANCZOS))
        left, top = _NOTE + column * self._step[0], _HEAD + row * self._step[1] + _TITLE
        framed = np.empty((_CROP[1] + 2 * _FRAME, _CROP[0] + 2 * _FRAME, 3), np.uint8)
        framed[:] = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        framed[_FRAME:-_FRAME, _FRAME:-_FRAME] = crop
        self._pixels[top : top + framed.shape[0], left : left + framed.shape[1]] = framed
        self._write(left + framed.shape[1] / 2, top - 4, title, size=8, color=colour, ha="center", va="baseline")

    def note(self, row: int, text: str) -> None:
        """Writes some lines at the left of a row."""
        middle = _HEAD + row * self._step[1] + _TITLE + _FRAME + _CROP[1] / 2
        self._write(_NOTE - _GAP, middle, text, size=9, color=INK, ha="right", va="center")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the sheet as .png or .jpg, whole or not at all.

        Raises:
            ValueError: When the suffix is unknown.
        """
        self._figure.figimage(self._pixels, zorder=-1)
        save_figure(self._figure, path)

    def _write(self, x: float, y: float, text: str, **style: object) -> None:
        self._figure.text(x / self._width, 1 - y / self._height, text, **style)  # type: ignore[arg-type]
