"""Circle loss."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.distances import cosine_distances
from reid.losses.pairs import batch_pairs


class CircleLoss(nn.Module):
    """Pairs weighted by how far their cosine is from its optimum (Sun et al., arXiv 2002.10857), pair-wise form.

    With the cosine s, a_p = max(0, 1 + m - s_p) and a_n = max(0, s_n + m), which are constants to the gradient, an
    item costs softplus(logsumexp_n gamma a_n (s_n - m) + logsumexp_p -gamma a_p (s_p - 1 + m)).

    Args:
        margin: m, in 0..1.
        gamma: Scale, above 0; the paper takes 128 for people.

    Raises:
        ValueError: When a value is outside its range.
    """

    def __init__(self, margin: float = 0.25, gamma: float = 128.0) -> None:
        super().__init__()
        if not 0.0 <= margin <= 1.0:
            raise ValueError(f"margin: got {margin}, allowed: 0 to 1")
        if not gamma > 0:
            raise ValueError(f"gamma: got {gamma}, allowed: above 0")
        self.margin = margin
        self.gamma = gamma

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of features (B, D), of any length, with labels int64 (B,).

        The mean is over the items that have a positive other than themselves and a negative. A batch without any
        gives 0, still attached to the graph.
        """
        similarity = 1.0 - cosine_distances(features, features)  # (B, B)
        positives, negatives, valid = batch_pairs(labels)
        if not valid.any():
            return features.float().sum() * 0.0
        similarity, positives, negatives = similarity[valid], positives[valid], negatives[valid]
        constant = similarity.detach()
        positive = F.relu(1.0 + self.margin - constant) * (similarity - (1.0 - self.margin))
        negative = F.relu(constant + self.margin) * (similarity - self.margin)
        positive = (-self.gamma * positive).masked_fill(~positives, -torch.inf).logsumexp(dim=1)
        negative = (self.gamma * negative).masked_fill(~negatives, -torch.inf).logsumexp(dim=1)
        return F.softplus(positive + negative).mean()
