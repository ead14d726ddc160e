"""Folders of MOT sequences: which are there, which frames they have, and which names mean the same footage."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.data.mot import SequenceInfo, read_seqinfo


@dataclass(frozen=True)
class Sequence:
    """A sequence folder; `frames` are the frames to track and score, int64 ascending, from 1.

    `images` maps a frame to its image file and is empty where the folder has no images.
    """

    folder: Path
    info: SequenceInfo
    frames: np.ndarray
    images: dict[int, Path]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name


def read_sequence(folder: str | os.PathLike[str]) -> Sequence:
    """Reads what a sequence folder holds.

    Where the image folder has fewer images than seqinfo.ini says, only the frames with an image are used.

    Raises:
        ValueError: When seqinfo.ini is missing or wrong.
    """
    info = read_seqinfo(folder)
    image_dir = Path(folder) / info.image_dir
    images: dict[int, Path] = {}
    if image_dir.is_dir():
        for path in sorted(image_dir.glob(f"*{info.image_extension}")):
            if path.stem.isdigit() and 1 <= int(path.stem) <= info.length:
                images[int(path.stem)] = path
    frames = np.array(sorted(images), np.int64) if images else np.arange(1, info.length + 1)
    return Sequence(Path(folder), info, frames, images)


def find_sequences(root: str | os.PathLike[str]) -> dict[str, Path]:
    """Returns name to folder of the sequences with ground truth below `root`, or of `root` itself, sorted.

    Raises:
        ValueError: When there are none.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: not a folder; give the folder of sequence folders with gt/gt.txt")
    if (root / "gt" / "gt.txt").is_file():
        return {root.resolve().name: root.resolve()}
    found = {path.parent.parent.name: path.parent.parent for path in sorted(root.glob("*/gt/gt.txt"))}
    if not found:
        raise ValueError(f"{root}: no sequence folder with gt/gt.txt; give the folder that holds the sequence folders")
    return found


def match_sequences(
    names: Iterable[str], ground_truth: Iterable[str], sequence_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Finds the ground truth of each sequence: by `sequence_map`, by its name, or by its two-digit number.

    MOT16-05 and MOT17-05-FRCNN are the same footage, so the number decides where exactly one ground truth has it.

    Args:
        names: The sequences, such as names of result files.
        ground_truth: Names of the sequences with ground truth.
        sequence_map: Name to ground truth, ahead of the other rules.

    Returns:
        Name to ground truth, without the names that have none.

    Raises:
        ValueError: When `sequence_map` names a sequence or a ground truth that is not there.
    """
    names, known = list(names), list(ground_truth)
    sequence_map = sequence_map or {}
    for name, target in sequence_map.items():
        if target not in known:
            raise ValueError(f"sequence_map: got ground truth {target!r}, allowed: {', '.join(known)}")
        if name not in names:
            raise ValueError(f"sequence_map: got sequence {name!r}, allowed: {', '.join(names)}")
    matched = {}
    for name in names:
        same_number = [other for other in known if _number(other) is not None and _number(other) == _number(name)]
        if name in sequence_map:
            matched[name] = sequence_map[name]
        elif name in known:
            matched[name] = name
        elif len(same_number) == 1:
            matched[name] = same_number[0]
    return matched


def _number(name: str) -> str | None:
    """Returns the two digits of MOTnn-DD... names."""
    match = re.match(r"MOT\d+-(\d\d)(?!\d)", name)
    return match.group(1) if match else None
