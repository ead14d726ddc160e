"""What every model of tracklets is given."""

import torch


def check_clips(images: torch.Tensor) -> None:
    """Refuses a batch that holds no tracklets.

    Args:
        images: (B, T, 3, H, W).

    Raises:
        ValueError: When images have another number of dimensions.
    """
    if images.ndim != 5:
        raise ValueError(f"images: got shape {tuple(images.shape)}, allowed: (B, T, 3, H, W)")
