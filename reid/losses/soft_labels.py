"""Cross entropy against label distributions, for images whose identity is a guess or nobody's."""

import torch
from torch import nn


class SoftLabelCrossEntropy(nn.Module):
    """The mean of -sum_k q_k log p_k, where q is an image's label distribution.

    With q = 1 / C for each of C classes it is LSRO's loss of a generated image (Zheng et al., arXiv 1701.07717): the
    network shall take it for nobody in particular.

    Args:
        temperature: Divides the logits, above 0.

    Raises:
        ValueError: When the temperature is not above 0.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature: got {temperature}, allowed: above 0")
        self.temperature = temperature

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of logits (B, C) against distributions (B, C), each of 0 or more and of sum 1.

        Raises:
            ValueError: When the shapes differ.
        """
        if logits.shape != targets.shape:
            raise ValueError(f"targets: got shape {tuple(targets.shape)}, allowed: {tuple(logits.shape)}")
        log_probabilities = (logits.float() / self.temperature).log_softmax(dim=1)
        return -(targets.float() * log_probabilities).sum(dim=1).mean()
