"""Less memory for more time: inner values are computed again in the backward pass."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(model: nn.Module) -> int:
    """Makes each stage or block of a backbone keep its input alone (Chen et al., arXiv 1604.06174), in place.

    Blocks are the children of the outermost sequences and lists of modules outside the head. Running statistics of
    normalisation are read in the second pass as they were in the first one, and moved once.

    Returns:
        How many blocks there are.

    Raises:
        ValueError: When the model has no such block.
    """
    blocks = _blocks(model)
    if not blocks:
        raise ValueError(
            f"activation_checkpointing: {type(model).__name__} has no sequence of blocks outside its head, allowed: off"
        )
    for block in blocks:
        if not hasattr(block.forward, "checkpointed"):
            forward = functools.partial(_forward, block, block.forward)
            forward.checkpointed = True  # type: ignore[attr-defined]
            block.forward = forward  # type: ignore[method-assign]
    return len(blocks)


def _blocks(module: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for name, child in module.named_children():
        if name == "head":
            continue
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            found += [part for part in child if any(True for _ in part.parameters())]
        else:
            found += _blocks(child)
    return found


def _forward(block: nn.Module, forward: Any, *inputs: Any, **options: Any) -> Any:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*inputs, **options)
    before = _Buffers(block)
    contexts = (contextlib.nullcontext(), before.applied())
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: contexts, **options)


class _Buffers:
    """The buffers of a block at one moment."""

    def __init__(self, block: nn.Module) -> None:
        self.values = [
            (module, name, buffer.detach().clone())
            for module in block.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Puts copies of the buffers in the place of the block's own while the block runs."""
        own = [(module, name, module._buffers[name]) for module, name, _ in self.values]
        for module, name, value in self.values:
            module._buffers[name] = value.clone()
        try:
            yield
        finally:
            for module, name, buffer in own:
                module._buffers[name] = buffer
