"""A weighted sum of named loss terms."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import nn

from reid.losses.center import CenterLoss
from reid.losses.circle import CircleLoss
from reid.losses.cluster_contrast import ClusterContrastLoss
from reid.losses.cross_entropy import LabelSmoothedCrossEntropy
from reid.losses.gather import gather_with_gradient, whole_batch
from reid.losses.options import LossOptions
from reid.losses.triplet import BatchHardTripletLoss
from reid.losses.weighted_triplet import WeightedRegularisedTripletLoss
from reid.losses.xbm import CrossBatchMemoryLoss

TERMS = ("cross_entropy", "triplet", "center", "circle", "cluster_contrast", "xbm")
# Terms that remember nothing act on each branch of a network that has several, the others on all features together.
BRANCHED = ("cross_entropy", "triplet", "circle")


class CombinedLoss(nn.Module):
    """Cross entropy on the logits and metric losses on the features before BNNeck, summed by weight.

    Everything that affects the training, centers and memories, is a parameter or a buffer: `state_dict` resumes
    exactly. Under several processes each training batch is gathered from all, so that mining, memories and the loss are
    those of one process with the whole batch, the same everywhere (`gather_with_gradient`): the model wants its usual
    distributed wrapper, the loss none. All terms compute in float32, inside autocast too.

    Args:
        weights: Term to weight; terms as in `TERMS`. A term with weight 0 is not built.
        num_classes: Training identities.
        feature_size: Size of the features before BNNeck.
        options: What the terms are told; None takes the defaults.
        generator: Draws the initial centers.

    Raises:
        ValueError: When a term is unknown, a weight is negative, no term is left, or the class counts do not fit.
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
        if options.class_counts and len(options.class_counts) != num_classes:
            raise ValueError(f"class_counts: got {len(options.class_counts)}, allowed: one a class ({num_classes})")
        self.num_classes = num_classes
        self.feature_size = feature_size
        builders: dict[str, Callable[[], nn.Module]] = {
            "cross_entropy": lambda: LabelSmoothedCrossEntropy(
                options.smoothing, options.poly_epsilon, options.temperature, options.class_counts
            ),
            "triplet": lambda: (
                BatchHardTripletLoss(options.margin)
                if options.triplet == "batch-hard"
                else WeightedRegularisedTripletLoss()
            ),
            "center": lambda: CenterLoss(num_classes, feature_size, generator),
            "circle": lambda: CircleLoss(options.circle_margin, options.circle_gamma),
            "cluster_contrast": lambda: ClusterContrastLoss(
                num_classes, feature_size, options.contrast_momentum, options.contrast_scale
            ),
            "xbm": lambda: CrossBatchMemoryLoss(options.xbm_size, feature_size, options.xbm_start),
        }
        self.terms = nn.ModuleDict({term: builders[term]() for term in TERMS if term in self.weights})
        self._scale_center_gradients()

    def _scale_center_gradients(self) -> None:
        if "center" not in self.terms:
            return
        # The weight keeps the features from being pulled too hard; the centers themselves shall not be slowed by it.
        inverse = 1.0 / self.weights["center"]
        self.center_parameters()[0].register_hook(lambda gradient: gradient * inverse)

    def center_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters that want an optimiser of their own: the centers, or nothing."""
        return list(self.terms["center"].parameters()) if "center" in self.terms else []

    def grow(self, centroids: torch.Tensor) -> None:
        """Adds a class for each centroid; what belongs to the old classes stays. Build optimisers again afterwards.

        Centers and the memory of cluster contrast take the centroids; with class balancing a new class weighs as much
        as the mean class. The other terms do not know classes.

        Args:
            centroids: float (K, D), mean feature (before BNNeck) of each new class.

        Raises:
            ValueError: When the shape is not (K, D) or a value is not finite.
        """
        if centroids.ndim != 2 or centroids.shape[1] != self.feature_size:
            raise ValueError(f"centroids: got shape {tuple(centroids.shape)}, allowed: (K, {self.feature_size})")
        if not torch.isfinite(centroids).all():
            raise ValueError("centroids: got NaN or infinity, allowed: finite values")
        self.num_classes += len(centroids)
        for term in self.terms.values():
            if isinstance(term, LabelSmoothedCrossEntropy):
                term.grow(len(centroids))
            elif isinstance(term, (CenterLoss, ClusterContrastLoss)):
                term.grow(centroids)
        self._scale_center_gradients()

    def forward(
        self,
        features: torch.Tensor,
        logits: torch.Tensor | None,
        labels: torch.Tensor,
        branches: Sequence[tuple[torch.Tensor, torch.Tensor | None]] = (),
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Computes the total and its terms.

        With branches, the terms in `BRANCHED` are the loss of the first branch plus the mean loss of the others, as
        TransReID (arXiv 2102.04378) has it for the whole image and its parts.

        Args:
            features: (B, D) before BNNeck.
            logits: (B, num_classes); None is allowed when there is no cross entropy.
            labels: int64 (B,) in 0..num_classes-1.
            branches: Features (B, F) and logits of each branch of a network that has several; features and logits are
                those of all branches together and of the first one then.

        Returns:
            The weighted total, and each term unweighted and detached.

        Raises:
            ValueError: When cross entropy is asked for and the model has no classifier.
        """
        if "cross_entropy" in self.terms and logits is None:
            raise ValueError("cross_entropy: the model has no classifier; build it with num_classes > 0")
        parts = list(branches or [(features, logits)])
        if self.training:
            parts = [self._gathered(*part) for part in parts]
            (labels,) = gather_with_gradient(labels)
            features = self._gathered(features, None)[0] if branches else parts[0][0]
        total = features.new_zeros((), dtype=torch.float32)
        values = {}
        with whole_batch() if self.training else nullcontext():
            for name, term in self.terms.items():
                if name in BRANCHED:
                    value = _first_and_mean([term(part[name == "cross_entropy"], labels) for part in parts])
                else:
                    value = term(features, labels)
                total = total + self.weights[name] * value
                values[name] = value.detach()
        return total, values

    def _gathered(
        self, features: torch.Tensor, logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        (features,) = gather_with_gradient(features)
        if "cross_entropy" in self.terms and logits is not None:
            (logits,) = gather_with_gradient(logits)
        return features, logits


def _first_and_mean(values: list[torch.Tensor]) -> torch.Tensor:
    return values[0] if len(values) == 1 else values[0] + torch.stack(values[1:]).mean()
