"""One controlled damage at a time to test images: how fast does a network lose its scores?

The families follow ImageNet-C (Hendrycks and Dietterich, arXiv 1903.12261); strengths are in units of the image, so
that crops of any size are damaged alike. What an image gets depends on the seed and its file name alone: neither on the
order of the images nor on the other strengths, whose draws are the same.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption:
    """A kind of damage.

    Attributes:
        function: Maps uint8 RGB (H, W, 3), a strength and the image's generator to a new image of the same shape.
        strengths: Those of a curve, the weakest first. 0 is always the image as it is and is not among them.
        largest: The largest strength that has a meaning.
        unit: What a strength is, for the axis of a picture.
        by_camera: The generator is that of the image's camera, not of the image.
    """

    function: Callable[[Image, float, np.random.Generator], Image]
    strengths: tuple[float, ...]
    largest: float
    unit: str
    by_camera: bool = False


def corrupt(image: Image, name: str, strength: float, *, seed: int, path: str, camid: int) -> Image:
    """Returns a damaged copy of an image.

    Args:
        image: uint8 RGB (H, W, 3).
        name: A key of `CORRUPTIONS`.
        strength: 0 (none) up to that corruption's `largest`, in its `unit`.
        seed: Of all draws.
        path: The image's file; its name, without folders, takes part in the draws.
        camid: The image's camera, for corruptions that are the same for all images of one.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        ValueError: When the name is unknown, the strength is out of its range, or the image is of another type.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption: got {name!r}, allowed: {', '.join(CORRUPTIONS)}")
    corruption = CORRUPTIONS[name]
    if not 0 <= strength <= corruption.largest:
        raise ValueError(f"strength of {name}: got {strength}, allowed: 0 to {corruption.largest} ({corruption.unit})")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"{path}: got {image.dtype} {image.shape}, allowed: uint8 (H, W, 3) with H and W above 0")
    if strength == 0:
        return image.copy()
    key = camid if corruption.by_camera else zlib.crc32(Path(path).name.encode())
    random = np.random.default_rng([seed, zlib.crc32(name.encode()), key])
    return corruption.function(image, strength, random)


def corrupt_all(
    images: Sequence[Image], name: str, strength: float, *, seed: int, paths: Sequence[str], camids: Sequence[int]
) -> list[Image]:
    """Returns damaged copies of images; see `corrupt`.

    Raises:
        ValueError: When the lengths differ, or for a reason that `corrupt` names.
    """
    if not len(images) == len(paths) == len(camids):
        raise ValueError(
            f"images, paths, camids: got {len(images)}, {len(paths)}, {len(camids)}, allowed: as many each"
        )
    return [
        corrupt(image, name, strength, seed=seed, path=path, camid=camid)
        for image, path, camid in zip(images, paths, camids, strict=True)
    ]


def _occlude(image: Image, share: float, random: np.random.Generator) -> Image:
    """Covers a rectangle of that share of the area with blotches of two colours, as a thing in front would."""
    height, width = image.shape[:2]
    # Any rectangle that fits: its width is between the share and all of the image's.
    wide = share ** random.random()
    columns = max(1, round(width * wide))
    rows = min(height, max(1, round(share * height * width / columns)))
    top, left = round(random.random() * (height - rows)), round(random.random() * (width - columns))
    colours = random.integers(0, 256, (2, 3)).astype(np.float32)
    coarse = random.random((5, 5)).astype(np.float32)
    mix = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC).clip(0, 1)[..., None]
    result = image.copy()
    result[top : top + rows, left : left + columns] = np.round(colours[0] * mix + colours[1] * (1 - mix))
    return result


def _blur(image: Image, sigma: float, random: np.random.Generator) -> Image:
    """Gaussian blur; sigma in hundredths of the height. Draws nothing."""
    return _as_image(cv2.GaussianBlur(image, (0, 0), sigma / 100 * image.shape[0], borderType=cv2.BORDER_REFLECT_101))


def _darken(image: Image, loss: float, random: np.random.Generator) -> Image:
    """Takes that share of the light away, and leaves the noise of photons and of the sensor that little light has."""
    noise = random.standard_normal((2, *image.shape)).astype(np.float32)
    light = (image.astype(np.float32) / 255) ** 2.2 * (1 - loss)
    # A full well of 2,000 electrons, read noise of 4: a small camera at night.
    noisy = light + noise[0] * np.sqrt(light / 2000) + noise[1] * (4 / 2000)
    return _as_image(255 * noisy.clip(0, 1) ** (1 / 2.2))


def _lower_resolution(image: Image, factor: float, random: np.random.Generator) -> Image:
    """Shrinks by 1 + factor and enlarges again. Draws nothing."""
    height, width = image.shape[:2]
    small = max(1, round(width / (1 + factor))), max(1, round(height / (1 + factor)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return _as_image(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR))


def _shift_camera(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Changes white balance, exposure and contrast curve, alike for all images of a camera; strength in stops."""
    gains, exposure, gamma = random.uniform(-1, 1, 3), random.uniform(-1, 1), random.uniform(-1, 1)
    gains = 2.0 ** (strength * (0.5 * (gains - gains.mean()) + 0.5 * exposure))
    curve = (np.arange(256) / 255) ** (2.0 ** (strength * 0.5 * gamma))  # (256,)
    table = _as_image(255 * (curve[:, None] * gains).clip(0, 1))  # (256, 3)
    return np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)


def _as_image(values: Any) -> Image:
    return np.round(values).astype(np.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    "occlusion": Corruption(_occlude, (0.1, 0.2, 0.3, 0.4, 0.5), 1.0, "share of the area that is covered"),
    "blur": Corruption(_blur, (0.5, 1.0, 2.0, 3.0, 4.0), 25.0, "sigma in % of the height"),
    "darkness": Corruption(_darken, (0.5, 0.75, 0.9, 0.95, 0.98), 1.0, "share of the light that is missing"),
    "low_resolution": Corruption(_lower_resolution, (1.0, 2.0, 3.0, 5.0, 7.0), 63.0, "times smaller, less one"),
    "camera_shift": Corruption(
        _shift_camera, (0.5, 1.0, 1.5, 2.0, 3.0), 6.0, "colour and exposure of cameras apart, in stops", by_camera=True
    ),
}
