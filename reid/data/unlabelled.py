"""Images without labels: a folder of any layout."""

import os
import re
from hashlib import blake2b
from pathlib import Path

from reid.data.base import Sample, Split
from reid.data.named_folders import IMAGE_SUFFIXES

UNKNOWN = -1
# 0002_c1s1_000451_03.jpg, 0001_c2_f0046182.jpg, 0002_c002_00030600_0.jpg: identity, then camera.
_LABELLED = re.compile(r"(-1|\d+)_c(\d+)(?:s\d+)?_", re.IGNORECASE)
# cam3_000017.jpg, lobby-camera2-17.png, a folder c4.
_CAMERA = re.compile(r"(?:^|[^a-z0-9])c(?:am(?:era)?)?[ _-]?(\d+)(?![a-z])", re.IGNORECASE)


def read_unlabelled(folder: str | os.PathLike[str], source: str = "unlabelled") -> Split:
    """Reads all images below a folder, sorted by path.

    The camera comes from the file's name or from the nearest folder that has one (c3, cam3, camera_3; the public
    datasets' names), counted from 0 as the names do or from 1, and is -1 where there is none. An identity in the name,
    as the public datasets have it, is kept for measuring the purity of pseudo labels, and for nothing else; it is -1
    where there is none, or where the dataset means junk by it.

    Raises:
        FileNotFoundError: When there is no such folder.
        ValueError: When it holds no image.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; unlabelled images may lie in it and in its subfolders")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    cameras = [_camera(path.relative_to(root)) for path in paths]
    base = 0 if 0 in cameras else 1
    samples = []
    for path, camera in zip(paths, cameras, strict=True):
        labelled = _LABELLED.match(path.name)
        pid = int(labelled[1]) if labelled else UNKNOWN
        samples.append(Sample(str(path), pid, UNKNOWN if camera is None else camera - base, 0, source))
    if not samples:
        raise ValueError(f"{root}: holds no image ({', '.join(IMAGE_SUFFIXES)}), here or in its subfolders")
    return samples


def _camera(path: Path) -> int | None:
    labelled = _LABELLED.match(path.name)
    if labelled:
        return int(labelled[2])
    for part in (path.stem, *reversed(path.parts[:-1])):
        match = _CAMERA.search(part)
        if match:
            return int(match[1])
    return None


def shared_images(first: Split, second: Split) -> list[str]:
    """Returns the files of the first split that are in the second too, by path or byte for byte, sorted."""
    sizes = {os.path.getsize(sample.path) for sample in second}
    paths = {os.path.realpath(sample.path) for sample in second}
    candidates = [sample.path for sample in first if os.path.getsize(sample.path) in sizes]
    if not candidates:
        return []
    wanted = {os.path.getsize(path) for path in candidates}
    digests = {_digest(sample.path) for sample in second if os.path.getsize(sample.path) in wanted}
    return sorted(path for path in candidates if os.path.realpath(path) in paths or _digest(path) in digests)


def _digest(path: str) -> bytes:
    return blake2b(Path(path).read_bytes(), digest_size=16).digest()
