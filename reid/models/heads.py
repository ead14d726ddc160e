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
        bias: Projection and classifier get a bias and the normalisation learns its shift, against the paper, as some
            published networks have it.
        hidden: Size of a layer (with normalisation, ReLU and dropout) between embeddings and classifier, which then
            has a bias; 0 has no such layer.

    Attributes:
        size: D of features and embeddings.

    Raises:
        ValueError: When the pooling is unknown, or a number is negative.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        pooling: str = "gem",
        projection_dim: int = 0,
        *,
        bias: bool = False,
        hidden: int = 0,
    ) -> None:
        super().__init__()
        if num_classes < 0:
            raise ValueError(f"num_classes: got {num_classes}, allowed: 0 (no classifier) or more")
        if projection_dim < 0:
            raise ValueError(f"projection_dim: got {projection_dim}, allowed: 0 (no projection) or more")
        if hidden < 0:
            raise ValueError(f"hidden: got {hidden}, allowed: 0 (no layer before the classifier) or more")
        if pooling not in (*POOLINGS, "none"):
            raise ValueError(f"pooling: got {pooling!r}, allowed: {', '.join(POOLINGS)}")
        self.size = projection_dim or channels
        self.pool = nn.Identity() if pooling == "none" else POOLINGS[pooling]()
        self.projection = nn.Linear(channels, projection_dim, bias=bias) if projection_dim else nn.Identity()
        self.bottleneck = nn.BatchNorm1d(self.size)
        self.bottleneck.bias.requires_grad_(bias)
        self.classifier_hidden: nn.Module | None = None
        if hidden and num_classes:
            self.classifier_hidden = nn.Sequential(
                nn.Linear(self.size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout()
            )
        width = hidden or self.size
        self.classifier = nn.Linear(width, num_classes, bias=bias or hidden > 0) if num_classes else None
        self.cameras: CameraVectors | None = None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=0.001)
            if self.classifier.bias is not None:
                nn.init.zeros_(self.classifier.bias)

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds a learned vector of each camera, times `factor`, to the embeddings."""
        self.cameras = CameraVectors(num_cameras, self.size, factor)

    def grow(self, centroids: torch.Tensor) -> None:
        """Appends a row to the classifier for each new class (see `grown_classifier`); optimisers have to follow.

        Args:
            centroids: float (K, D), mean input of the classifier, without a hidden layer the embedding, a class.

        Raises:
            ValueError: When the shape is not (K, D) or a value is not finite.
        """
        reference = self.bottleneck.running_mean
        assert reference is not None  # always tracked
        self.classifier = grown_classifier(self.classifier, centroids, self.size, reference)

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
        if self.classifier is None:
            return ReIDOutput(features, embeddings, None)
        inputs = embeddings if self.classifier_hidden is None else self.classifier_hidden(embeddings)
        return ReIDOutput(features, embeddings, self.classifier(inputs))


@torch.no_grad()
def grown_classifier(
    classifier: nn.Linear | None, centroids: torch.Tensor, size: int, reference: torch.Tensor
) -> nn.Linear | None:
    """Returns a classifier with a row for each new class behind the rows of the old ones, which stay as they are.

    A new row has the direction of its centroid and the mean length of the old rows: embeddings are some twenty times
    longer than trained rows, and rows of that length would silence every other class. A new bias is the mean of the old
    ones. Without a classifier one is built, with rows of length 1 and no bias.

    Args:
        classifier: The old one; left as it is.
        centroids: float (K, D), mean input of the classifier in each new class, of any length.
        size: D of a classifier that is built.
        reference: Any tensor of the device and type that such a one shall have.

    Raises:
        ValueError: When the shape is not (K, D) or a value is not finite.
    """
    width = size if classifier is None else classifier.in_features
    if centroids.ndim != 2 or centroids.shape[1] != width:
        raise ValueError(f"centroids: got shape {tuple(centroids.shape)}, allowed: (K, {width})")
    if not torch.isfinite(centroids).all():
        raise ValueError("centroids: got NaN or infinity, allowed: finite values")
    if len(centroids) == 0:
        return classifier
    rows = F.normalize(centroids.to(reference if classifier is None else classifier.weight).float(), dim=1)
    old_bias = None if classifier is None else classifier.bias
    if classifier is not None:
        old = classifier.weight
        rows = torch.cat([old, (rows * old.float().norm(dim=1).mean()).to(old.dtype)])
    grown = nn.Linear(width, len(rows), bias=old_bias is not None, device=rows.device, dtype=rows.dtype)
    grown.weight.copy_(rows)
    if old_bias is not None:
        grown.bias.copy_(torch.cat([old_bias, old_bias.mean().expand(len(rows) - len(old_bias))]))
    return grown
