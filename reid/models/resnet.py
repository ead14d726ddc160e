"""ResNet-18 and ResNet-50 as the baselines of re-identification have them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.foreign_names import is_fast_reid, renamed
from reid.models.heads import BNNeckHead
from reid.models.layers import IBN
from reid.models.output import ReIDOutput
from reid.models.resnet18 import AttentionBlock, check_last_stride

STEM_POOLS = ("padded", "ceil")


class BasicBlock(AttentionBlock):
    """Two convolutions of 3 x 3 (arXiv 1512.03385); the first normalisation is IBN-a where `ibn`."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, ibn: bool) -> None:
        super().__init__(in_channels, width, stride, ibn, "none")


class Bottleneck(nn.Module):
    """Convolutions of 1, 3 and 1; the last has four times the width; the stride is in the middle one.

    Deviation: the paper (arXiv 1512.03385) has the stride in the first convolution; all published weights have it here.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, ibn: bool) -> None:
        super().__init__()
        channels = self.expansion * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = IBN(width) if ibn else nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, H, W) to (B, 4 * width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    """A residual network (He et al., arXiv 1512.03385) with BNNeck and, by default, last stride 1 (arXiv 1906.08332).

    Parameter names of the trunk are torchvision's, which timm, torchreid, fast-reid and IBN-Net share.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        depths: Blocks of the four stages.
        num_classes: Training identities; 0 builds no classifier.
        ibn: IBN-a in stages 1 to 3 (arXiv 1807.09441).
        pooling: A key of `reid.models.heads.POOLINGS`.
        last_stride: 1, or 2 as in the paper.
        stem_pool: "padded", or "ceil" for fast-reid's weights: its pooling behind the first convolution has no padding
            but rounds the size up.

    Attributes:
        embedding_size: D of features and embeddings.

    Raises:
        ValueError: When an option is none of these.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        num_classes: int,
        *,
        ibn: bool,
        pooling: str,
        last_stride: int,
        stem_pool: str,
    ) -> None:
        super().__init__()
        check_last_stride(last_stride)
        if stem_pool not in STEM_POOLS:
            raise ValueError(f"stem_pool: got {stem_pool!r}, allowed: {', '.join(STEM_POOLS)}")
        self.stem_pool = stem_pool
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels, stages = 64, []
        for depth, width, stride in zip(depths, (64, 128, 256, 512), (1, 2, 2, last_stride), strict=True):
            blocks: list[nn.Module] = []
            for index in range(depth):
                blocks.append(block(channels, width, stride if index == 0 else 1, ibn and width != 512))
                channels = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.embedding_size = channels
        self.head = BNNeckHead(channels, num_classes, pooling)

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds camera vectors behind BNNeck."""
        self.head.add_cameras(num_cameras, factor)

    def foreign_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gives weights of torchvision, timm, torchreid, IBN-Net, fast-reid, the strong baseline and AGW our names.

        Raises:
            ValueError: When they are fast-reid's and this network does not pool as fast-reid does.
        """
        if is_fast_reid(state) and self.stem_pool != "ceil":
            raise ValueError(f"stem_pool: got {self.stem_pool} with weights of fast-reid, allowed: ceil")
        return renamed(state)

    def stem(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W) to (B, 64, H / 4, W / 4)."""
        x = F.relu(self.bn1(self.conv1(images)))
        if self.stem_pool == "ceil":
            return F.max_pool2d(x, 3, 2, ceil_mode=True)
        return F.max_pool2d(x, 3, 2, padding=1)

    def feature_map(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W) to (B, D, H / 16, W / 16), or H / 32 with last stride 2."""
        return self.layer4(self.layer3(self.layer2(self.layer1(self.stem(images)))))

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput`.

        Args:
            images: float (B, 3, H, W).
            camids: int64 (B,); needed by a model with camera vectors, unused by others.
        """
        return self.head(self.feature_map(images), camids)


def resnet18(num_classes: int = 0, pooling: str = "avg", last_stride: int = 1, stem_pool: str = "padded") -> ResNet:
    """Builds ResNet-18 (512-d, 11.2 M parameters without the classifier); the arguments are those of `ResNet`."""
    return ResNet(
        BasicBlock, (2, 2, 2, 2), num_classes, ibn=False, pooling=pooling, last_stride=last_stride, stem_pool=stem_pool
    )


def resnet50(num_classes: int = 0, pooling: str = "avg", last_stride: int = 1, stem_pool: str = "padded") -> ResNet:
    """Builds ResNet-50 (2048-d, 23.5 M parameters without the classifier); the arguments are those of `ResNet`."""
    return ResNet(
        Bottleneck, (3, 4, 6, 3), num_classes, ibn=False, pooling=pooling, last_stride=last_stride, stem_pool=stem_pool
    )
