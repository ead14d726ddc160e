"""Market-1501 (Zheng et al., ICCV 2015) and every folder that is laid out like it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from reid.data.base import Sample, Split

PUBLIC_NAME = "Market-1501-v15.09.15"
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
JUNK_PID = -1
DISTRACTOR_PID = 0
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_NAME = re.compile(r"(-1|\d+)_c(\d+)s(\d+)_(\d+)_(\d+)\.(?:jpg|jpeg|png)", re.IGNORECASE)
_EXPECTED_NAME = "<pid>_c<camera>s<sequence>_<frame>_<box>.jpg, e.g. 0002_c1s1_000451_03.jpg"


@dataclass(frozen=True, slots=True)
class Market1501:
    """The three splits, sorted by file name, and what was left out.

    Attributes:
        train: Training images.
        query: Query images.
        gallery: Gallery images, distractors (pid 0) included.
        num_junk: Images with pid -1, dropped at reading as the protocol asks.
        skipped: Image files whose names do not follow the pattern, as "folder/name", sorted.
    """

    train: Split
    query: Split
    gallery: Split
    num_junk: int
    skipped: tuple[str, ...]


def read_market1501(root: str | os.PathLike[str], source: str = "market1501") -> Market1501:
    """Reads a folder with bounding_box_train, query and bounding_box_test.

    Names look like 0002_c1s1_000451_03.jpg: identity, camera and sequence, frame, number of the box. Cameras count
    from 1 in the names and from 0 in the samples. Files that are no images are ignored (the public archive holds
    Thumbs.db), images with other names are listed in `skipped`.

    Args:
        root: The folder itself, or its parent when that holds Market-1501-v15.09.15.
        source: The name that the samples carry.

    Raises:
        FileNotFoundError: When a folder is missing; the message shows the expected layout.
        ValueError: When a split holds no usable image.
    """
    folder = _find_root(Path(root))
    splits: dict[str, Split] = {}
    skipped: list[str] = []
    num_junk = 0
    for split, name in FOLDERS.items():
        samples, junk, odd = _read_folder(folder / name, source)
        splits[split] = samples
        num_junk += junk
        skipped += odd
    return Market1501(**splits, num_junk=num_junk, skipped=tuple(skipped))


def _find_root(root: Path) -> Path:
    for candidate in (root, root / PUBLIC_NAME):
        if any((candidate / name).is_dir() for name in FOLDERS.values()):
            missing = [name for name in FOLDERS.values() if not (candidate / name).is_dir()]
            if missing:
                raise FileNotFoundError(f"{candidate}: missing {', '.join(missing)}; expected {_layout()}")
            return candidate
    state = "holds none of them" if root.is_dir() else "is no folder"
    raise FileNotFoundError(f"{root} {state}; expected {_layout()}")


def _layout() -> str:
    return f"the folders {', '.join(FOLDERS.values())}, in it or in its subfolder {PUBLIC_NAME}"


def _read_folder(folder: Path, source: str) -> tuple[Split, int, list[str]]:
    samples: Split = []
    skipped: list[str] = []
    num_junk = 0
    for name in sorted(os.listdir(folder)):  # the file system's own order differs from machine to machine
        if not name.lower().endswith(_IMAGE_SUFFIXES):
            continue
        match = _NAME.fullmatch(name)
        if match is None or int(match[2]) == 0:
            skipped.append(f"{folder.name}/{name}")
        elif int(match[1]) == JUNK_PID:
            num_junk += 1
        else:
            samples.append(Sample(str(folder / name), int(match[1]), int(match[2]) - 1, int(match[4]), source))
    if not samples:
        found = f"{num_junk} junk images and {len(skipped)} images with other names"
        examples = f" ({', '.join(skipped[:3])})" if skipped else ""
        raise ValueError(f"{folder}: no usable image, found {found}{examples}; expected names are {_EXPECTED_NAME}")
    return samples, num_junk, skipped
