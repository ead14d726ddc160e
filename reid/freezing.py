"""A backbone that stands still while the head learns."""

from typing import Any

from torch import nn


class FrozenBackbone:
    """Freezes all of a model but its head: no gradients, normalisation as in inference.

    Args:
        model: Has a submodule `head`, as every model here.

    Raises:
        ValueError: When it has none.
    """

    def __init__(self, model: nn.Module) -> None:
        head: Any = getattr(model, "head", None)
        if not isinstance(head, nn.Module):
            raise ValueError(f"freezing: {type(model).__name__} has no submodule head, which would be left to train")
        inside = {id(module) for module in head.modules()}
        kept = {id(parameter) for parameter in head.parameters()}
        self._modules = [module for module in model.modules() if module is not model and id(module) not in inside]
        self._parameters = [p for p in model.parameters() if p.requires_grad and id(p) not in kept]

    def freeze(self) -> None:
        """Stops gradients; to be called before a distributed wrapper looks at the parameters."""
        for parameter in self._parameters:
            parameter.requires_grad_(False)

    def hold(self) -> None:
        """Puts the backbone into evaluation mode; to be called after each `model.train()`."""
        for module in self._modules:
            module.training = False

    def thaw(self) -> None:
        """Lets all train again that trained before."""
        for parameter in self._parameters:
            parameter.requires_grad_(True)
            parameter.grad = None
