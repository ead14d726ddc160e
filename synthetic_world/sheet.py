"""Contact sheets: a level at a glance."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from .crops import reid_camera, render_crop
from .export import MOST_PIDS, QUERY, ReidOptions, plan_reid
from .levels import LEVELS, get_level
from .match import CROWDS, STREET

MOST_BYTES = 150_000
QUALITIES = (92, 88, 84, 80, 75, 70, 60, 50)


def contact_sheet(level: str, seed: int, people: int, cameras: int, crowd: str = STREET) -> np.ndarray:
    """One row a person, one column a camera: crops as `reid` writes them, (128 people, 64 cameras, 3) uint8 BGR.

    Raises:
        ValueError: for options that `reid` would not take, either.
    """
    if not 1 <= people < MOST_PIDS:
        raise ValueError(f"people: got {people}, allowed is 1 to {MOST_PIDS - 1}")
    options = ReidOptions(
        pids=people + 1, cameras=cameras, level=level, seed=seed, train_fraction=1 / (people + 1), crowd=crowd
    )
    tasks = [task for task in plan_reid(options, Path()) if task.file.startswith(QUERY)]
    width, height = options.width, options.height
    sheet = np.zeros((people * height, cameras * width, 3), np.uint8)
    for task in tasks:
        quality = reid_camera(seed, get_level(level), task.camera, cameras, crowd)[1].quality
        _, data = cv2.imencode(".jpg", render_crop(task)[0], [cv2.IMWRITE_JPEG_QUALITY, quality])
        row, column = (task.pid - 2) * height, (task.camera - 1) * width  # pid 1 is for training
        crop = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert crop is not None
        sheet[row : row + height, column : column + width] = crop
    return sheet


def write_sheet(path: Path, sheet: np.ndarray) -> None:
    """Write the sheet with the best quality that stays within 150 kB.

    Raises:
        ValueError: when none does.
    """
    for quality in QUALITIES:
        _, data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(data) <= MOST_BYTES:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.tobytes())
            return
    raise ValueError(f"{path}: the sheet is larger than {MOST_BYTES} bytes; ask for fewer people or cameras")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--out", type=Path, required=True, help="JPEG file to write, at most 150 kB")
    parser.add_argument("--level", choices=list(LEVELS), default="medium")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crowd", choices=CROWDS, default=STREET)
    parser.add_argument("--people", type=int, default=8, help="one row each")
    parser.add_argument("--cameras", type=int, default=8, help="one column each")


def run(options: argparse.Namespace) -> None:
    """Draw and write one sheet."""
    write_sheet(options.out, contact_sheet(options.level, options.seed, options.people, options.cameras, options.crowd))
