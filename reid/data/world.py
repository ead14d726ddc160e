"""The procedural world as a dataset: Market-1501's layout, written when it is not there yet."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from reid.data.base import ReIDDataset
from reid.data.images import load_image
from reid.data.market1501 import read_market1501

_REPOSITORY = Path(__file__).resolve().parents[2]
_WAIT_SECONDS = 6 * 3600  # a large world takes hours on one core


def read_world(
    root: str | os.PathLike[str],
    level: str | None = None,
    pids: int | None = None,
    cameras: int | None = None,
    seed: int | None = None,
    width: int | None = None,
    height: int | None = None,
) -> ReIDDataset:
    """Reads a world, after writing it with `python -m synthetic_world reid` when `root` does not exist.

    Of several processes on one machine the first one writes and the others wait.

    Args:
        root: The folder. It appears when the world is complete.
        level: How hard the world is; None takes synthetic_world's default, or whatever the existing folder has, and so
            it is with all that follow.
        pids: Identities, for training and testing together.
        cameras: How many see everybody.
        seed: Of the world.
        width: Of the crops, pixels.
        height: Of the crops, pixels.

    Raises:
        ValueError: When the world cannot be written, or the existing folder holds another world than the options ask
            for.
        FileNotFoundError: When the existing folder has another layout.
    """
    folder = Path(root)
    given = {"level": level, "pids": pids, "cameras": cameras, "seed": seed, "width": width, "height": height}
    options = {name: value for name, value in given.items() if value is not None}
    if folder.exists():
        _compare(folder, options)
    elif os.environ.get("LOCAL_RANK", "0") == "0":
        _write(folder, options)
    else:
        _wait(folder)
    return read_market1501(folder, source="world")


def _write(folder: Path, options: dict[str, str | int]) -> None:
    print(f"{folder} does not exist: writing a world of people there (python -m synthetic_world reid)", flush=True)
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "synthetic_world", "reid", "--out", str(folder.resolve()), *words]
    # The caller's terminal shows the progress; only the reason of a failure is wanted here.
    done = subprocess.run(
        [*command, "--processes", str(os.cpu_count() or 1)], cwd=_REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ValueError(f"{folder}: the world could not be written: {reason[0]}")


def _wait(folder: Path) -> None:
    stop = time.monotonic() + _WAIT_SECONDS
    while not folder.exists():
        if time.monotonic() > stop:
            raise ValueError(f"{folder}: the first process has not written the world in {_WAIT_SECONDS // 3600} hours")
        time.sleep(0.5)


def _compare(folder: Path, options: dict[str, str | int]) -> None:
    """Refuses options that the existing world contradicts."""
    notes = folder / "annotations.json"
    if not options or not folder.is_dir():
        return
    if not notes.is_file():
        raise ValueError(
            f"{folder}: got {', '.join(options)}, but it is no world that was written here; leave them out"
        )
    with open(notes, encoding="utf-8") as file:
        world = dict(json.load(file)["world"])
    if {"width", "height"} & set(options):
        image = load_image(next(path for path in sorted((folder / "query").iterdir()) if path.suffix == ".jpg"))
        world |= {"height": image.shape[0], "width": image.shape[1]}
    for name, value in options.items():
        if world.get(name) != value:
            raise ValueError(
                f"{name}: got {value}, but {folder} is a world of {world.get(name)}; choose another folder"
            )
