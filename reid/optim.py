"""Optimisers and the learning-rate schedule."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def build_optimizer(name: str, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """Builds the optimiser of a model; biases and normalisation parameters are not decayed.

    Args:
        name: "adam", "adamw" or "sgd" (Nesterov momentum 0.9).
        model: Its trainable parameters are taken.
        lr: Base learning rate.
        weight_decay: Decay of the weights.

    Raises:
        ValueError: When the name is unknown.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trainable if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)
    raise ValueError(f"optimizer: got {name!r}, allowed: adam, adamw, sgd")


def build_center_optimizer(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """Builds the plain SGD of the centers (Wen et al., ECCV 2016, give lr 0.5)."""
    return torch.optim.SGD(parameters, lr=lr)


def warmup_cosine(optimizer: torch.optim.Optimizer, warmup_steps: int, total_steps: int) -> LambdaLR:
    """Linear warm-up from a hundredth of the base rate, then a cosine down to a hundredth of it.

    Args:
        optimizer: Its groups' rates are the base rates.
        warmup_steps: Steps of the warm-up.
        total_steps: Steps in all.

    Raises:
        ValueError: When the warm-up is longer than the whole.
    """
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"warm-up: got {warmup_steps} steps, allowed: 0 to the {total_steps} steps of the training")

    def factor(step: int) -> float:
        if step < warmup_steps:
            return 0.01 + 0.99 * step / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
