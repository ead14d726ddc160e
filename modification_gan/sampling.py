"""From a generator to a folder of JPEGs with a manifest."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from modification_gan.diversity import written_spread
from modification_gan.pictures import to_pixels
from modification_gan.randomness import image_seeds, noise_of
from modification_gan.weights import SourceCard
from reid.data.crops import map_threads
from reid.data.generated import IMAGES, MANIFEST, GeneratedImage, write_manifest

_QUALITY = 95  # of a JPEG, 0..100
_LOOKED_AT = 256  # images whose diversity is measured
_GROUPS = 3  # sets the draw of groups apart from other numbers of the same seed


class Written(NamedTuple):
    """What `write_images` found.

    Attributes:
        images_per_second: JPEGs included.
        spread: `modification_gan.diversity.written_spread` of the first 256 images.
    """

    images_per_second: float
    spread: float | None


def draw_groups(shares: Sequence[float], count: int, seed: int) -> list[int | None]:
    """Returns a group for each image, drawn as often as the training images have it; None each without groups."""
    if not shares:
        return [None] * count
    odds = np.asarray(shares, np.float64)
    return np.random.default_rng([seed, _GROUPS]).choice(len(odds), count, p=odds / odds.sum()).tolist()


@torch.no_grad()
def sample_images(
    source: nn.Module,
    noise_shape: tuple[int, ...],
    seeds: Sequence[int],
    groups: Sequence[int | None],
    batch_size: int,
    device: torch.device,
) -> Iterator[np.ndarray]:
    """Makes images, each from noise of its own seed.

    Args:
        source: Of a `GenerativeModel`, on the device, in evaluation mode.
        noise_shape: Of one image's noise.
        seeds: Of each image.
        groups: Of each image; None each without groups.
        batch_size: Images a forward pass.
        device: Where the source is.

    Yields:
        RGB uint8 (B, H, W, 3).

    Raises:
        ValueError: When the batch size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"sample_batch: got {batch_size}, allowed: 1 or more")
    for start in range(0, len(seeds), batch_size):
        part = slice(start, start + batch_size)
        noise = noise_of(seeds[part], noise_shape).to(device)
        asked = [group for group in groups[part] if group is not None]
        yield to_pixels(source(noise, torch.tensor(asked, device=device) if asked else None))


def noise_shape_of(card: SourceCard) -> tuple[int, ...]:
    """Returns the shape of an image's noise of a generator."""
    sizes = card.sizes
    return (3, sizes.height, sizes.width) if card.model == "diffusion" else (sizes.noise_size,)


def write_images(
    out: Path, source: nn.Module, card: SourceCard, count: int, seed: int, batch_size: int, device: torch.device
) -> Written:
    """Writes images and their manifest, which comes last: a folder with a manifest is whole.

    The same generator, seed and group give the same image; more images begin with those of fewer. Images of an
    earlier sampling are replaced.

    Args:
        out: The folder.
        source: Of a `GenerativeModel`, on the device, in evaluation mode.
        card: Of the source.
        count: How many images.
        seed: Of noise and groups.
        batch_size: Images a forward pass.
        device: Where the source is.

    Raises:
        OSError: When a file cannot be written; the message names it.
    """
    began = time.perf_counter()
    remove_images(out)
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    seeds, groups = image_seeds(seed, count), draw_groups(card.shares, count, seed)
    names = [f"{IMAGES}/{number:06d}.jpg" for number in range(count)]
    done, looked_at = 0, list[np.ndarray]()
    for images in sample_images(source, noise_shape_of(card), seeds, groups, batch_size, device):
        paths = [out / name for name in names[done : done + len(images)]]
        list(map_threads(_write, zip(paths, images, strict=True)))
        looked_at.append(images[: max(0, _LOOKED_AT - done)].copy())
        done += len(images)
    rows = [
        GeneratedImage(name, card.model, group, None if group is None else card.labels[group], own)
        for name, group, own in zip(names, groups, seeds, strict=True)
    ]
    write_manifest(out, rows)
    first = np.concatenate(looked_at) if looked_at else np.empty((0, 1, 1, 3), np.uint8)
    return Written(count / (time.perf_counter() - began), written_spread(first, groups[: len(first)]))


def _write(item: tuple[Path, np.ndarray]) -> None:
    path, image = item
    jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    try:
        path.write_bytes(jpeg)
    except OSError as error:
        if path.is_file():
            path.unlink()
        raise OSError(f"{path}: could not be written ({error.strerror}); is the disk full?") from error


def remove_images(out: Path) -> None:
    """Removes the images of an earlier sampling, the manifest first."""
    (out / MANIFEST).unlink(missing_ok=True)
    for path in (out / IMAGES).glob("*.jpg"):
        if re.fullmatch(r"\d{6,}", path.stem):
            path.unlink()
