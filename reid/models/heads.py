"""From a feature map to features, embeddings and logits."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.cameras import CameraVectors
from reid.models.layers import GeM
from reid.models.output import ReIDOutput


class AveragePool(nn.Module):
    """The mean over the positions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pools (B, C, H, W) to (B, C)."""
        return x.mean(dim=(2, 3))


class MaxPool(nn.Module):
    """The maximum over the positions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pools (B, C, H, W) to (B, C)."""
        return x.amax(dim=(2, 3))


POOLINGS: dict[str, Callable[[], nn.Module]] = {"gem": GeM, "avg": AveragePool, "max": MaxPool}


class BNNeckHead(nn.Module):
    """Pooling, BNNeck and a classifier without bias (Luo et al., arXiv 1906.08332).

    Metric losses take the features before the batch normalisation, the classifier and retrieval the embeddings after
    it. The shift of the normalisation stays at 0, so that the classifier's planes pass through the origin.

    Args:
        channels: Channels of the feature map, and size of features and embeddings when there is no projection.
        num_classes: Training identities; 0 builds no classifier.
        pooling: A key of `POOLINGS`, or "none" for an input that is pooled already, (B, channels).
        projection_dim: Size of features and embeddings after a linear layer behind the pooling; 0 has no such layer.

    Attributes:
        size: D of features and embeddings.

    Raises:
        ValueError: When the pooling is unknown, or a number is negative.
    """

    def __init__(self, channels: int, num_classes: int, pooling: str = "gem", projection_dim: int = 0) -> None:
        super().__init__()
        if num_classes < 0:
            raise ValueError(f"num_classes: got {num_classes}, allowed: 0 (no classifier) or more")
        if projection_dim < 0:
            raise ValueError(f"projection_dim: got {projection_dim}, allowed: 0 (no projection) or more")
        if pooling not in (*POOLINGS, "none"):
            raise ValueError(f"pooling: got {pooling!r}, allowed: {', '.join(POOLINGS)}")
        self.size = projection_dim or channels
        self.pool = nn.Identity() if pooling == "none" else POOLINGS[pooling]()
        self.projection = nn.Linear(channels, projection_dim, bias=False) if projection_dim else nn.Identity()
        self.bottleneck = nn.BatchNorm1d(self.size)
        self.bottleneck.bias.requires_grad_(False)
        self.classifier = nn.Linear(self.size, num_classes, bias=False) if num_classes else None
        self.cameras: CameraVectors | None = None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=0.001)

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds a learned vector of each camera, times `factor`, to the embeddings."""
        self.cameras = CameraVectors(num_cameras, self.size, factor)

    @torch.no_grad()
    def grow(self, centroids: torch.Tensor) -> None:
        """Appends a row to the classifier for each new class; the rows of the old classes stay as they are.

        A new row has the direction of its centroid and the mean length of the old rows: embeddings are some twenty
        times longer than trained rows, and rows of that length would silence every other class. Without a classifier
        one is built, with rows of length 1. Optimisers have to be built again afterwards.

        Args:
            centroids: float (K, D), mean embedding (after BNNeck) of each new class, of any length.

        Raises:
            ValueError: When the shape is not (K, D) or a value is not finite.
        """
        if centroids.ndim != 2 or centroids.shape[1] != self.size:
            raise ValueError(f"centroids: got shape {tuple(centroids.shape)}, allowed: (K, {self.size})")
        if not torch.isfinite(centroids).all():
            raise ValueError("centroids: got NaN or infinity, allowed: finite values")
        reference = self.bottleneck.running_mean if self.classifier is None else self.classifier.weight
        rows = F.normalize(centroids.to(reference).float(), dim=1)  # type: ignore[arg-type]
        if self.classifier is not None:
            old = self.classifier.weight
            rows = torch.cat([old, (rows * old.float().norm(dim=1).mean()).to(old.dtype)])
        if len(rows) == 0:
            return
        grown = nn.Linear(self.size, len(rows), bias=False, device=rows.device, dtype=rows.dtype)
        grown.weight.copy_(rows)
        self.classifier = grown

    def forward(self, x: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps (B, C, H, W), or (B, C) without pooling, to features (B, D), embeddings (B, D) and logits or None.

        Args:
            x: The feature map.
            camids: int64 (B,), the camera of each image; needed when there are camera vectors, unused otherwise.
        """
        features = self.projection(self.pool(x))
        embeddings = self.bottleneck(features)
        if self.cameras is not None:
            embeddings = embeddings + self.cameras(camids)
        return ReIDOutput(features, embeddings, None if self.classifier is None else self.classifier(embeddings))
