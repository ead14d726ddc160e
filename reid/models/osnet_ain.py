"""OSNet-AIN: OSNet with instance normalisation where a search put it (Zhou et al., arXiv 1910.06827)."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.osnet_layers import ChannelGate, ConvNorm, LightConv3x3, OSNetBase


class LightConvStream(nn.Module):
    """Light convolutions one behind the other."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(LightConv3x3(channels) for _ in range(depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, H, W) to the same shape."""
        return self.layers(x)


class AINBlock(nn.Module):
    """A block of OSNet; with `instance` the last convolution has instance normalisation alone, inside the residual.

    Args:
        in_channels: Of the input.
        channels: Of the output; the four streams have a quarter of them.
        instance: Which of the two.
    """

    def __init__(self, in_channels: int, channels: int, instance: bool) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1 = ConvNorm(in_channels, inner)
        self.conv2 = nn.ModuleList(LightConvStream(inner, depth) for depth in range(1, 5))
        self.gate = ChannelGate(inner)
        self.conv3: nn.Module = _Bare(inner, channels) if instance else ConvNorm(inner, channels, relu=False)
        self.downsample = ConvNorm(in_channels, channels, relu=False) if in_channels != channels else None
        self.IN = nn.InstanceNorm2d(channels, affine=True) if instance else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H, W)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv1(x)
        total = self.gate(self.conv2[0](x))
        for stream in self.conv2[1:]:
            total = total + self.gate(stream(x))
        x = self.conv3(total)
        return F.relu((x if self.IN is None else self.IN(x)) + shortcut)


class _Bare(nn.Module):
    """The convolution of a `ConvNorm` alone, under the same name."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class OSNetAIN(OSNetBase):
    """OSNet-AIN; the map has a sixteenth of the input's height and width.

    Of the six blocks the first two, the fourth and the fifth have instance normalisation, and so has the stem.

    Args:
        channels: Of the stem and the three stages.
        num_classes: Training identities; 0 builds no classifier.
        head: "published" (512-d) or "bnneck".
        pooling: With bnneck: "gem", "avg" or "max".

    Raises:
        ValueError: When an option is none of these.
    """

    def __init__(self, channels: tuple[int, int, int, int], num_classes: int, head: str, pooling: str) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, channels[0], 7, 2, instance=True)
        self.conv2 = nn.Sequential(AINBlock(channels[0], channels[1], True), AINBlock(channels[1], channels[1], True))
        self.pool2 = nn.Sequential(ConvNorm(channels[1], channels[1]), nn.AvgPool2d(2))
        self.conv3 = nn.Sequential(AINBlock(channels[1], channels[2], False), AINBlock(channels[2], channels[2], True))
        self.pool3 = nn.Sequential(ConvNorm(channels[2], channels[2]), nn.AvgPool2d(2))
        self.conv4 = nn.Sequential(AINBlock(channels[2], channels[3], True), AINBlock(channels[3], channels[3], False))
        self.conv5 = ConvNorm(channels[3], channels[3])
        self.finish(channels[3], num_classes, head, pooling)

    def feature_map(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W) to (B, C, H / 16, W / 16)."""
        x = F.max_pool2d(self.conv1(images), 3, 2, padding=1)
        x = self.pool3(self.conv3(self.pool2(self.conv2(x))))
        return self.conv5(self.conv4(x))


def osnet_ain_x1_0(num_classes: int = 0, head: str = "published", pooling: str = "avg") -> OSNetAIN:
    """Builds OSNet-AIN (2.2 M parameters without the classifier); the arguments are those of `OSNetAIN`."""
    return OSNetAIN((64, 256, 384, 512), num_classes, head, pooling)
