"""From a feature map to features, embeddings and logits."""

import torch
from torch import nn

from reid.models.layers import GeM
from reid.models.output import ReIDOutput


class BNNeckHead(nn.Module):
    """GeM pooling, BNNeck and a classifier without bias (Luo et al., arXiv 1906.08332).

    Metric losses take the features before the batch normalisation, the classifier and retrieval the embeddings after
    it. The shift of the normalisation stays at 0, so that the classifier's planes pass through the origin.

    Args:
        channels: Channels of the feature map, and size of features and embeddings.
        num_classes: Training identities; 0 builds no classifier.

    Raises:
        ValueError: When num_classes is negative.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        if num_classes < 0:
            raise ValueError(f"num_classes: got {num_classes}, allowed: 0 (no classifier) or more")
        self.pool = GeM()
        self.bottleneck = nn.BatchNorm1d(channels)
        self.bottleneck.bias.requires_grad_(False)
        self.classifier = nn.Linear(channels, num_classes, bias=False) if num_classes else None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, x: torch.Tensor) -> ReIDOutput:
        """Maps (B, C, H, W) to features (B, C), embeddings (B, C) and logits (B, num_classes) or None."""
        features = self.pool(x)
        embeddings = self.bottleneck(features)
        return ReIDOutput(features, embeddings, None if self.classifier is None else self.classifier(embeddings))
