"""OSNet (Zhou et al., arXiv 1905.00953) and OSNet-IBN."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.osnet_layers import ChannelGate, ConvNorm, LightConv3x3, OSNetBase


class OSBlock(nn.Module):
    """Four streams of one to four light convolutions, gated by one shared gate, summed and added to the input.

    Args:
        in_channels: Of the input.
        channels: Of the output; the streams have a quarter of them.
        instance: Instance normalisation of the sum, before the last ReLU.
    """

    def __init__(self, in_channels: int, channels: int, instance: bool = False) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1 = ConvNorm(in_channels, inner)
        self.conv2a = LightConv3x3(inner)
        self.conv2b = nn.Sequential(*(LightConv3x3(inner) for _ in range(2)))
        self.conv2c = nn.Sequential(*(LightConv3x3(inner) for _ in range(3)))
        self.conv2d = nn.Sequential(*(LightConv3x3(inner) for _ in range(4)))
        self.gate = ChannelGate(inner)
        self.conv3 = ConvNorm(inner, channels, relu=False)
        self.downsample = ConvNorm(in_channels, channels, relu=False) if in_channels != channels else None
        self.IN = nn.InstanceNorm2d(channels, affine=True) if instance else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H, W)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv1(x)
        streams = (self.conv2a, self.conv2b, self.conv2c, self.conv2d)
        total = self.gate(streams[0](x))
        for stream in streams[1:]:
            total = total + self.gate(stream(x))
        x = self.conv3(total) + shortcut
        return F.relu(x if self.IN is None else self.IN(x))


class OSNet(OSNetBase):
    """Omni-scale network; the map has a sixteenth of the input's height and width.

    Args:
        channels: Of the stem and the three stages, of two blocks each.
        num_classes: Training identities; 0 builds no classifier.
        ibn: Instance normalisation in the stem and behind each block of the first stage.
        head: "published" (512-d whatever the width) or "bnneck", this project's, without a layer before it.
        pooling: With bnneck: "gem", "avg" or "max".

    Raises:
        ValueError: When an option is none of these.
    """

    def __init__(
        self, channels: tuple[int, int, int, int], num_classes: int, ibn: bool, head: str, pooling: str
    ) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, channels[0], 7, 2, instance=ibn)
        self.conv2 = self._stage(channels[0], channels[1], ibn, reduce=True)
        self.conv3 = self._stage(channels[1], channels[2], False, reduce=True)
        self.conv4 = self._stage(channels[2], channels[3], False, reduce=False)
        self.conv5 = ConvNorm(channels[3], channels[3])
        self.finish(channels[3], num_classes, head, pooling)

    @staticmethod
    def _stage(in_channels: int, channels: int, instance: bool, reduce: bool) -> nn.Sequential:
        parts: list[nn.Module] = [OSBlock(in_channels, channels, instance), OSBlock(channels, channels, instance)]
        if reduce:
            parts.append(nn.Sequential(ConvNorm(channels, channels), nn.AvgPool2d(2)))
        return nn.Sequential(*parts)

    def feature_map(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W) to (B, C, H / 16, W / 16)."""
        x = F.max_pool2d(self.conv1(images), 3, 2, padding=1)
        return self.conv5(self.conv4(self.conv3(self.conv2(x))))


def osnet_x1_0(num_classes: int = 0, head: str = "published", pooling: str = "avg") -> OSNet:
    """Builds OSNet (2.2 M parameters without the classifier); the arguments are those of `OSNet`."""
    return OSNet((64, 256, 384, 512), num_classes, False, head, pooling)


def osnet_x0_75(num_classes: int = 0, head: str = "published", pooling: str = "avg") -> OSNet:
    """Builds OSNet of 3/4 the width (1.3 M parameters); the arguments are those of `OSNet`."""
    return OSNet((48, 192, 288, 384), num_classes, False, head, pooling)


def osnet_x0_5(num_classes: int = 0, head: str = "published", pooling: str = "avg") -> OSNet:
    """Builds OSNet of half the width (0.6 M parameters); the arguments are those of `OSNet`."""
    return OSNet((32, 128, 192, 256), num_classes, False, head, pooling)


def osnet_x0_25(num_classes: int = 0, head: str = "published", pooling: str = "avg") -> OSNet:
    """Builds OSNet of a quarter the width (0.2 M parameters); the arguments are those of `OSNet`."""
    return OSNet((16, 64, 96, 128), num_classes, False, head, pooling)


def osnet_ibn_x1_0(num_classes: int = 0, head: str = "published", pooling: str = "avg") -> OSNet:
    """Builds OSNet-IBN (2.2 M parameters without the classifier); the arguments are those of `OSNet`."""
    return OSNet((64, 256, 384, 512), num_classes, True, head, pooling)
