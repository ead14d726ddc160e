"""What the loss terms can be told."""

import dataclasses
from typing import Literal

TRIPLETS = ("batch-hard", "weighted-regularised")


@dataclasses.dataclass(frozen=True)
class LossOptions:
    """Options of the terms of `CombinedLoss`; a term that is not used leaves its options without effect.

    Attributes:
        smoothing: Cross entropy: share of the target that is spread over all classes, 0 <= smoothing < 1.
        poly_epsilon: Cross entropy: PolyLoss's coefficient of 1 - p_t, in -1..6; 0 is plain cross entropy.
        temperature: Cross entropy: divides the logits, above 0.
        class_balance: Cross entropy: weights by the effective number of images a class; needs class_counts.
        class_counts: Images of each class, in the order of the labels; only with class_balance.
        triplet: "batch-hard" or "weighted-regularised" (which has no margin).
        margin: Batch-hard triplet: hinge margin; 0 or less is the soft margin.
        circle_margin: Circle loss: m, in 0..1.
        circle_gamma: Circle loss: scale, above 0.
        contrast_momentum: Cluster contrast: how much of a memorised center stays at an update, 0 <= momentum < 1.
        contrast_scale: Cluster contrast: factor on the cosines, above 0 (one over the temperature).
        xbm_size: Cross-batch memory: features remembered; at least the images of one step over all processes.
        xbm_start: Cross-batch memory: training steps before it starts, when features still move too fast.

    Raises:
        ValueError: When a value is outside its range, or class_balance and class_counts do not go together.
    """

    smoothing: float = 0.1
    poly_epsilon: float = 0.0
    temperature: float = 1.0
    class_balance: bool = False
    class_counts: tuple[int, ...] = ()
    triplet: Literal["batch-hard", "weighted-regularised"] = "batch-hard"
    margin: float = 0.3
    circle_margin: float = 0.25
    circle_gamma: float = 128.0
    contrast_momentum: float = 0.1
    contrast_scale: float = 20.0
    xbm_size: int = 4096
    xbm_start: int = 1000

    def __post_init__(self) -> None:
        if self.triplet not in TRIPLETS:
            raise ValueError(f"triplet: got {self.triplet!r}, allowed: {', '.join(TRIPLETS)}")
        if self.class_balance and not self.class_counts:
            raise ValueError("class_balance: got no class_counts, allowed: one count a class")
        if self.class_counts and not self.class_balance:
            raise ValueError("class_counts: got counts, allowed: only together with class_balance")
        # The terms check the values themselves; here so that a training does not start with what it will refuse.
        within = {
            "smoothing": (0.0 <= self.smoothing < 1.0, "0 <= smoothing < 1"),
            "poly_epsilon": (-1.0 <= self.poly_epsilon <= 6.0, "-1 to 6"),
            "temperature": (self.temperature > 0, "above 0"),
            "circle_margin": (0.0 <= self.circle_margin <= 1.0, "0 to 1"),
            "circle_gamma": (self.circle_gamma > 0, "above 0"),
            "contrast_momentum": (0.0 <= self.contrast_momentum < 1.0, "0 <= momentum < 1"),
            "contrast_scale": (self.contrast_scale > 0, "above 0"),
            "xbm_size": (self.xbm_size > 0, "1 or more"),
            "xbm_start": (self.xbm_start >= 0, "0 or more"),
        }
        for name, (right, allowed) in within.items():
            if not right:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {allowed}")
