"""Center loss."""

import torch
from torch import nn


class CenterLoss(nn.Module):
    """Mean squared distance of each feature to the learnt center of its class (Wen et al., ECCV 2016).

    Deviations: the mean over the batch stands for half the sum, as the common re-identification baselines have it, and
    the centers are trained by an optimiser of their own (SGD, lr 0.5) instead of the paper's averaged update.

    Args:
        num_classes: Training identities.
        feature_size: D, the size of the features before BNNeck.
        generator: Draws the initial centers.
    """

    def __init__(self, num_classes: int, feature_size: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(num_classes, feature_size, generator=generator))

    def grow(self, centroids: torch.Tensor) -> None:
        """Adds classes with these centers, float (K, D); `centers` is a new parameter afterwards."""
        self.centers = nn.Parameter(torch.cat([self.centers.detach(), centroids.detach().to(self.centers)]))

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the loss of features (B, D) with labels int64 (B,) in 0..num_classes-1."""
        return (features.float() - self.centers[labels]).square().sum(dim=1).mean()
