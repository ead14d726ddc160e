"""Layers that backbones share: pooling, normalisation and attention."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class GeM(nn.Module):
    """Generalised-mean pooling with a learnable exponent (Radenović et al., arXiv 1711.02512).

    Args:
        p: Initial exponent; 1 is average pooling, infinity is max pooling.
        eps: Lower bound of the activations, which keeps the power differentiable.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p)))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pools (B, C, H, W) to (B, C)."""
        # Powers overflow or vanish in half precision.
        x = x.float().clamp(min=self.eps)
        return x.pow(self.p).mean(dim=(2, 3)).pow(1.0 / self.p)


class IBN(nn.Module):
    """Instance normalisation on the first half of the channels, batch normalisation on the rest (arXiv 1807.09441).

    This is the "a" arrangement. Parameter names follow the authors' release (`IN`, `BN`).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.instance_channels = channels // 2
        self.IN = nn.InstanceNorm2d(self.instance_channels, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.instance_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises (B, C, H, W)."""
        first, second = x.split([self.instance_channels, x.shape[1] - self.instance_channels], dim=1)
        return torch.cat([self.IN(first.contiguous()), self.BN(second.contiguous())], dim=1)


class SEBlock(nn.Module):
    """Squeeze and excitation (arXiv 1709.01507).

    Args:
        channels: Channels of the input.
        reduction: The bottleneck has `channels / reduction` channels, at least 8.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gates the channels of (B, C, H, W)."""
        gate = self.expand(F.relu(self.reduce(x.mean(dim=(2, 3), keepdim=True))))
        return x * gate.sigmoid()


class CoordinateAttention(nn.Module):
    """Coordinate attention (arXiv 2103.02907): gates along the height and along the width.

    Deviation: SiLU stands where the paper has h-swish, of which it is the smooth original.

    Args:
        channels: Channels of the input.
        reduction: The shared bottleneck has `channels / reduction` channels, at least 8.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm = nn.BatchNorm2d(hidden)
        self.gate_height = nn.Conv2d(hidden, channels, 1)
        self.gate_width = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gates (B, C, H, W) by the product of an (H, 1) and a (1, W) gate a channel."""
        height, width = x.shape[2:]
        rows = x.mean(dim=3, keepdim=True)  # (B, C, H, 1)
        columns = x.mean(dim=2, keepdim=True).transpose(2, 3)  # (B, C, W, 1)
        shared = F.silu(self.norm(self.reduce(torch.cat([rows, columns], dim=2))))
        rows, columns = shared.split([height, width], dim=2)
        return x * self.gate_height(rows).sigmoid() * self.gate_width(columns.transpose(2, 3)).sigmoid()


class _ZPoolGate(nn.Module):
    """Pools dimension 1 to (max, mean), convolves 7 x 7 and gates the input."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * self.norm(self.convolution(pooled)).sigmoid()


class TripletAttention(nn.Module):
    """Triplet attention (arXiv 2010.03045): the mean of three gates, over (C, W), (C, H) and (H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_width = _ZPoolGate()
        self.channel_height = _ZPoolGate()
        self.height_width = _ZPoolGate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gates (B, C, H, W)."""
        by_height = self.channel_width(x.transpose(1, 2).contiguous()).transpose(1, 2)
        by_width = self.channel_height(x.transpose(1, 3).contiguous()).transpose(1, 3)
        return (by_height + by_width + self.height_width(x)) / 3.0


class EfficientMultiScaleAttention(nn.Module):
    """Efficient multi-scale attention, EMA (Ouyang et al., arXiv 2305.13563), on groups of channels.

    One path gates along height and width, as coordinate attention does, and normalises; the other one is a 3 x 3
    convolution. Each path's channel weights (softmax over the means of the channels) sum up the other path's map, and
    the two sums together gate each position of the group.

    Args:
        channels: Channels of the input.
        groups: Groups that share one set of weights, as in the authors' release.

    Raises:
        ValueError: When the groups do not divide the channels.
    """

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"channels: got {channels}, allowed: multiples of the {groups} groups")
        self.groups = groups
        inner = channels // groups
        self.conv1x1 = nn.Conv2d(inner, inner, 1)
        self.conv3x3 = nn.Conv2d(inner, inner, 3, padding=1)
        self.norm = nn.GroupNorm(inner, inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gates (B, C, H, W)."""
        height, width = x.shape[2:]
        grouped = x.reshape(-1, x.shape[1] // self.groups, height, width)  # (B * groups, c, H, W)
        rows = grouped.mean(dim=3, keepdim=True)
        columns = grouped.mean(dim=2, keepdim=True).transpose(2, 3)
        rows, columns = self.conv1x1(torch.cat([rows, columns], dim=2)).split([height, width], dim=2)
        first = self.norm(grouped * rows.sigmoid() * columns.transpose(2, 3).sigmoid())
        second = self.conv3x3(grouped)
        crossed = _summed(first, second) + _summed(second, first)
        return (grouped * crossed.sigmoid()).view_as(x)


def _summed(weighing: torch.Tensor, summed: torch.Tensor) -> torch.Tensor:
    """Sums the channels of (N, c, H, W) by weights from the means of another map's channels, to (N, 1, H, W)."""
    weights = weighing.mean(dim=(2, 3), keepdim=True).softmax(dim=1)
    return (weights * summed).sum(dim=1, keepdim=True)


ATTENTIONS: dict[str, Callable[[int], nn.Module]] = {
    "coordinate": CoordinateAttention,
    "triplet": TripletAttention,
    "ema": EfficientMultiScaleAttention,
    "se": SEBlock,
    "none": lambda channels: nn.Identity(),
}


def build_attention(name: str, channels: int) -> nn.Module:
    """Builds an attention layer for (B, channels, H, W).

    Raises:
        ValueError: When the name is unknown.
    """
    if name not in ATTENTIONS:
        raise ValueError(f"attention: got {name!r}, allowed: {', '.join(ATTENTIONS)}")
    return ATTENTIONS[name](channels)
