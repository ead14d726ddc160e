"""Residual networks that convolve over time, height and width (Hara et al., arXiv 1711.09577)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.heads import BNNeckHead
from reid.models.output import ReIDOutput
from reid.models.video.clips import check_clips


class ZeroPadShortcut(nn.Module):
    """Shortcut type A: every `stride`-th position in all three dimensions, new channels zero; without parameters."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, T, H, W) to (B, channels, T / stride, H / stride, W / stride), each rounded up."""
        x = x[:, :, :: self.stride, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, 0, 0, self.channels - x.shape[1]))


class BasicBlock3d(nn.Module):
    """Two convolutions of 3 x 3 x 3."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, T, H, W) to (B, width, T / stride, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck3d(nn.Module):
    """Convolutions of 1, 3 x 3 x 3 (with the stride) and 1; the last has four times the width."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(4 * width)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, T, H, W) to (B, 4 * width, T / stride, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet3d(nn.Module):
    """A 3-D ResNet with the mean over space and time, BNNeck and a classifier.

    The stem has 7 x 7 x 7 with stride 1 in time and 2 in space, then a pooling by 2 in all three; stages 2 and 3 halve
    all three again. Parameter names are the authors'.

    Deviation: the last stage keeps its resolution (stride 1 instead of 2), as re-identification networks for images do
    (arXiv 1711.09349); with 8 frames its map has one step in time either way.

    Args:
        block: `BasicBlock3d` or `Bottleneck3d`.
        depths: Blocks of the four stages.
        num_classes: Training identities; 0 builds no classifier.
        zero_pad: Shortcuts of type A, as the paper has them for 18 layers; otherwise type B, 1 x 1 x 1 convolutions.
        last_stride: 1, or 2 as in the paper.

    Raises:
        ValueError: When last_stride is neither.
    """

    def __init__(
        self,
        block: type[BasicBlock3d] | type[Bottleneck3d],
        depths: Sequence[int],
        num_classes: int,
        zero_pad: bool,
        last_stride: int,
    ) -> None:
        super().__init__()
        if last_stride not in (1, 2):
            raise ValueError(f"last_stride: got {last_stride}, allowed: 1, 2")
        self.embedding_size = 512 * block.expansion
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        channels = 64
        stages = []
        for depth, width, stride in zip(depths, (64, 128, 256, 512), (1, 2, 2, last_stride), strict=True):
            out = width * block.expansion
            blocks = [block(channels, width, stride, _shortcut(channels, out, stride, zero_pad))]
            blocks += [block(out, width, 1, None) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            channels = out
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.head = BNNeckHead(channels, num_classes, pooling="none")

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised tracklets (B, T, 3, H, W), any T, to a `ReIDOutput` of B rows.

        Args:
            images: float.
            camids: Unused.

        Raises:
            ValueError: When images have another number of dimensions.
        """
        check_clips(images)
        x = images.transpose(1, 2)  # (B, 3, T, H, W)
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.head(x.mean(dim=(2, 3, 4)))


def _shortcut(in_channels: int, channels: int, stride: int, zero_pad: bool) -> nn.Module | None:
    if stride == 1 and in_channels == channels:
        return None
    if zero_pad:
        return ZeroPadShortcut(channels, stride)
    return nn.Sequential(nn.Conv3d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm3d(channels))


def resnet3d18(num_classes: int = 0, last_stride: int = 1) -> ResNet3d:
    """Builds the 18-layer network, 512-d, 33.0 M parameters without the classifier.

    Args:
        num_classes: Training identities; 0 builds no classifier.
        last_stride: 1, or 2 as in the paper.
    """
    return ResNet3d(BasicBlock3d, (2, 2, 2, 2), num_classes, zero_pad=True, last_stride=last_stride)


def resnet3d50(num_classes: int = 0, last_stride: int = 1) -> ResNet3d:
    """Builds the 50-layer network, 2048-d, 46.2 M parameters without the classifier.

    Args:
        num_classes: Training identities; 0 builds no classifier.
        last_stride: 1, or 2 as in the paper.
    """
    return ResNet3d(Bottleneck3d, (3, 4, 6, 3), num_classes, zero_pad=False, last_stride=last_stride)
