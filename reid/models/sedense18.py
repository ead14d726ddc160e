"""sedense18: seres18 with one more skip connection around each block and its squeeze and excitation."""

import torch
from torch import nn

from reid.models.heads import BNNeckHead
from reid.models.layers import SEBlock
from reid.models.resnet18 import AttentionBlock, AttentionResNet18


class SEDenseBlock(AttentionBlock):
    """SE(residual block) + skip; the skip is a 1 x 1 convolution with normalisation where shapes change.

    The residual block ends in its own addition and ReLU, squeeze and excitation follows behind it.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, ibn: bool, attention: str) -> None:
        super().__init__(in_channels, channels, stride, ibn, "none")
        self.excitation = SEBlock(channels)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.skip = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        return self.excitation(super().forward(x)) + self.skip(x)


class SEDense18(AttentionResNet18):
    """The trunk of `AttentionResNet18` made of `SEDenseBlock`s."""

    block = SEDenseBlock


def sedense18(
    num_classes: int = 0, ibn: bool = True, pooling: str = "gem", last_stride: int = 1, hidden: int = 256
) -> SEDense18:
    """Builds sedense18 (512-d, 11.4 M parameters without the classifier, 11.77 M with one of 751 classes).

    Args:
        num_classes: Training identities; 0 builds no classifier.
        ibn: Half instance normalisation in stages 1 to 3.
        pooling: "gem", "avg" or "max".
        last_stride: 1, or 2 as in ResNet.
        hidden: Size of the layer between embeddings and classifier; 0 has none.

    Raises:
        ValueError: When an option is none of these.
    """
    head = BNNeckHead(512, num_classes, pooling, hidden=hidden)
    return SEDense18(num_classes, "se", ibn, pooling, last_stride, head)
