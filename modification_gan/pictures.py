"""Sample grids and loss curves of a training."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from reid.canvas import colour_and_style, finish, new_figure, save_figure
from reid.files import atomic_path

_GAP = 2  # pixels between two samples


def to_pixels(images: torch.Tensor) -> np.ndarray:
    """Returns RGB uint8 (B, H, W, 3) of images (B, 3, H, W) in -1..1."""
    scaled = (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()


def write_grid(images: torch.Tensor, path: Path) -> None:
    """Writes samples (B, 3, H, W) in -1..1 as one picture, about twice as many a row as rows, a .png whole or not."""
    pixels = to_pixels(images)
    count, height, width, _ = pixels.shape
    columns = math.ceil(math.sqrt(2 * count))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for number, image in enumerate(pixels):
        top, left = number // columns * (height + _GAP), number % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def draw_curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draws the losses by step on the left, and the diversity of samples on the right where it was looked at.

    Args:
        rows: As a training logs them, in their order.
        path: The picture, .png or .jpg.
    """
    names = sorted({name for row in rows for name in row if name.startswith("loss/")})
    judged = [row for row in rows if "diversity" in row]
    figure, losses, *others = new_figure(11 if judged else 6, 4, 2 if judged else 1)
    for number, name in enumerate(names):
        colour, style = colour_and_style(number)
        found = [row for row in rows if name in row]
        steps, values = [row["step"] for row in found], [row[name] for row in found]
        losses.plot(steps, values, label=name.removeprefix("loss/"), color=colour, linestyle=style)
    losses.set_yscale("symlog")  # a sum over thousands of values beside a mean
    finish(losses, "Training losses", "step", "loss", "best")
    for axes in others:
        axes.plot([row["step"] for row in judged], [row["diversity"] for row in judged], marker=".")
        axes.set_ylim(bottom=0)
        finish(axes, "Diversity of samples (training images: 1)", "step", "")
    save_figure(figure, path)
