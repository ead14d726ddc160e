"""Optimisers and the learning-rate schedule."""

import math
from collections.abc import Callable, Iterable
from typing import Any

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


class JointOptimizer(torch.optim.Optimizer):
    """Several optimisers that step as one, so that a gradient scaler unscales and skips them together.

    Args:
        optimizers: Over disjoint parameters; their groups are shared, not copied.
    """

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Steps each; a closure is evaluated once."""
        loss = closure() if closure is not None else None
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Returns the states in the order of the optimisers."""
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what `state_dict` returned."""
        for optimizer, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        # Loading replaces the groups.
        self.param_groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]


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
