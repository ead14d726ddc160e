"""What the caches know images by, kept beside them so that a later run can do without the images."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from reid.files import write_json
from tracking.array_cache import digest
from tracking.sequences import Sequence

Stamps = Mapping[Path, str]


def image_stamp(path: str | os.PathLike[str]) -> str:
    """Returns the name, the size in bytes and the modification time of an image, which change when it is replaced.

    The content is not read: that would take longer than many a tracker. Copies that do not keep the times are new
    images to the caches.

    Raises:
        ValueError: When there is no such file.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise ValueError(f"{path}: the image cannot be read ({error.strerror})") from error
    return f"{Path(path).name} {status.st_size} {status.st_mtime_ns}"


def remember_images(sequence: Sequence, folder: str | os.PathLike[str]) -> tuple[Sequence, dict[Path, str]]:
    """Notes the images of a sequence in the cache, or recalls them when they have been removed since.

    Args:
        sequence: As `read_sequence` gives it.
        folder: The cache.

    Returns:
        The sequence, with the images of the earlier run where its own are gone, and each image's stamp; no stamps
        where the sequence has no images and never had.
    """
    image_dir = (sequence.folder / sequence.info.image_dir).resolve()
    path = Path(folder) / f"{sequence.name}-images-{digest([str(image_dir)])[:16]}.json"
    if sequence.images:
        stamps = {image: image_stamp(image) for image in sequence.images.values()}
        listing = {str(frame): stamps[image] for frame, image in sequence.images.items()}
        if _read(path) != listing:
            write_json(path, {"folder": str(image_dir), "images": listing})
        return sequence, stamps
    listing = _read(path)
    if not listing:
        return sequence, {}
    print(f"note: {image_dir} has no images any more; the caches made from its {len(listing)} serve", file=sys.stderr)
    images = {int(frame): image_dir / stamp.rsplit(" ", 2)[0] for frame, stamp in listing.items()}
    frames = np.array(sorted(images), np.int64)
    return replace(sequence, images=images, frames=frames), {
        images[int(frame)]: stamp for frame, stamp in listing.items()
    }


def _read(path: Path) -> dict[str, str]:
    """Returns frame to stamp, nothing where the file is missing or damaged."""
    try:
        listing = json.loads(path.read_text(encoding="utf-8"))["images"]
        return {str(int(frame)): str(stamp) for frame, stamp in listing.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
