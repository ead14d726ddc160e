"""A weighted sum of named loss terms."""

import torch
from torch import nn

from reid.losses.center import CenterLoss
from reid.losses.cross_entropy import LabelSmoothedCrossEntropy
from reid.losses.options import LossOptions
from reid.losses.triplet import BatchHardTripletLoss

TERMS = ("cross_entropy", "triplet", "center")


class CombinedLoss(nn.Module):
    """Cross entropy on the logits, triplet and center loss on the features before BNNeck, summed by weight.

    Args:
        weights: Term to weight; terms as in `TERMS`. A term with weight 0 is not built.
        num_classes: Training identities.
        feature_size: Size of the features before BNNeck.
        options: What the terms are told; None takes the defaults.
        generator: Draws the initial centers.

    Raises:
        ValueError: When a term is unknown, a weight is negative, or no term is left.
    """

    def __init__(
        self,
        weights: dict[str, float],
        *,
        num_classes: int,
        feature_size: int,
        options: LossOptions | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for term, weight in weights.items():
            if term not in TERMS:
                raise ValueError(f"loss term: got {term!r}, allowed: {', '.join(TERMS)}")
            if weight < 0:
                raise ValueError(f"weight of {term}: got {weight}, allowed: 0 or more")
        self.weights = {term: weight for term, weight in weights.items() if weight > 0}
        if not self.weights:
            raise ValueError(f"weights: every loss term is 0; give one of {', '.join(TERMS)} a positive weight")
        options = options or LossOptions()
        self.terms = nn.ModuleDict()
        if "cross_entropy" in self.weights:
            self.terms["cross_entropy"] = LabelSmoothedCrossEntropy(options.smoothing)
        if "triplet" in self.weights:
            self.terms["triplet"] = BatchHardTripletLoss(options.margin)
        if "center" in self.weights:
            self.terms["center"] = self._center_loss(num_classes, feature_size, generator)

    def _center_loss(self, num_classes: int, size: int, generator: torch.Generator | None) -> CenterLoss:
        center = CenterLoss(num_classes, size, generator)
        # The weight keeps the features from being pulled too hard; the centers themselves shall not be slowed by it.
        inverse = 1.0 / self.weights["center"]
        center.centers.register_hook(lambda gradient: gradient * inverse)
        return center

    def center_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters that want an optimiser of their own: the centers, or nothing."""
        return list(self.terms["center"].parameters()) if "center" in self.terms else []

    def forward(
        self, features: torch.Tensor, logits: torch.Tensor | None, labels: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Computes the total and its terms.

        Args:
            features: (B, D) before BNNeck.
            logits: (B, num_classes); None is allowed when there is no cross entropy.
            labels: int64 (B,) in 0..num_classes-1.

        Returns:
            The weighted total, and each term unweighted and detached.

        Raises:
            ValueError: When cross entropy is asked for and the model has no classifier.
        """
        total = features.new_zeros((), dtype=torch.float32)
        values = {}
        for name, term in self.terms.items():
            if name == "cross_entropy" and logits is None:
                raise ValueError("cross_entropy: the model has no classifier; build it with num_classes > 0")
            value = term(logits if name == "cross_entropy" else features, labels)
            total = total + self.weights[name] * value
            values[name] = value.detach()
        return total, values
