"""Frames from disk."""

import os

import numpy as np
from PIL import Image


def read_frame(path: str | os.PathLike[str]) -> np.ndarray:
    """Returns an image as uint8 RGB (H, W, 3).

    Raises:
        ValueError: When the file is missing, damaged or cut short.
    """
    # Pillow, since OpenCV fills the missing part of a cut JPEG with grey and says nothing.
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: the image cannot be read ({error}); copy it again or remove the frame") from error


def crop_box(image: np.ndarray, xywh: np.ndarray) -> np.ndarray:
    """Returns a copy of the part of an image (H, W, 3) under a box, at least one pixel.

    A box that lies beyond the border gives the pixels at the border nearest to it.
    """
    height, width = image.shape[:2]
    left, top = np.floor(xywh[:2]).astype(int)
    right, bottom = np.ceil(xywh[:2] + xywh[2:]).astype(int)
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    right, bottom = max(min(right, width), left + 1), max(min(bottom, height), top + 1)
    return image[top:bottom, left:right].copy()
