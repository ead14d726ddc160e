"""Reading images, and the preprocessing that training, inference and export share."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an RGB crop becomes a network's input: a plain resize, then (x / 255 - mean) / std a channel.

    Attributes:
        height: Rows of the input, in pixels.
        width: Columns of the input, in pixels.
        mean: Mean a channel of RGB in 0..1.
        std: Standard deviation a channel of RGB in 0..1.

    Raises:
        ValueError: When the size is below 16 pixels or the statistics are not three numbers, std positive.
    """

    height: int = 256
    width: int = 128
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.height < 16 or self.width < 16:
            raise ValueError(f"input size: got {self.height} x {self.width}, allowed: at least 16 x 16")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean, std: got {self.mean}, {self.std}, allowed: three numbers each, std above 0")

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON knows them."""
        return dataclasses.asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """Builds from what `to_dict` returned.

        Raises:
            ValueError: When a field is missing.
        """
        missing = sorted({"height", "width", "mean", "std"} - set(values))
        if missing:
            raise ValueError(f"preprocessing: lacks {', '.join(missing)}")
        return cls(int(values["height"]), int(values["width"]), tuple(values["mean"]), tuple(values["std"]))

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Resizes uint8 RGB (H, W, 3) to (height, width, 3), bilinear and without keeping the aspect ratio."""
        if image.shape[:2] == (self.height, self.width):
            return image
        return cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_LINEAR)

    def batch(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Resizes uint8 RGB images of any size to one uint8 array (N, 3, height, width).

        Raises:
            ValueError: When an image is empty or is not uint8 (H, W, 3); the message says which.
        """
        result = np.empty((len(images), 3, self.height, self.width), np.uint8)
        pixels = np.empty((self.height, self.width, 3), np.uint8)  # one for all: it stays in the processor's cache
        for index, image in enumerate(images):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
                raise ValueError(
                    f"image {index}: got {image.dtype} {image.shape}, allowed: uint8 (H, W, 3) with H and W above 0"
                )
            if image.shape == pixels.shape:
                np.copyto(pixels, image)  # to split a view of a frame takes OpenCV ten times as long
            else:
                cv2.resize(image, (self.width, self.height), dst=pixels, interpolation=cv2.INTER_LINEAR)
            cv2.split(pixels, list(result[index]))
        return result

    def scale_and_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns what a channel's pixels 0..255 are multiplied by and what is added then, float32 (3,) each."""
        scale = (1.0 / (255.0 * np.asarray(self.std))).astype(np.float32)
        return scale, (-np.asarray(self.mean) / np.asarray(self.std)).astype(np.float32)

    def normalise(self, batch: np.ndarray) -> np.ndarray:
        """Normalises uint8 (N, 3, H, W) to float32 of the same shape.

        Raises:
            ValueError: When the batch is of another type or shape.
        """
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1] != 3:
            raise ValueError(f"batch: got {batch.dtype} {batch.shape}, allowed: uint8 (N, 3, H, W)")
        # A channel has 256 values: looking them up takes one pass over the memory of the batch, whose traffic is what
        # costs time here.
        scale, shift = self.scale_and_shift()
        tables = np.arange(256, dtype=np.float32) * scale[:, None] + shift[:, None]  # (3, 256)
        result = np.empty(batch.shape, np.float32)
        for planes, values in zip(batch, result, strict=True):
            for plane, table, value in zip(planes, tables, values, strict=True):
                cv2.LUT(plane, table, dst=value)
        return result


def load_image(path: str | os.PathLike[str], least: tuple[int, int] | None = None) -> np.ndarray:
    """Reads an image file as uint8 RGB (H, W, 3).

    Args:
        path: The file.
        least: (height, width) that will be used. A JPEG of at least twice or four times both is decoded at a half or a
            quarter of its size, which averages pixels and skips most of the work; None decodes at full size.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When the file is no readable image; the message names it.
    """
    content = Path(path).read_bytes()
    data = np.frombuffer(content, np.uint8)
    flag = cv2.IMREAD_COLOR if least is None else _decoding(content, least)
    image = cv2.imdecode(data, flag) if data.size else None
    if image is None:
        raise ValueError(f"{path}: not a readable image ({data.size} bytes); restore it or remove it from the folder")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decoding(content: bytes, least: tuple[int, int]) -> int:
    size = jpeg_size(content)
    if size is None:
        return cv2.IMREAD_COLOR  # other formats are decoded whole anyway
    ratio = min(size[0] / least[0], size[1] / least[1])
    if b"Exif" in content[:64]:
        ratio = min(size) / max(least)  # it may turn the image by a quarter
    if ratio >= 4:
        return cv2.IMREAD_REDUCED_COLOR_4
    return cv2.IMREAD_REDUCED_COLOR_2 if ratio >= 2 else cv2.IMREAD_COLOR


def jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Returns the stored (height, width) of a JPEG file, None when it is none or its header is damaged."""
    if content[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 9 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            height = int.from_bytes(content[position + 5 : position + 7], "big")
            width = int.from_bytes(content[position + 7 : position + 9], "big")
            return (height, width) if height and width else None
        position += 1 if marker == 0xFF else 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return None
