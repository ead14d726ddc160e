"""Parts of a transformer block that ViT and Swin share."""

import torch
import torch.nn.functional as F
from torch import nn


class StochasticDepth(nn.Module):
    """Leaves a residual branch out, an image at a time, in training (Huang et al., arXiv 1603.09382).

    What stays is divided by its probability, so that inference needs no factor.

    Args:
        probability: Of leaving out, 0 <= probability < 1; 0 does nothing.

    Raises:
        ValueError: When it is outside this range.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = checked_dropout("drop_path", probability)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, ...) to the same shape, some of its B entries to 0."""
        if not self.training or self.probability == 0:
            return x
        keep = 1.0 - self.probability
        return x * x.new_empty((len(x), *[1] * (x.ndim - 1))).bernoulli_(keep).div_(keep)


class Mlp(nn.Module):
    """Two linear layers with GELU between them; dropout behind each.

    Args:
        width: Channels of input and output.
        hidden: Channels between.
        dropout: Probability.
    """

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.drop = nn.Dropout(checked_dropout("dropout", dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (..., width) to the same shape."""
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))


def checked_dropout(name: str, probability: float) -> float:
    """Returns a probability of dropout.

    Raises:
        ValueError: When it is none; the message carries the name.
    """
    if not 0 <= probability < 1:
        raise ValueError(f"{name}: got {probability}, allowed: 0 (off) to below 1")
    return probability


def drop_path_rates(drop_path: float, depth: int) -> list[float]:
    """Returns the probability of each block's stochastic depth: from 0, evenly up to `drop_path` in the last one.

    Raises:
        ValueError: When it is none.
    """
    checked_dropout("drop_path", drop_path)
    return [drop_path * index / max(1, depth - 1) for index in range(depth)]


def init_transformer(model: nn.Module) -> None:
    """Initialises linear layers from a normal distribution of deviation 0.02, their biases with 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
