"""Optimisers and learning-rate schedules."""

import dataclasses
import importlib
import importlib.util
import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Literal

import torch
import tyro
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

DECAY = 0.1


@dataclasses.dataclass(frozen=True)
class OptimisationOptions:
    """How weights are moved.

    Raises:
        ValueError: When a value is outside its range, or an option is given that another one leaves without effect.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {"center_lr": 0.5}

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimiser of the network."""
    fused: Literal["auto", "on", "off"] = "auto"
    """One kernel for the whole step of adam and adamw: apex's FusedAdam when it is installed, otherwise torch's. auto
    takes it on GPUs, on also on the CPU."""
    lr: Annotated[float, tyro.conf.arg(aliases=["--learning-rate"])] = 3.5e-4
    """Base learning rate."""
    weight_decay: float = 5e-4
    """Weight decay; biases and normalisation are spared."""
    schedule: Literal["cosine", "multi-step", "step"] = "cosine"
    """What the learning rate does after its warm-up."""
    warmup_epochs: float = 10.0
    """Epochs of linear warm-up from a hundredth of the rate."""
    milestones: tuple[int, ...] = ()
    """Epochs after which the rate falls; with --schedule multi-step, which needs them."""
    step_epochs: int | None = None
    """The rate falls after every so many epochs; with --schedule step, which needs it."""
    decay: float | None = None
    """What the rate falls to, as a share; with multi-step and step, 0.1 when it is left out."""
    max_grad_norm: float = 0.0
    """Clips gradients to this norm, after the backward pass; 0 does not clip."""
    accumulate: int = 0
    """Batches whose gradients are added up for a step; 0 takes what accelerate was launched with, 1 by default."""
    ema: float = 0.0
    """Decay of the moving average of the weights, which is then what is scored and stored; 0 keeps none."""
    freeze_epochs: int = 0
    """First epochs that train the head alone, with the backbone as in inference."""
    center_lr: float | None = None
    """Learning rate of the centers of the center loss, 0.5 unless told."""
    activation_checkpointing: bool = False
    """Computes the backbone's inner values again in the backward pass instead of keeping them: less memory, slower."""

    def __post_init__(self) -> None:
        within = {
            "lr": (self.lr > 0, "above 0"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "warmup_epochs": (self.warmup_epochs >= 0, "0 or more"),
            "max_grad_norm": (self.max_grad_norm >= 0, "0 (no clipping) or more"),
            "accumulate": (self.accumulate >= 0, "0 (as launched) or more"),
            "ema": (0.0 <= self.ema < 1.0, "0 (off) to below 1"),
            "freeze_epochs": (self.freeze_epochs >= 0, "0 or more"),
            "center_lr": (self.center_rate() > 0, "above 0"),
            "milestones": (list(self.milestones) == sorted(set(self.milestones)), "rising epochs"),
            "decay": (self.decay is None or 0 < self.decay <= 1, "above 0, to 1"),
        }
        for name, (right, allowed) in within.items():
            if not right:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {allowed}")
        self._check_schedule()
        if self.fused == "on" and self.optimizer == "sgd":
            raise ValueError("fused: got on with optimizer sgd, allowed: with adam or adamw")

    def center_rate(self) -> float:
        """Returns the learning rate of the centers."""
        return self.UNLESS_TOLD["center_lr"] if self.center_lr is None else self.center_lr

    def check_epochs(self, epochs: int) -> None:
        """Raises a ValueError when an epoch that an option names lies outside a training of so many.

        A training of 0 epochs writes the untrained network, whatever else it is told.
        """
        if self.freeze_epochs > epochs:
            raise ValueError(f"freeze_epochs: got {self.freeze_epochs}, allowed: 0 to the {epochs} epochs")
        if epochs and self.milestones and self.milestones[-1] >= epochs:
            raise ValueError(f"milestones: got {self.milestones[-1]}, allowed: below the {epochs} epochs")
        if epochs and self.step_epochs is not None and self.step_epochs >= epochs:
            raise ValueError(f"step_epochs: got {self.step_epochs}, allowed: below the {epochs} epochs")

    def _check_schedule(self) -> None:
        for name, schedule, given in (
            ("milestones", "multi-step", bool(self.milestones)),
            ("step_epochs", "step", self.step_epochs is not None),
        ):
            if given != (self.schedule == schedule):
                raise ValueError(
                    f"{name}: got {getattr(self, name)} with schedule {self.schedule}, allowed: only together with "
                    f"schedule {schedule}, which needs it"
                )
        if self.step_epochs is not None and self.step_epochs < 1:
            raise ValueError(f"step_epochs: got {self.step_epochs}, allowed: 1 or more")
        if self.decay is not None and self.schedule == "cosine":
            raise ValueError(f"decay: got {self.decay} with schedule cosine, allowed: with multi-step and step")


def build_optimizer(
    name: str, model: nn.Module, lr: float, weight_decay: float, fused: bool = False
) -> torch.optim.Optimizer:
    """Builds the optimiser of a model; biases and normalisation parameters are not decayed.

    Args:
        name: "adam", "adamw" or "sgd" (Nesterov momentum 0.9).
        model: Its trainable parameters are taken, where they lie.
        lr: Base learning rate.
        weight_decay: Decay of the weights.
        fused: The whole step of Adam in one kernel: apex's when it is installed and the model is on a GPU, torch's
            otherwise.

    Raises:
        ValueError: When the name is unknown.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trainable if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if name in ("adam", "adamw"):
        on_gpu = all(parameter.is_cuda for parameter in trainable)
        if fused and on_gpu and importlib.util.find_spec("apex") is not None:
            apex = importlib.import_module("apex.optimizers")
            return apex.FusedAdam(groups, lr=lr, adam_w_mode=name == "adamw")
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        return kind(groups, lr=lr, fused=fused or None)
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


def build_schedule(
    optimizer: torch.optim.Optimizer, options: OptimisationOptions, epochs: int, epoch_steps: int
) -> LambdaLR:
    """Builds the schedule that the options name, to be stepped after each step of the optimiser.

    Args:
        optimizer: Its groups' rates are the base rates.
        options: Schedule, warm-up and when and how far the rate falls.
        epochs: Length of the training.
        epoch_steps: Steps of an epoch.
    """
    total = max(1, epochs * epoch_steps)
    warmup = min(round(options.warmup_epochs * epoch_steps), epochs * epoch_steps)
    if options.schedule == "cosine":
        return warmup_cosine(optimizer, warmup, total)
    falls = options.milestones
    if options.step_epochs is not None:
        falls = tuple(range(options.step_epochs, epochs + 1, options.step_epochs))
    decay = DECAY if options.decay is None else options.decay
    return warmup_multi_step(optimizer, warmup, [epoch * epoch_steps for epoch in falls], decay)


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
            return _warming(step, warmup_steps)
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)


def warmup_multi_step(
    optimizer: torch.optim.Optimizer, warmup_steps: int, milestones: Iterable[int], decay: float
) -> LambdaLR:
    """Linear warm-up from a hundredth of the base rate, then times `decay` from each milestone on.

    Args:
        optimizer: Its groups' rates are the base rates.
        warmup_steps: Steps of the warm-up.
        milestones: Steps, counted from 0, from which on the rate is lower.
        decay: Factor of each.
    """
    falls = sorted(milestones)

    def factor(step: int) -> float:
        warming = _warming(step, warmup_steps) if step < warmup_steps else 1.0
        return warming * decay ** sum(step >= fall for fall in falls)

    return LambdaLR(optimizer, factor)


def _warming(step: int, warmup_steps: int) -> float:
    return 0.01 + 0.99 * step / warmup_steps
