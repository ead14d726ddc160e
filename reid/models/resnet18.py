"""The ResNet-18 trunk that cares18 and its relatives share."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.foreign_names import renamed
from reid.models.heads import BNNeckHead
from reid.models.layers import IBN, build_attention
from reid.models.output import ReIDOutput


class AttentionBlock(nn.Module):
    """A basic residual block (arXiv 1512.03385) with IBN-a and an attention layer after the second convolution."""

    def __init__(self, in_channels: int, channels: int, stride: int, ibn: bool, attention: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = IBN(channels) if ibn else nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.attention = build_attention(attention, channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.attention(self.bn2(self.conv2(x))) + shortcut)


class AttentionResNet18(nn.Module):
    """ResNet-18-IBN-a with attention in each block, last stride 1, a stem without ReLU, pooling and BNNeck.

    Parameter names follow torchvision's ResNet where the layers are the same, so that its weights can be carried over.

    Args:
        num_classes: Training identities; 0 builds no classifier.
        attention: A key of `reid.models.layers.ATTENTIONS`.
        ibn: Half instance normalisation in the first normalisation of each block of stages 1 to 3 (arXiv 1807.09441);
            False has batch normalisation throughout.
        pooling: A key of `reid.models.heads.POOLINGS`.
        last_stride: 1, or 2 as in ResNet.
        head: Stands in the place of the usual `BNNeckHead`.

    Raises:
        ValueError: When an option is none of these.
    """

    embedding_size = 512
    block: type[AttentionBlock] = AttentionBlock

    def __init__(
        self,
        num_classes: int,
        attention: str,
        ibn: bool = True,
        pooling: str = "gem",
        last_stride: int = 1,
        head: BNNeckHead | None = None,
    ) -> None:
        super().__init__()
        check_last_stride(last_stride)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = self._stage(64, 64, 1, ibn, attention)
        self.layer2 = self._stage(64, 128, 2, ibn, attention)
        self.layer3 = self._stage(128, 256, 2, ibn, attention)
        self.layer4 = self._stage(256, 512, last_stride, False, attention)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.head = BNNeckHead(512, num_classes, pooling) if head is None else head

    def _stage(self, in_channels: int, channels: int, stride: int, ibn: bool, attention: str) -> nn.Sequential:
        return nn.Sequential(
            self.block(in_channels, channels, stride, ibn, attention),
            self.block(channels, channels, 1, ibn, attention),
        )

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds camera vectors behind BNNeck."""
        self.head.add_cameras(num_cameras, factor)

    def foreign_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gives weights of ResNet-18 and ResNet-18-IBN-a (torchvision, timm, IBN-Net) our names."""
        return renamed(state)

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput` with 512 features and embeddings.

        Args:
            images: float (B, 3, H, W).
            camids: int64 (B,); needed by a model with camera vectors, unused by others.
        """
        x = F.max_pool2d(self.bn1(self.conv1(images)), 3, 2, padding=1)
        return self.head(self.layer4(self.layer3(self.layer2(self.layer1(x)))), camids)


def check_last_stride(last_stride: int) -> None:
    """Raises a ValueError when the stride of the last stage is neither 1 nor 2."""
    if last_stride not in (1, 2):
        raise ValueError(f"last_stride: got {last_stride}, allowed: 1, 2")
