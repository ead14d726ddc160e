"""Folders that appear complete or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np


@contextlib.contextmanager
def new_folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside the target and move it into place when the block ends well.

    Raises:
        FileExistsError: when the target exists and is not an empty folder, unless `overwrite` is set.
    """
    target = target.absolute()
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file")
    if not overwrite and target.is_dir() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty; --overwrite replaces it")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)  # mkdtemp makes folders that only their owner can read
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_jpeg(path: Path, image: np.ndarray, quality: int) -> None:
    """Write a BGR image.

    Raises:
        OSError: when the file cannot be written.
    """
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise OSError(f"{path}: the image could not be encoded")
    path.write_bytes(data.tobytes())
