"""Weighted-regularised triplet loss."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.distances import euclidean_distances
from reid.losses.pairs import batch_pairs


class WeightedRegularisedTripletLoss(nn.Module):
    """All positives and all negatives, the harder the heavier, and no margin (AGW: Ye et al., arXiv 2001.04193).

    With w^p = softmax of the distances to the positives and w^n = softmax of minus those to the negatives, an item
    costs softplus(sum w^p d^p - sum w^n d^n). Gradients flow through the weights too.

    Deviation: an item is not among its own positives (the authors' code leaves it there, at distance 0). An item
    without a negative in the batch takes no part; neither does one whose only positive is itself.
    """

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of features (B, D) with labels int64 (B,), on Euclidean distances.

        A batch without any valid item gives 0, still attached to the graph.
        """
        distances = euclidean_distances(features, features)  # (B, B)
        positives, negatives, valid = batch_pairs(labels)
        if not valid.any():
            return features.float().sum() * 0.0
        distances, positives, negatives = distances[valid], positives[valid], negatives[valid]
        positive_weights = distances.masked_fill(~positives, -torch.inf).softmax(dim=1)
        negative_weights = (-distances).masked_fill(~negatives, -torch.inf).softmax(dim=1)
        gap = (positive_weights * distances).sum(dim=1) - (negative_weights * distances).sum(dim=1)
        return F.softplus(gap).mean()
