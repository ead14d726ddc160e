"""Datasets of three image folders whose file names say identity, camera and frame."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from reid.data.base import ReIDDataset, Sample, Split

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
JUNK_PID = -1


@dataclass(frozen=True)
class Layout:
    """How a dataset lies on disk.

    Attributes:
        folders: Split ("train", "query", "gallery") to folder.
        public_name: The subfolder that the public archive unpacks to.
        name: Matches a file name; groups pid, camid (from 1) and frame, the last of which may be missing.
        expected_name: What such a name looks like, for messages.
    """

    folders: dict[str, str]
    public_name: str
    name: re.Pattern[str]
    expected_name: str

    def __str__(self) -> str:
        return f"the folders {', '.join(self.folders.values())}, in it or in its subfolder {self.public_name}"


def read_named_folders(root: str | os.PathLike[str], layout: Layout, source: str) -> ReIDDataset:
    """Reads the three folders of a layout, each sorted by file name.

    Files that are no images are ignored (the public archives hold Thumbs.db), images with other names are listed in
    `skipped`, and those of pid -1 are counted in `num_junk`.

    Args:
        root: The folder itself, or its parent when that holds the layout's public name.
        layout: Folders and file names.
        source: The name of the dataset.

    Raises:
        FileNotFoundError: When a folder is missing; the message shows the expected layout.
        ValueError: When a split holds no usable image.
    """
    folder = find_root(Path(root), layout)
    splits: dict[str, Split] = {}
    skipped: list[str] = []
    num_junk = 0
    for split, name in layout.folders.items():
        splits[split], junk, odd = _read_folder(folder / name, layout, source)
        num_junk += junk
        skipped += odd
    return ReIDDataset(
        source, splits["train"], splits["query"], splits["gallery"], num_junk=num_junk, skipped=tuple(skipped)
    )


def find_root(root: Path, layout: Layout) -> Path:
    """Returns the folder that holds the layout's folders: `root` or its subfolder of the public name.

    Raises:
        FileNotFoundError: When a folder is missing; the message shows the expected layout.
    """
    for candidate in (root, root / layout.public_name):
        if any((candidate / name).is_dir() for name in layout.folders.values()):
            missing = [name for name in layout.folders.values() if not (candidate / name).is_dir()]
            if missing:
                raise FileNotFoundError(f"{candidate}: missing {', '.join(missing)}; expected {layout}")
            return candidate
    state = "holds none of them" if root.is_dir() else "is no folder"
    raise FileNotFoundError(f"{root} {state}; expected {layout}")


def _read_folder(folder: Path, layout: Layout, source: str) -> tuple[Split, int, list[str]]:
    samples: Split = []
    skipped: list[str] = []
    num_junk = 0
    for name in sorted(os.listdir(folder)):  # the file system's own order differs from machine to machine
        if not name.lower().endswith(IMAGE_SUFFIXES):
            continue
        match = layout.name.fullmatch(name)
        if match is None or int(match["camid"]) == 0:
            skipped.append(f"{folder.name}/{name}")
        elif int(match["pid"]) == JUNK_PID:
            num_junk += 1
        else:
            frame = int(match["frame"] or 0)
            samples.append(Sample(str(folder / name), int(match["pid"]), int(match["camid"]) - 1, frame, source))
    if not samples:
        found = f"{num_junk} junk images and {len(skipped)} images with other names"
        examples = f" ({', '.join(skipped[:3])})" if skipped else ""
        raise ValueError(
            f"{folder}: no usable image, found {found}{examples}; expected names are {layout.expected_name}"
        )
    return samples, num_junk, skipped
