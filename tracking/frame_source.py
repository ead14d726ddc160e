"""Where the frames of a video come from: a file, a camera, a stream, or a folder of images."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from tracking.images import read_frame
from tracking.sequences import read_sequence

DEFAULT_RATE = 25.0  # frames a second, where neither the source nor the user tells
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Containers round durations, so that a healthy video may hold a little less than it says.
MISSING_FRAMES, MISSING_SHARE = 2, 0.01


class FrameSource(Protocol):
    """Gives frames one by one and keeps none of them.

    Attributes:
        rate: Frames a second, None where it does not tell.
        length: How many frames are to be expected, None where that is not known.
        live: Whether it goes on until someone stops it.
        notes: What could not be read, in words; complete once `frames` has ended.
    """

    rate: float | None
    length: int | None
    live: bool
    notes: list[str]

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the number of a frame, from 1 and ascending, and its image, uint8 RGB (H, W, 3)."""


class CapturedVideo:
    """A video file, a camera or a stream, as OpenCV opens it."""

    def __init__(self, source: str) -> None:
        camera = source.isdecimal() and not Path(source).exists()
        self.live = camera or "://" in source
        self.notes: list[str] = []
        self._source = source
        self._capture = cv2.VideoCapture(int(source)) if camera else cv2.VideoCapture(source)
        if not self._capture.isOpened():
            hint = "is the camera connected and free?" if camera else "it is no video, or its end is missing"
            raise ValueError(f"{source}: cannot be opened as a video ({hint})")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if math.isfinite(rate) and 0 < rate <= 1000 else None
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.length = int(count) if math.isfinite(count) and 0 < count < 1e8 else None
        if self.length is not None and not camera:
            self.live = False  # a file behind an address

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """As `FrameSource` tells; a video that breaks off ends, and leaves a note."""
        number = 0
        try:
            while True:
                try:
                    good, image = self._capture.read()
                except cv2.error as error:
                    self.notes.append(f"{self._source}: frame {number + 1} cannot be decoded ({error})")
                    break
                if not good or image is None:
                    break
                number += 1
                colour = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
                yield number, cv2.cvtColor(image, colour)
        finally:
            self._capture.release()
        if self.live:
            self.notes.append(f"{self._source}: the stream ended, or broke off, after frame {number}")
        elif self.length is not None and self.length - number > max(MISSING_FRAMES, MISSING_SHARE * self.length):
            self.notes.append(
                f"{self._source}: breaks off after frame {number} of {self.length}; the file is cut short or damaged"
            )


class ImageFolder:
    """A folder of images in the order of the numbers in their names, or a MOT sequence folder."""

    def __init__(self, folder: Path) -> None:
        self.live = False
        self.notes: list[str] = []
        self.rate: float | None = None
        if (folder / "seqinfo.ini").is_file():
            sequence = read_sequence(folder)
            self.rate = sequence.info.frame_rate if sequence.info.frame_rate > 0 else None
            self._images = sequence.images
        else:
            found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
            self._images = dict(enumerate(sorted(found, key=_natural), start=1))
        if not self._images:
            raise ValueError(f"{folder}: no images there ({', '.join(IMAGE_SUFFIXES)})")
        self.length: int | None = len(self._images)

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """As `FrameSource` tells; images that cannot be read are left out and noted."""
        for number, path in self._images.items():
            try:
                image = read_frame(path)
            except ValueError as error:
                self.notes.append(str(error))
                continue
            yield number, image


def _natural(path: Path) -> tuple[tuple[bool, int, str], ...]:
    """Returns a key that sorts 2.jpg ahead of 10.jpg."""
    parts = re.findall(r"\d+|\D+", path.name)
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)


def open_source(source: str | os.PathLike[str]) -> FrameSource:
    """Opens a source of frames.

    Args:
        source: A video file, a folder of images, a MOT sequence folder, the number of a camera from 0, or the address
            of a stream (rtsp://, http://, ...).

    Raises:
        ValueError: When there is nothing like that, or it cannot be opened.
    """
    name = os.fspath(source)
    if Path(name).is_dir():
        return ImageFolder(Path(name))
    if not name.isdecimal() and "://" not in name and not Path(name).exists():
        raise ValueError(
            f"source: got {name}, allowed: a video file, a folder of images, a camera's number, an address"
        )
    return CapturedVideo(name)
