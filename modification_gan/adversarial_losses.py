"""What discriminator and generator want of each other's scores."""

from typing import Literal

import torch
from torch.nn import functional

Kind = Literal["non-saturating", "hinge"]
Sides = Literal["one", "two"]


def discriminator_loss(
    real: torch.Tensor, fake: torch.Tensor, kind: Kind, smoothing: float = 0.0, sides: Sides = "one"
) -> torch.Tensor:
    """Returns the discriminator's loss.

    "non-saturating" is the cross entropy of Goodfellow et al., arXiv 1406.2661; "hinge" is that of Lim and Ye, arXiv
    1705.02894, mean max(0, 1 - real) + mean max(0, 1 + fake). One-sided smoothing (Salimans et al., arXiv 1606.03498)
    wants 1 - smoothing of real images; two-sided smoothing also wants `smoothing` of generated ones.

    Args:
        real: (B,) scores of real images, logits.
        fake: (N,) scores of generated images, logits.
        kind: Which loss.
        smoothing: In 0..0.5, the latter excluded; with cross entropy only.
        sides: Where it is applied.

    Raises:
        ValueError: When the smoothing is outside its range, or asked for with the hinge loss, which has no labels.
    """
    if not 0 <= smoothing < 0.5:
        raise ValueError(f"label_smoothing: got {smoothing}, allowed: 0 to below 0.5")
    if kind == "hinge":
        if smoothing:
            raise ValueError(f"label_smoothing: got {smoothing} with the hinge loss, allowed: with non-saturating")
        return (1 - real).relu().mean() + (1 + fake).relu().mean()
    low = smoothing if sides == "two" else 0.0
    return functional.binary_cross_entropy_with_logits(
        real, torch.full_like(real, 1 - smoothing)
    ) + functional.binary_cross_entropy_with_logits(fake, torch.full_like(fake, low))


def generator_loss(fake: torch.Tensor, kind: Kind) -> torch.Tensor:
    """Returns the generator's loss: -log D(fake) of arXiv 1406.2661, or -D(fake) beside the hinge loss.

    Args:
        fake: (B,) scores of generated images, logits.
        kind: Which loss.
    """
    return -fake.mean() if kind == "hinge" else functional.softplus(-fake).mean()


def critic_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Returns mean fake - mean real, the critic's loss of Arjovsky et al., arXiv 1701.07875."""
    return fake.mean() - real.mean()
