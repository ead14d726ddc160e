"""The batch of all processes, for losses that shall be the same everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist

_WHOLE: ContextVar[bool] = ContextVar("whole", default=False)


@contextmanager
def whole_batch() -> Iterator[None]:
    """Says that what the block works on is the batch of all processes already; `gather_batch` leaves it alone there."""
    token = _WHOLE.set(True)
    try:
        yield
    finally:
        _WHOLE.reset(token)


def gather_with_gradient(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Joins equally long batches of all processes, in the order of their ranks; gradients reach this process's part.

    When every process computes the same loss from the result, and gradients of the model are averaged over processes as
    usual, they are those of one process with the whole batch: this process's part receives its gradient times the
    number of processes. Gradients of the loss's own parameters are the same everywhere and need no averaging.

    Args:
        tensors: (B, ...), of the same B on every process. Whole numbers get no gradient.

    Returns:
        The same tensors with (processes * B, ...); the tensors themselves without torch.distributed.
    """
    if not _distributed():
        return tensors
    return tuple(_Gather.apply(tensor) for tensor in tensors)


class _Gather(torch.autograd.Function):
    """all_gather along the first dimension."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        """Maps (B, ...) to (processes * B, ...)."""
        parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own.contiguous())
        ctx.count = len(own)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Takes this process's rows, times the processes."""
        first = dist.get_rank() * ctx.count
        return gradient[first : first + ctx.count] * dist.get_world_size()


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@torch.no_grad()
def gather_batch(features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Joins the batches of all processes, in the order of their ranks; batches may differ in size.

    Args:
        features: float (B, D) of this process.
        labels: int64 (B,).

    Returns:
        Features float32 (N, D) and labels (N,) of all, detached, and the row where this process's own begin. Without
        torch.distributed, and within `whole_batch`, they are this process's own, and 0.
    """
    features = features.detach().float()
    if _WHOLE.get() or not _distributed():
        return features, labels, 0
    own = torch.tensor([len(labels)], device=labels.device)
    gathered = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own)
    sizes = torch.cat(gathered).tolist()
    # all_gather wants equal shapes.
    longest = max(sizes)
    padded_features = features.new_zeros(longest, features.shape[1])
    padded_features[: len(features)] = features
    padded_labels = labels.new_zeros(longest)
    padded_labels[: len(labels)] = labels
    all_features = [torch.empty_like(padded_features) for _ in sizes]
    all_labels = [torch.empty_like(padded_labels) for _ in sizes]
    dist.all_gather(all_features, padded_features)
    dist.all_gather(all_labels, padded_labels)
    joined = torch.cat([rows[:size] for rows, size in zip(all_features, sizes, strict=True)])
    joined_labels = torch.cat([rows[:size] for rows, size in zip(all_labels, sizes, strict=True)])
    return joined, joined_labels, sum(sizes[: dist.get_rank()])
