"""Attention rollout: from which patches the class token of a ViT takes what it holds."""

from typing import Any

import torch
from torch import nn

from reid.last_map import run_with_map
from reid.models.vit import ViT
from reid.models.vit_layers import Attention


def has_rollout(model: nn.Module) -> bool:
    """Returns whether `attention_rollout` knows the network: a ViT here, or one of timm that ends in a class token."""
    if isinstance(model, ViT):
        return True
    trunk: Any = getattr(model, "trunk", None)
    return type(trunk).__name__ == "VisionTransformer" and trunk.global_pool == "token"


@torch.no_grad()
def attention_rollout(model: nn.Module, images: torch.Tensor, camids: torch.Tensor | None = None) -> torch.Tensor:
    """Returns attention rollout (Abnar and Zuidema, arXiv 2005.00928) of the class token to the patches, (B, h, w).

    The attention of a block is the mean of its heads, half and half with the identity, which stands for the shortcut;
    the product over all blocks tells how much of each patch arrives. Of a network with the jigsaw module the blocks are
    those of the whole image.

    Args:
        model: A network that `has_rollout`, in evaluation mode.
        images: float (B, 3, H, W), normalised.
        camids: int64 (B,), for a network with camera vectors.

    Raises:
        ValueError: When the network is another.
    """
    if not has_rollout(model):
        raise ValueError(f"rollout: got {type(model).__name__}, allowed: a ViT with a class token")
    rollout: list[torch.Tensor] = []

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        weights = attention_weights(module, inputs[0].float())
        mixed = 0.5 * weights + 0.5 * torch.eye(weights.shape[-1], device=weights.device)
        rollout[:] = [mixed @ rollout[0] if rollout else mixed]

    handles = [block.attn.register_forward_pre_hook(before) for block in _blocks(model)]
    try:
        found = run_with_map(model, images, camids)
    finally:
        for handle in handles:
            handle.remove()
    assert found.grid is not None  # of a ViT
    rows, columns, first = found.grid
    return rollout[0][:, 0, first:].unflatten(1, (rows, columns))


def attention_weights(module: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Returns the weights of an attention layer, mean of its heads, (B, N, N); rows have sum 1.

    Args:
        module: `reid.models.vit_layers.Attention`, or that of timm's ViT.
        tokens: What the layer reads, (B, N, C).
    """
    heads = module.heads if isinstance(module, Attention) else module.num_heads
    query, key, _ = module.qkv(tokens).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    if not isinstance(module, Attention):
        query, key = module.q_norm(query), module.k_norm(key)
    scores: torch.Tensor = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5  # (B, heads, N, N)
    return scores.softmax(dim=-1).mean(dim=1)


def _blocks(model: Any) -> list[Any]:
    if not isinstance(model, ViT):
        return list(model.trunk.blocks)
    # The parts of the jigsaw module run through a last block of their own.
    return [*model.blocks, *([] if model.jigsaw is None else [model.whole[0]])]
