"""Datasets of tracklets by name, and the procedural world as one of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid.data.mars import read_mars
from reid.data.mot_tracklets import read_mot_tracklets
from reid.data.tracklets import VideoDataset
from reid.data.world_folder import ensure_world

# Some sixty people in six cameras: enough to compare models, and written in a minute or two.
WORLD_OPTIONS = {"sequences": 2, "cameras": 3, "people": 48, "frames": 48, "fps": 4}


def read_video_world(root: str | os.PathLike[str], **options: Any) -> VideoDataset:
    """Reads a world, after writing it with `python -m synthetic_world mot` when `root` does not exist.

    Of several processes on one machine the first one writes and the others wait.

    Args:
        root: The folder. It appears when the world is complete.
        options: See `read_mot_tracklets`.

    Raises:
        ValueError: When the world cannot be written, or as `read_mot_tracklets`.
        FileNotFoundError: When the existing folder has another layout.
    """
    ensure_world(Path(root), "mot", WORLD_OPTIONS)
    return read_mot_tracklets(root, **options)


VIDEO_DATASETS: dict[str, Callable[..., VideoDataset]] = {
    "world": read_video_world,
    "mot": read_mot_tracklets,
    "mars": read_mars,
}
