"""The last stride of any convolutional network of timm."""

from typing import Any

import torch
from torch import nn

STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


@torch.no_grad()
def keep_last_resolution(trunk: nn.Module, name: str) -> None:
    """Takes the stride out of the last stage of a network, in place, so that its map is twice as high and wide.

    Which layers these are is seen in a pass of a small image: those that halve a map to the size of the last one.
    Their convolutions get stride 1, and their poolings, which stand in shortcuts, go. Weights fit as before.

    Args:
        trunk: A network of timm.
        name: Its name, for the message.

    Raises:
        ValueError: When the network has no map, or its last stage makes it smaller in another way.
    """
    halving: list[str] = []
    size = _map_size(trunk)
    hooks = []
    for path, module in trunk.named_modules():
        if isinstance(module, STRIDED) and _pair(module.stride) == (2, 2):

            def note(_: nn.Module, inputs: tuple[torch.Tensor, ...], path: str = path) -> None:
                if inputs[0].shape[2] == 2 * size:
                    halving.append(path)

            hooks.append(module.register_forward_pre_hook(note))
    if size:
        _map_size(trunk)
    for hook in hooks:
        hook.remove()
    for path in halving:
        module = trunk.get_submodule(path)
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            parent, _, child = path.rpartition(".")
            setattr(trunk.get_submodule(parent), child, nn.Identity())
    if not size or not halving or _map_size(trunk) != 2 * size:
        raise ValueError(
            f"last_stride: got 1, but timm:{name} has no stride in its last stage to leave out, allowed: 2"
        )


def _map_size(trunk: Any) -> int:
    """Returns the rows of the last map for an image of 64 x 64, 0 for a network without maps or one that fails."""
    training = trunk.training
    trunk.eval()
    try:
        x = trunk.forward_features(torch.zeros(1, 3, 64, 64))
    except (RuntimeError, AssertionError):
        return 0
    finally:
        trunk.train(training)
    return x.shape[2] if x.ndim == 4 and x.shape[1] == trunk.num_features else 0


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
