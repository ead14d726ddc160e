"""The last feature map of any network, caught while the network runs."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from reid.models.vit import ViT


@dataclass(frozen=True)
class LastMap:
    """What a pass of a network left.

    Attributes:
        tensors: The network's own tensors, inside the graph of the embeddings: maps, or tokens.
        grid: Rows and columns of the patches, and how many tokens stand before them; None for maps.
        channels_last: Whether the maps are (B, h, w, C).
        embeddings: (B, D).
    """

    tensors: tuple[torch.Tensor, ...]
    grid: tuple[int, int, int] | None
    channels_last: bool
    embeddings: torch.Tensor

    def as_maps(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Returns the tensors, or their gradients, as one map (B, C, h, w); several maps give their channels."""
        if self.grid is not None:
            rows, columns, first = self.grid
            return tensors[0][:, first:].transpose(1, 2).unflatten(2, (rows, columns))
        return torch.cat([t.permute(0, 3, 1, 2) if self.channels_last else t for t in tensors], dim=1)


def run_with_map(model: nn.Module, images: torch.Tensor, camids: torch.Tensor | None = None) -> LastMap:
    """Runs a network and returns its last map beside its embeddings.

    Of a convolutional network and of Swin that is what the head pools; PLR-OSNet has two, one a branch. Of a ViT it is
    the tokens that the last block reads: behind that block nothing looks at patches any more.

    Args:
        model: Any network of `reid.models`, in evaluation mode.
        images: float (B, 3, H, W), normalised.
        camids: int64 (B,), for a network with camera vectors.

    Raises:
        ValueError: When the network has neither a map nor a grid of tokens there.
    """
    caught: list[tuple[torch.Tensor, ...]] = []
    with _watched(model, caught):
        embeddings = model(images, camids).embeddings
    trunk: Any = getattr(model, "trunk", None)
    if isinstance(model, ViT):
        return LastMap(caught[-1], (*model.patch_embed.grid(*images.shape[2:]), 1), False, embeddings)
    tensors = caught[-1] if caught else ()
    if tensors and tensors[0].ndim == 3:
        # Both the tokens of the last block and the network's output were caught: the block's are the first.
        tokens = next((found for found in caught if found[0].ndim == 3), tensors)
        return LastMap(tokens, _timm_grid(model, trunk, tokens[0], images), False, embeddings)
    if not tensors or tensors[0].ndim != 4:
        raise ValueError(f"network: {type(model).__name__} has no feature map before its head")
    wide = getattr(trunk, "num_features", None)
    last = wide is not None and tensors[0].shape[1] != wide and tensors[0].shape[3] == wide
    return LastMap(tensors, None, last, embeddings)


@contextlib.contextmanager
def _watched(model: nn.Module, caught: list[tuple[torch.Tensor, ...]]) -> Iterator[None]:
    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        # Camera numbers are one-dimensional.
        caught.append(tuple(x for x in inputs if isinstance(x, torch.Tensor) and x.ndim >= 3))

    trunk: Any = getattr(model, "trunk", None)
    if isinstance(model, ViT):
        handle = (model.blocks[-1] if model.jigsaw is None else model.whole).register_forward_pre_hook(before)
    elif hasattr(trunk, "forward_features"):
        with _watched_timm(trunk, before, caught):
            yield
        return
    else:
        handle = model.head.register_forward_pre_hook(before)  # type: ignore[union-attr]
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _watched_timm(trunk: Any, before: Any, caught: list[tuple[torch.Tensor, ...]]) -> Iterator[None]:
    """Catches what `forward_features`, a plain method, returns, and the tokens that the last block reads."""
    method = trunk.forward_features

    def features(images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = method(images)
        caught.append((found,))
        return found

    trunk.forward_features = features
    blocks = getattr(trunk, "blocks", None)
    handle = blocks[-1].register_forward_pre_hook(before) if blocks is not None else None
    try:
        yield
    finally:
        del trunk.forward_features  # the class's own is seen again
        if handle is not None:
            handle.remove()


def _timm_grid(model: nn.Module, trunk: Any, tokens: torch.Tensor, images: torch.Tensor) -> tuple[int, int, int]:
    first = int(getattr(trunk, "num_prefix_tokens", 0))
    size = getattr(getattr(trunk, "patch_embed", None), "patch_size", None)
    if size is not None:
        sides = size if isinstance(size, tuple) else (size, size)
        rows, columns = images.shape[2] // sides[0], images.shape[3] // sides[1]
        for prefix in (first, 0):  # some put the class token in later
            if rows * columns + prefix == tokens.shape[1]:
                return rows, columns, prefix
    name = getattr(model, "name", type(model).__name__)
    raise ValueError(f"network: the {tokens.shape[1]} tokens of {name} are no grid of patches of the image")
