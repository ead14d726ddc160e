"""Cross entropy with label smoothing."""

import torch
import torch.nn.functional as F
from torch import nn


class LabelSmoothedCrossEntropy(nn.Module):
    """Cross entropy against (1 - smoothing) on the true class and smoothing spread evenly (arXiv 1512.00567).

    Args:
        smoothing: Share of the target that is spread over all classes, 0..1.

    Raises:
        ValueError: When smoothing is outside 0..1.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing: got {smoothing}, allowed: 0 <= smoothing < 1")
        self.smoothing = smoothing

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of logits (B, C) against labels int64 (B,) in 0..C-1."""
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.smoothing)
