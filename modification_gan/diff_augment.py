"""Differentiable augmentation of what a discriminator sees, real and generated alike."""

import torch
from torch.nn import functional

KINDS = ("color", "translation", "cutout")
_SHIFT = 1 / 8  # of each side
_HOLE = 1 / 2


def parse_augmentation(text: str) -> tuple[str, ...]:
    """Returns the kinds in a text: "none", or some of color, translation, cutout with commas between.

    Raises:
        ValueError: When a kind is unknown or comes twice.
    """
    kinds = () if text == "none" else tuple(text.split(","))
    if set(kinds) - set(KINDS) or len(set(kinds)) < len(kinds):
        raise ValueError(f"diff_augment: got {text!r}, allowed: none, or some of {','.join(KINDS)}")
    return kinds


def diff_augment(images: torch.Tensor, kinds: tuple[str, ...], random: torch.Generator) -> torch.Tensor:
    """Augments images so that gradients reach them.

    Zhao et al., Differentiable augmentation for data-efficient GAN training, arXiv 2006.10738: brightness by -0.5..0.5,
    saturation times 0..2, contrast times 0.5..1.5; shifts by up to 1/8 of each side, zeros coming in; a hole of half
    of each side, its centre anywhere.

    Args:
        images: RGB (B, 3, H, W) in -1..1.
        kinds: Which of `KINDS`, applied in their order there.
        random: Draws everything, on the CPU.

    Returns:
        (B, 3, H, W); colours may leave -1..1.
    """
    if "color" in kinds:
        images = _colour(images, random)
    if "translation" in kinds:
        images = _translate(images, random)
    if "cutout" in kinds:
        images = _cut(images, random)
    return images


def _colour(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    brightness, saturation, contrast = (
        draw.to(images.device) for draw in torch.rand(3, len(images), 1, 1, 1, generator=random)
    )
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def _translate(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    count, _, height, width = images.shape
    places = []
    for size in (height, width):
        most = int(size * _SHIFT + 0.5)
        shift = torch.randint(-most, most + 1, (count, 1), generator=random)
        # One row of zeros stands on either side; every place outside reads it.
        places.append((torch.arange(size) - shift + 1).clamp(0, size + 1).to(images.device))
    rows, columns = places
    padded = functional.pad(images, (1, 1, 1, 1))
    batch = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    count, _, height, width = images.shape
    inside = []
    for size in (height, width):
        hole = int(size * _HOLE + 0.5)
        centre = torch.randint(0, size + (1 - hole % 2), (count, 1), generator=random)
        start = centre - hole // 2
        place = torch.arange(size)
        inside.append(((place >= start) & (place < start + hole)).to(images.device))
    hole_mask = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # (B, 1, H, W)
    return images * ~hole_mask
