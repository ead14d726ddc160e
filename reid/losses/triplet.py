"""Batch-hard triplet loss."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.distances import euclidean_distances
from reid.losses.pairs import batch_pairs


class BatchHardTripletLoss(nn.Module):
    """For each item its farthest positive against its nearest negative (Hermans et al., arXiv 1703.07737).

    An item without a negative in the batch takes no part; neither does one whose only positive is itself.

    Args:
        margin: Hinge margin; 0 or less means the soft margin, softplus(d_ap - d_an).
    """

    def __init__(self, margin: float = 0.3) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of features (B, D) with labels int64 (B,), on Euclidean distances.

        A batch without any valid item gives 0, still attached to the graph.
        """
        features = features.float()
        distances = euclidean_distances(features, features)  # (B, B)
        positives, negatives, valid = batch_pairs(labels)
        if not valid.any():
            return features.sum() * 0.0
        hardest_positive = distances.masked_fill(~positives, -torch.inf).amax(dim=1)[valid]
        hardest_negative = distances.masked_fill(~negatives, torch.inf).amin(dim=1)[valid]
        gap = hardest_positive - hardest_negative
        return (F.relu(gap + self.margin) if self.margin > 0 else F.softplus(gap)).mean()
