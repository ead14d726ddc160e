"""Batch statistics of real images that generated ones in the same batch leave alone."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class SplitBatchNorm(_BatchNorm):
    """Batch normalisation with statistics of their own for the rows behind the first `real` ones.

    The auxiliary batch normalisation of AdvProp (Xie et al., arXiv 1911.09665). The running statistics are those of the
    first rows alone. Deviation: scale and shift are shared, as nothing but the statistics is to be kept apart.

    Attributes:
        real: Rows of a batch that come first, 2 or more.
    """

    real: int

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        """Normalises (B, C, ...); in evaluation, and where there are no further rows, as batch normalisation does."""
        if not self.training or len(input) <= self.real:
            return super().forward(input)
        rest = nn.functional.batch_norm(
            input[self.real :], None, None, self.weight, self.bias, training=True, eps=self.eps
        )
        return torch.cat([super().forward(input[: self.real]), rest])


class _Split1d(SplitBatchNorm, nn.BatchNorm1d):
    pass


class _Split2d(SplitBatchNorm, nn.BatchNorm2d):
    pass


_SPLIT: dict[type, type] = {nn.BatchNorm1d: _Split1d, nn.BatchNorm2d: _Split2d}


def split_statistics(model: nn.Module, real: int) -> None:
    """Keeps the statistics of the first rows of each batch apart from those of the rest, in training.

    Args:
        model: Changed in place; its weights keep their names.
        real: Rows of a batch that come first.

    Raises:
        ValueError: When there are fewer than two, or the model has no batch normalisation that can be split.
    """
    if real < 2:
        raise ValueError(f"real: got {real}, allowed: 2 or more, as statistics of one image are none")
    found: list[Any] = []
    for name, module in model.named_modules():
        if type(module) in _SPLIT:
            found.append(module)
        elif isinstance(module, _BatchNorm):
            raise ValueError(f"{name}: is {type(module).__name__}, allowed: BatchNorm1d, BatchNorm2d")
    if not found:
        raise ValueError("model: has no batch normalisation, so that its images share no statistics")
    for module in found:
        module.__class__ = _SPLIT[type(module)]
        module.real = real


def join_statistics(model: nn.Module) -> None:
    """Takes `split_statistics` back."""
    plain = {split: kind for kind, split in _SPLIT.items()}
    for module in model.modules():
        if type(module) in plain:
            module.__class__ = plain[type(module)]
            del module.real
