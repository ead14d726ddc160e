"""Cross entropy with label smoothing, PolyLoss, a temperature and class balancing."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

# About as many distinct views as an identity has: further images repeat them, and its weight falls no more.
DISTINCT_VIEWS = 10


def effective_number_weights(counts: Sequence[int]) -> torch.Tensor:
    """Returns class weights by the effective number of images, (1 - b) / (1 - b^n) (Cui et al., arXiv 1901.05555).

    b = 0.9, for the paper's b = (N - 1) / N with N = 10 distinct views an identity. A class with one image then weighs
    ten times one with very many; the inverse frequency would let a class with one image weigh 70 times one with 70.

    Args:
        counts: n, images of each class.

    Returns:
        float32 (C,) with mean 1.

    Raises:
        ValueError: When a count is below 1.
    """
    numbers = torch.tensor(list(counts), dtype=torch.float64)
    if (numbers < 1).any():
        raise ValueError(f"class_counts: got {min(counts)} images for a class, allowed: 1 or more")
    base = 1.0 - 1.0 / DISTINCT_VIEWS
    weights = (1.0 - base) / (1.0 - base**numbers)
    return (weights / weights.mean()).float()


class LabelSmoothedCrossEntropy(nn.Module):
    """Cross entropy against (1 - smoothing) on the true class and smoothing spread evenly (arXiv 1512.00567).

    PolyLoss (Poly-1, arXiv 2204.12511) adds epsilon * (1 - p_t); with smoothing p_t is the sum of the smoothed target
    times the probabilities, as the paper's own code has it. The temperature divides the logits.

    Class weights multiply the loss of an image; the mean is over the images, not over their weights, so that a batch
    of rare classes counts for more. (P x K sampling balances the classes by itself: weights are for random batches.)

    Args:
        smoothing: Share of the target that is spread over all classes, 0 <= smoothing < 1.
        epsilon: PolyLoss's coefficient, -1..6; 0 is plain cross entropy.
        temperature: Above 0.
        class_counts: Images of each class, which balance the classes; empty for equal weights.

    Raises:
        ValueError: When a value is outside its range.
    """

    class_weights: torch.Tensor | None

    def __init__(
        self,
        smoothing: float = 0.1,
        epsilon: float = 0.0,
        temperature: float = 1.0,
        class_counts: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing: got {smoothing}, allowed: 0 <= smoothing < 1")
        if not -1.0 <= epsilon <= 6.0:
            raise ValueError(f"epsilon: got {epsilon}, allowed: -1 to 6")
        if not temperature > 0:
            raise ValueError(f"temperature: got {temperature}, allowed: above 0")
        self.smoothing = smoothing
        self.epsilon = epsilon
        self.temperature = temperature
        self.register_buffer("class_weights", effective_number_weights(class_counts) if class_counts else None)

    def grow(self, count: int) -> None:
        """Adds `count` classes, which weigh as much as the mean class."""
        if self.class_weights is not None:
            self.class_weights = torch.cat([self.class_weights, self.class_weights.new_ones(count)])

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of logits (B, C) against labels int64 (B,) in 0..C-1."""
        logits = logits.float() / self.temperature
        if self.class_weights is None and self.epsilon == 0.0:
            return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        losses = F.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")  # (B,)
        if self.epsilon:
            probabilities = logits.softmax(dim=1)
            true = probabilities.gather(1, labels[:, None])[:, 0]
            p_t = (1.0 - self.smoothing) * true + self.smoothing / logits.shape[1]  # probabilities sum to 1
            losses = losses + self.epsilon * (1.0 - p_t)
        if self.class_weights is not None:
            losses = losses * self.class_weights[labels]
        return losses.mean()
