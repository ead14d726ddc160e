"""Datasets of tracklets by name, and the procedural world as one of them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid.data.mars import read_mars
from reid.data.mot_tracklets import read_mot_tracklets
from reid.data.tracklets import VideoDataset

_REPOSITORY = Path(__file__).resolve().parents[2]
# Some sixty people in eight cameras: enough to compare models, and written in a minute or two.
WORLD_OPTIONS = {"sequences": 2, "cameras": 3, "people": 48, "frames": 48, "fps": 4}


def read_video_world(root: str | os.PathLike[str], **options: Any) -> VideoDataset:
    """Reads a world, after writing it with `python -m synthetic_world mot` when `root` does not exist.

    Args:
        root: The folder. It appears when the world is complete.
        options: See `read_mot_tracklets`.

    Raises:
        ValueError: When the world cannot be written, or as `read_mot_tracklets`.
        FileNotFoundError: When the existing folder has another layout.
    """
    folder = Path(root)
    if not folder.exists():
        print(f"{folder} does not exist: writing a world of people there (python -m synthetic_world mot)", flush=True)
        words = [word for name, value in WORLD_OPTIONS.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "synthetic_world", "mot", "--out", str(folder.resolve()), *words]
        # The caller's terminal shows the progress; only the reason of a failure is wanted here.
        done = subprocess.run(
            [*command, "--processes", str(os.cpu_count() or 1)], cwd=_REPOSITORY, stderr=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ValueError(f"{folder}: the world could not be written: {reason[0]}")
    return read_mot_tracklets(folder, **options)


VIDEO_DATASETS: dict[str, Callable[..., VideoDataset]] = {
    "world": read_video_world,
    "mot": read_mot_tracklets,
    "mars": read_mars,
}
