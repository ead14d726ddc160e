"""The losses of a training as options of the command line."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
import tyro

from reid.losses import CombinedLoss, LossOptions

# Each option that needs a term, by the name in `LossOptions`.
_NEEDS = {
    "smoothing": "cross_entropy",
    "poly_epsilon": "cross_entropy",
    "temperature": "cross_entropy",
    "triplet": "triplet",
    "margin": "triplet",
    "circle_margin": "circle",
    "circle_gamma": "circle",
    "contrast_momentum": "cluster_contrast",
    "contrast_scale": "cluster_contrast",
    "xbm_size": "xbm",
    "xbm_start": "xbm",
}
TERMS = ("cross_entropy", "triplet", "center", "circle", "cluster_contrast", "xbm")


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms, and what each is told.

    Raises:
        ValueError: When a value is outside its range, or an option is given whose term has no weight.
    """

    cross_entropy_weight: float = 1.0
    """Weight of the cross entropy."""
    smoothing: float | None = None
    """Label smoothing of the cross entropy, 0.1 unless told."""
    poly_epsilon: Annotated[float | None, tyro.conf.arg(aliases=["--epsilon"])] = None
    """PolyLoss: adds epsilon times (1 - p) to the cross entropy; -1 to 6, 0 unless told."""
    temperature: float | None = None
    """Divides the logits of the cross entropy; 1 unless told."""
    class_balance: bool = False
    """Weights the cross entropy by the effective number of images of each identity."""
    triplet_weight: float = 1.0
    """Weight of the triplet loss."""
    triplet: Literal["batch-hard", "weighted-regularised"] | None = None
    """Hardest pairs, the default, or all of them, the harder the heavier."""
    margin: float | None = None
    """Margin of the batch-hard triplet loss, 0.3 unless told; 0 or less is the soft margin."""
    center_weight: Annotated[float, tyro.conf.arg(aliases=["--center-lamda"])] = 5e-4
    """Weight of the center loss."""
    circle_weight: float = 0.0
    """Weight of the circle loss."""
    circle_margin: float | None = None
    """Its margin, 0.25 unless told."""
    circle_gamma: float | None = None
    """Its scale, 128 unless told."""
    cluster_contrast_weight: float = 0.0
    """Weight of the contrast with remembered class centers."""
    contrast_momentum: float | None = None
    """How much of a remembered center stays, 0.1 unless told."""
    contrast_scale: float | None = None
    """Factor on its cosines, 20 unless told."""
    xbm_weight: float = 0.0
    """Weight of the contrast with remembered images (cross-batch memory)."""
    xbm_size: int | None = None
    """Images remembered, 4096 unless told."""
    xbm_start: int | None = None
    """Steps before it starts, 1000 unless told."""

    def __post_init__(self) -> None:
        for name, weight in self.weights().items():
            if weight < 0:
                raise ValueError(f"{name}_weight: got {weight}, allowed: 0 or more")
        if not any(self.weights().values()):
            raise ValueError(f"weights: every loss term is 0; give one of {', '.join(TERMS)} a positive weight")
        for name, term in _NEEDS.items():
            if getattr(self, name) is not None and not self.weights()[term]:
                raise ValueError(f"{name}: got {getattr(self, name)} with {term}_weight 0, which it would not act on")
        if self.class_balance and not self.cross_entropy_weight:
            raise ValueError("class_balance: got True with cross_entropy_weight 0, which it would not act on")
        if self.margin is not None and self.triplet == "weighted-regularised":
            raise ValueError(f"margin: got {self.margin} with triplet weighted-regularised, which has none")
        LossOptions(**self._given())

    def weights(self) -> dict[str, float]:
        """Returns the weight of each term."""
        return {term: getattr(self, f"{term}_weight") for term in TERMS}

    def check_sampler(self, sampler: str) -> None:
        """Raises a ValueError when a term needs pairs of an identity, which random batches do not promise."""
        pairs = [term for term in ("triplet", "circle") if self.weights()[term]]
        if sampler == "random" and pairs:
            raise ValueError(f"sampler: got random with {pairs[0]}_weight above 0, which needs pairs; allowed: pk")

    def check_center_rate(self, center_lr: float | None) -> None:
        """Raises a ValueError when the centers have a learning rate and no loss."""
        if center_lr is not None and not self.center_weight:
            raise ValueError(f"center_lr: got {center_lr} with center_weight 0, which it would not act on")

    def _given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _NEEDS if getattr(self, name) is not None}

    def build(self, labels: Sequence[int], feature_size: int, seed: int) -> CombinedLoss:
        """Builds the loss.

        Args:
            labels: The label of each training image, 0..C-1.
            feature_size: Of the features before BNNeck.
            seed: Of the centers.
        """
        counts = Counter(labels)
        balance: dict[str, Any] = {}
        if self.class_balance:
            balance = {"class_balance": True, "class_counts": tuple(counts[label] for label in sorted(counts))}
        return CombinedLoss(
            self.weights(),
            num_classes=len(counts),
            feature_size=feature_size,
            options=LossOptions(**self._given(), **balance),
            generator=torch.Generator().manual_seed(seed),
        )
