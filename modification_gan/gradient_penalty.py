"""The penalty that keeps a critic's slope near 1."""

from collections.abc import Callable

import torch


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor], real: torch.Tensor, fake: torch.Tensor, random: torch.Generator
) -> torch.Tensor:
    """Returns the mean of (norm of the critic's gradient - 1)^2 between real and generated images.

    Gulrajani et al., Improved training of Wasserstein GANs, arXiv 1704.00028: the gradient is taken at real + e (fake -
    real), e uniform in 0..1 an image. Weights are not clamped.

    Args:
        critic: Maps (B, 3, H, W) to scores (B,); each must depend on its own image alone.
        real: (B, 3, H, W).
        fake: (B, 3, H, W).
        random: Draws e, on the CPU.

    Returns:
        A scalar, before its weight.
    """
    share = torch.rand(len(real), 1, 1, 1, generator=random).to(real.device)
    between = torch.lerp(real.detach().float(), fake.detach().float(), share).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    # The root has no derivative at 0.
    norm = (slope.flatten(1).float().square().sum(1) + 1e-12).sqrt()
    return (norm - 1).square().mean()
