"""Batch normalisation whose scale and shift depend on the group that is asked for."""

import torch
from torch import nn


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation with a scale and a shift of each group.

    de Vries et al., Modulating early visual processing by language, arXiv 1707.00683, in the categorical form of
    Miyato and Koyama, arXiv 1802.05637. Without groups it is batch normalisation (arXiv 1502.03167).

    Args:
        channels: Of the map.
        num_groups: How many groups there are; 0 for none.
    """

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=num_groups == 0)
        self.scale = self.shift = None
        if num_groups:
            # Not nn.Embedding: its weights would be drawn anew, and spectrally normalised, with those of the layers.
            self.scale = nn.Parameter(torch.ones(num_groups, channels))
            self.shift = nn.Parameter(torch.zeros(num_groups, channels))

    def forward(self, maps: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
        """Normalises maps.

        Args:
            maps: (B, C, H, W).
            groups: int64 (B,) in 0..num_groups - 1; not looked at without groups.

        Returns:
            (B, C, H, W).

        Raises:
            ValueError: When there are groups and none is asked for.
        """
        normal = self.norm(maps)
        if self.scale is None or self.shift is None:
            return normal
        if groups is None:
            raise ValueError(f"groups: got none, allowed: a tensor of B numbers in 0..{len(self.scale) - 1}")
        return normal * self.scale[groups][:, :, None, None] + self.shift[groups][:, :, None, None]
