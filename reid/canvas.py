"""What all pictures share: colours, figures without global state, and files that are whole or absent."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from reid.files import atomic_path

SUFFIXES = (".png", ".jpg", ".jpeg")
# Okabe and Ito's colours without yellow, which is too pale on white: told apart by colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "^", "s", "D", "v", "P")
# Right and wrong differ in a mark as well, never in colour alone.
RIGHT, WRONG, QUERY, INK = "#009e73", "#d55e00", "#1f2937", "#374151"
SOFT, LINE = "#6b7280", "#e5e7eb"
DPI = 110
_PNG_BYTES = 600_000


def colour_and_style(number: int) -> tuple[str, str]:
    """Returns colour and line style of a picture's line by its number, counted from 0."""
    return COLOURS[number % len(COLOURS)], LINE_STYLES[number // len(COLOURS) % len(LINE_STYLES)]


def new_figure(width: float, height: float, panels: int = 1, rows: int = 1) -> tuple[Any, ...]:
    """Returns a figure and its axes, row by row.

    Figures of their own, not pyplot's: no global state, no window system, safe in threads.

    Args:
        width: Inches.
        height: Inches.
        panels: Axes a row.
        rows: Rows of axes.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, *figure.subplots(rows, panels, squeeze=False).ravel()


def finish(axes: Axes, title: str, x_label: str, y_label: str, legend: Any = None) -> None:
    """Gives axes their title, labels, grid and, where a place is named, legend."""
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(loc=legend, fontsize=9, facecolor="white", edgecolor="none", framealpha=0.85)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a figure as .png or .jpg, whole or not at all.

    Raises:
        ValueError: When the suffix is unknown.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"path: got {os.fspath(path)!r}, allowed: a name that ends in {', '.join(SUFFIXES)}")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    with atomic_path(path) as temporary:
        if suffix == ".png":
            save_png(image, temporary)
        else:
            image.save(temporary, format="JPEG", quality=88)


def save_png(image: Image.Image, path: Path) -> None:
    """Writes a .png with few colours, fewer where it would be large."""
    # 256 colours without dithering are a third of the size of all colours, and hard to tell from them. Photographs with
    # much noise get fewer, so that a report with several sheets stays easy to send.
    for colours in (256, 96, 32):
        image.quantize(colours, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)
        if path.stat().st_size < _PNG_BYTES:
            break
