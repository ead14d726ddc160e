"""Patches, position embeddings and blocks of a ViT."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.transformer import Mlp, StochasticDepth, checked_dropout


class PatchEmbedding(nn.Module):
    """A linear layer on each square patch; patches overlap where the stride is smaller than they are.

    Args:
        width: Channels of a token.
        patch_size: Side of a patch in pixels.
        stride: Pixels from one patch to the next, 1 to patch_size.

    Raises:
        ValueError: When a size is outside its range.
    """

    def __init__(self, width: int, patch_size: int, stride: int) -> None:
        super().__init__()
        if patch_size < 1:
            raise ValueError(f"patch_size: got {patch_size}, allowed: 1 or more pixels")
        if not 1 <= stride <= patch_size:
            raise ValueError(f"stride: got {stride}, allowed: 1 to the patch_size ({patch_size})")
        self.patch_size = patch_size
        self.stride = stride
        self.proj = nn.Conv2d(3, width, patch_size, stride)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Returns the rows and columns of patches of an image; pixels beyond the last whole patch are unused.

        Raises:
            ValueError: When the image is smaller than a patch.
        """
        if min(height, width) < self.patch_size:
            raise ValueError(f"image: got {height} x {width}, allowed: {self.patch_size} x {self.patch_size} or more")
        return (height - self.patch_size) // self.stride + 1, (width - self.patch_size) // self.stride + 1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W) to tokens (B, N, width), row by row."""
        return self.proj(images).flatten(2).transpose(1, 2)


def resize_position(position: torch.Tensor, old: tuple[int, int], new: tuple[int, int]) -> torch.Tensor:
    """Interpolates a position embedding, (1, 1 + rows x columns, C), to another grid of patches.

    Bicubic, smoothed where the grid shrinks. The first row, that of the class token, stays as it is.

    Args:
        position: The embedding, class token first.
        old: Its (rows, columns).
        new: The wanted ones.
    """
    if old == new:
        return position
    token, patches = position[:, :1], position[:, 1:]
    grid = patches.float().unflatten(1, old).permute(0, 3, 1, 2)  # (1, C, rows, columns)
    grid = F.interpolate(grid, new, mode="bicubic", antialias=True)
    return torch.cat([token, grid.flatten(2).transpose(1, 2).to(position.dtype)], dim=1)


class Attention(nn.Module):
    """Multi-head self-attention (arXiv 1706.03762), by torch's fused kernel.

    Args:
        width: Channels of a token.
        heads: Their number, a divisor of width.
        dropout: Behind the output.
        attention_dropout: On the attention's weights.
    """

    def __init__(self, width: int, heads: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = checked_dropout("attention_dropout", attention_dropout)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, N, width) to the same shape."""
        # (B, N, 3 x width) -> three times (B, heads, N, width / heads)
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        dropped = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropped)
        return self.drop(self.proj(mixed.transpose(1, 2).flatten(2)))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a LayerNorm and beside a shortcut (arXiv 2010.11929).

    Args:
        width: Channels of a token.
        heads: Of the attention.
        dropout: Behind each linear layer but those of query, key and value.
        attention_dropout: On the attention's weights.
        drop_path: Probability of leaving each of the two branches out.
    """

    def __init__(self, width: int, heads: int, dropout: float, attention_dropout: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, dropout, attention_dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width, dropout)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps tokens (B, N, width) to the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
