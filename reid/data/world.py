"""The procedural world as a dataset: Market-1501's layout, written when it is not there yet."""

import json
import os
from pathlib import Path

from reid.data.base import ReIDDataset
from reid.data.images import load_image
from reid.data.market1501 import read_market1501
from reid.data.world_folder import ensure_world


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
    if not ensure_world(folder, "reid", options):
        _compare(folder, options)
    return read_market1501(folder, source="world")


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
