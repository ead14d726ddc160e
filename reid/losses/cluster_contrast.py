"""Cluster contrast: features against a memory of class centers."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.losses.gather import gather_batch

# Cosines that differ by no more count as equal.
_TIE = 1e-5


class ClusterContrastLoss(nn.Module):
    """Cross entropy of the cosines to memorised class centers (Cluster Contrast: Dai et al., arXiv 2103.11568).

    There are two memories of unit vectors, and the loss is the mean of both. After each training step the center of
    a class in the batch becomes momentum * center + (1 - momentum) * x, then of length 1, where x is the mean of the
    batch's (unit) features of that class in the one memory, and its hardest feature, the one with the least cosine to
    the center, in the other. Gradients flow to the features only.

    Deviations: the paper updates with the images of a class one after the other; here at once, so that their order
    does not matter. Centers begin as the class's first mean in a batch; classes not met yet are no negatives.

    Under several processes the update takes the batches of all, gathered, so that the memories stay the same on each;
    the loss of a process is that of its own batch.

    Args:
        num_classes: Training identities.
        feature_size: D.
        momentum: How much of a center stays, 0 <= momentum < 1.
        scale: Factor on the cosines, above 0; 20 is a temperature of 0.05.

    Raises:
        ValueError: When a value is outside its range.
    """

    mean_centers: torch.Tensor
    hard_centers: torch.Tensor
    met: torch.Tensor

    def __init__(self, num_classes: int, feature_size: int, momentum: float = 0.1, scale: float = 20.0) -> None:
        super().__init__()
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum: got {momentum}, allowed: 0 <= momentum < 1")
        if not scale > 0:
            raise ValueError(f"scale: got {scale}, allowed: above 0")
        self.momentum = momentum
        self.scale = scale
        self.register_buffer("mean_centers", torch.zeros(num_classes, feature_size))
        self.register_buffer("hard_centers", torch.zeros(num_classes, feature_size))
        self.register_buffer("met", torch.zeros(num_classes, dtype=torch.bool))

    def grow(self, centroids: torch.Tensor) -> None:
        """Adds classes with these centers, float (K, D) of any length."""
        rows = F.normalize(centroids.detach().to(self.mean_centers), dim=1)
        self.mean_centers = torch.cat([self.mean_centers, rows])
        self.hard_centers = torch.cat([self.hard_centers, rows])
        self.met = torch.cat([self.met, self.met.new_ones(len(rows))])

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of features (B, D), of any length, with labels int64 (B,); updates when training."""
        with torch.autocast(features.device.type, enabled=False):
            unit = F.normalize(features.float(), dim=1)
            everyone, their_labels, _ = gather_batch(unit, labels) if self.training else (unit.detach(), labels, 0)
            means, present = self._class_means(everyone, their_labels)
            if self.training:
                self._begin(means, present)
            # Copies: the update below would otherwise change what the backward pass needs.
            losses = [self._loss(unit, labels, centers.clone()) for centers in (self.mean_centers, self.hard_centers)]
            if self.training:
                self._update(everyone, their_labels, means, present)
            return (losses[0] + losses[1]) / 2.0

    def _loss(self, unit: torch.Tensor, labels: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
        logits = self.scale * unit @ centers.T  # (B, C)
        # In evaluation an item's own class may not have been met: it stays, with its center of zeros.
        own = F.one_hot(labels, len(centers)).bool()
        return F.cross_entropy(logits.masked_fill(~self.met & ~own, -torch.inf), labels)

    @torch.no_grad()
    def _class_means(self, unit: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the mean of each class (C, D), zeros without images, and which classes there are, bool (C,)."""
        sums = torch.zeros_like(self.mean_centers).index_add_(0, labels, unit)
        counts = sums.new_zeros(len(sums)).index_add_(0, labels, unit.new_ones(len(labels)))
        return sums / counts.clamp(min=1.0)[:, None], counts > 0

    @torch.no_grad()
    def _begin(self, means: torch.Tensor, present: torch.Tensor) -> None:
        fresh = (present & ~self.met)[:, None]
        for centers in (self.mean_centers, self.hard_centers):
            centers.copy_(torch.where(fresh, F.normalize(means, dim=1), centers))
        self.met |= present

    @torch.no_grad()
    def _update(self, unit: torch.Tensor, labels: torch.Tensor, means: torch.Tensor, present: torch.Tensor) -> None:
        cosines = (unit * self.hard_centers[labels]).sum(dim=1)  # (N,)
        least = cosines.new_full((len(present),), torch.inf).scatter_reduce_(0, labels, cosines, "amin")
        # The first of equally hard images, for one result everywhere: two images are equally far from a center that
        # began as their mean, and rounding, which differs between processors, would choose.
        places = torch.arange(len(labels), device=labels.device)
        places = torch.where(cosines <= least[labels] + _TIE, places, len(labels))
        first = places.new_full((len(present),), len(labels)).scatter_reduce_(0, labels, places, "amin")
        hardest = unit[first.clamp(max=len(labels) - 1)]  # (C, D), meaningless where no image is present
        for centers, new in ((self.mean_centers, means), (self.hard_centers, hardest)):
            moved = F.normalize(self.momentum * centers + (1.0 - self.momentum) * new, dim=1)
            centers.copy_(torch.where(present[:, None], moved, centers))
