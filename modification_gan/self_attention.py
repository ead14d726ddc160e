"""Self-attention over the places of a map."""

import torch
from torch import nn
from torch.nn import functional


class SelfAttention(nn.Module):
    """Adds to each place what it gathers from all places, weighted by a learnt similarity.

    Zhang et al., Self-attention generative adversarial networks, arXiv 1805.08318: keys and queries of C / 8 channels,
    values of C / 2, and a learnt factor that starts at 0. As in the authors' code keys and values are pooled 2 x 2.
    Deviations: the dot products are divided by the root of the channels, as torch's attention does; a map with an odd
    or single row or column is not pooled.

    Args:
        channels: C of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        small, half = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, small, 1, bias=False)
        self.key = nn.Conv2d(channels, small, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.factor = nn.Parameter(torch.zeros(()))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Returns the map (B, C, H, W) with what was gathered added."""
        batch, _, height, width = maps.shape
        query, key, value = self.query(maps), self.key(maps), self.value(maps)
        if height % 2 == 0 and width % 2 == 0:
            key, value = functional.max_pool2d(key, 2), functional.max_pool2d(value, 2)
        places = [part.flatten(2).transpose(1, 2) for part in (query, key, value)]  # (B, H x W, channels)
        gathered = functional.scaled_dot_product_attention(*places)
        gathered = gathered.transpose(1, 2).reshape(batch, -1, height, width)
        return maps + self.factor * self.out(gathered)
