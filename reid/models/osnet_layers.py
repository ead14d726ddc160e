"""Layers of OSNet and its variants. Parameter names are torchreid's, so that its published weights fit."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.cameras import CameraVectors
from reid.models.foreign_names import renamed
from reid.models.heads import AveragePool, BNNeckHead, grown_classifier
from reid.models.output import ReIDOutput

HEADS = ("published", "bnneck")


class ConvNorm(nn.Module):
    """Convolution without bias, normalisation, ReLU.

    Args:
        in_channels: Of the input.
        channels: Of the output.
        kernel: Size of the kernel; the padding keeps the size of the map.
        stride: Of the convolution.
        relu: Whether a ReLU follows.
        instance: Instance normalisation in the place of batch normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        relu: bool = True,
        instance: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.InstanceNorm2d(channels, affine=True) if instance else nn.BatchNorm2d(channels)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        x = self.bn(self.conv(x))
        return F.relu(x) if self.relu else x


class LightConv3x3(nn.Module):
    """A convolution of 1 x 1 without activation, then one of 3 x 3 a channel, normalisation and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, H, W) to the same shape."""
        return F.relu(self.bn(self.conv2(self.conv1(x))))


class ChannelGate(nn.Module):
    """The aggregation gate: a weight for each channel from the means of all channels."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gates (B, C, H, W)."""
        return x * self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))).sigmoid()


class OSNetHead(nn.Module):
    """OSNet's own head: mean, a linear layer, normalisation, ReLU; classifier and retrieval both take what comes out.

    So features and embeddings are the same.

    Args:
        channels: Of the feature map.
        num_classes: Training identities; 0 builds no classifier.
        size: D of features and embeddings.
    """

    def __init__(self, channels: int, num_classes: int, size: int = 512) -> None:
        super().__init__()
        if num_classes < 0:
            raise ValueError(f"num_classes: got {num_classes}, allowed: 0 (no classifier) or more")
        self.size = size
        self.pool = AveragePool()
        self.fc = nn.Sequential(nn.Linear(channels, size), nn.BatchNorm1d(size), nn.ReLU())
        self.classifier = nn.Linear(size, num_classes) if num_classes else None
        self.cameras: CameraVectors | None = None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds a learned vector of each camera, times `factor`, to the embeddings."""
        self.cameras = CameraVectors(num_cameras, self.size, factor)

    def grow(self, centroids: torch.Tensor) -> None:
        """Appends a row to the classifier for each new class; see `reid.models.heads.grown_classifier`."""
        self.classifier = grown_classifier(self.classifier, centroids, self.size, next(self.fc.parameters()))

    def forward(self, x: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps (B, C, H, W) to features (B, D), embeddings (B, D) and logits or None; see `BNNeckHead.forward`."""
        features = embeddings = self.fc(self.pool(x))
        if self.cameras is not None:
            embeddings = features + self.cameras(camids)
        return ReIDOutput(features, embeddings, None if self.classifier is None else self.classifier(embeddings))


class OSNetBase(nn.Module, ABC):
    """What all variants share: what follows behind the feature map, initialisation, foreign names.

    Attributes:
        embedding_size: D of features and embeddings.
    """

    head: OSNetHead | BNNeckHead
    embedding_size: int

    def finish(self, channels: int, num_classes: int, head: str, pooling: str) -> None:
        """Initialises the trunk and adds the head; to be called at the end of a variant's `__init__`.

        Raises:
            ValueError: When head or pooling is unknown, or a pooling is given to the published head.
        """
        if head not in HEADS:
            raise ValueError(f"head: got {head!r}, allowed: {', '.join(HEADS)}")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if head == "published":
            if pooling != "avg":
                raise ValueError(f"pooling: got {pooling!r} with head published, allowed: avg, or head bnneck")
            self.head = OSNetHead(channels, num_classes)
        else:
            self.head = BNNeckHead(channels, num_classes, pooling)
        self.embedding_size = self.head.size

    @abstractmethod
    def feature_map(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W) to (B, C, H / 16, W / 16)."""

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds camera vectors to the embeddings."""
        self.head.add_cameras(num_cameras, factor)

    def foreign_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gives weights of torchreid, and of OSNet in fast-reid, our names."""
        if isinstance(self.head, OSNetHead):
            return renamed(state, {"fc.": "head.fc.", "classifier.": "head.classifier.", "backbone.": ""})
        return renamed(state)

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput`.

        Args:
            images: float (B, 3, H, W).
            camids: int64 (B,); needed by a model with camera vectors, unused by others.
        """
        return self.head(self.feature_map(images), camids)
