"""How large a network is, and how much it computes."""

import dataclasses
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reid.models import build_model
from reid.models.reparameterise import reparameterise


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Size and work of a network at inference, with the branches merged that it has in training alone.

    Attributes:
        parameters: Learnt numbers, a classifier's included where there is one.
        multiply_adds: For one image: convolutions, linear layers and the products of matrices inside attention.
            Many papers call this number FLOPs.
        embedding_size: D of the embeddings.
    """

    parameters: int
    multiply_adds: int
    embedding_size: int


def measure_complexity(name: str, height: int, width: int, num_classes: int = 0, **options: Any) -> Complexity:
    """Builds a network and counts what one image costs.

    Args:
        name: A name for `build_model`.
        height: Rows of the input.
        width: Columns of the input.
        num_classes: Training identities; 0 counts no classifier.
        options: Of `build_model`.
    """
    model = reparameterise(build_model(name, num_classes, **options).eval())
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        output = model(torch.zeros(1, 3, height, width))
    return Complexity(count_parameters(model), counter.get_total_flops() // 2, output.embeddings.shape[1])


def count_parameters(model: nn.Module) -> int:
    """Returns how many learnt numbers a network has; fixed ones (BNNeck's shift) count, as in published tables."""
    return sum(parameter.numel() for parameter in model.parameters())
