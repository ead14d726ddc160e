"""Attention inside windows, as Swin and Swin v2 have it."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.transformer import checked_dropout
from reid.models.windows import Windows


class WindowAttention(nn.Module):
    """Multi-head attention inside windows with a learned bias for each relative position (Swin, arXiv 2103.14030).

    Args:
        width: Channels of a token.
        heads: Their number, a divisor of width.
        window: Side of the largest window.
        dropout: Behind the output.
        attention_dropout: On the attention's weights.
    """

    def __init__(self, width: int, heads: int, window: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.attention_dropout = checked_dropout("attention_dropout", attention_dropout)
        self._build(width)
        self.proj = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def _build(self, width: int) -> None:
        """Builds what makes query, key and value, and the bias."""
        self.qkv = nn.Linear(width, 3 * width)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * self.window - 1) ** 2, self.heads))
        nn.init.normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: torch.Tensor, windows: Windows, mask: torch.Tensor | None) -> torch.Tensor:
        """Maps a map (B, H, W, width) to the same shape.

        Args:
            x: The map.
            windows: How it is cut.
            mask: That of the windows, or None.
        """
        tokens = windows.cut(x)  # (B, windows, tokens, width)
        count = tokens.shape[1]
        # Three times (B x windows, heads, tokens, width / heads): the fused kernels want four dimensions.
        parts = self._project(tokens).flatten(0, 1).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, scale = self._scaled(parts[0], parts[1])
        bias = self._table()[windows.relative_index(self.window, x.device)].permute(2, 0, 1)[None]
        if mask is not None:
            # x.shape[0]: len(x) would fix the batch size of an exported file.
            bias = (bias + mask).expand(x.shape[0], -1, -1, -1, -1).flatten(0, 1)
        dropped = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            query, key, parts[2], attn_mask=bias.to(query.dtype), dropout_p=dropped, scale=scale
        )
        # A copy always: kernels order their output differently, and an exported file must hold for each of them.
        mixed = mixed.transpose(1, 2).clone(memory_format=torch.contiguous_format).flatten(2)
        return self.drop(self.proj(windows.join(mixed.unflatten(0, (-1, count)))))

    def _project(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.qkv(tokens)

    def _scaled(self, query: torch.Tensor, key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        return query, key, query.shape[-1] ** -0.5

    def _table(self) -> torch.Tensor:
        """Returns the bias of each offset and head, ((2 window - 1)^2, heads)."""
        return self.relative_position_bias_table


class CosineWindowAttention(WindowAttention):
    """Swin v2's attention (arXiv 2111.09883): cosines times a learned scale, positions from a small network.

    The scale is at most 100. The bias is 16 times the sigmoid of what a two-layer perceptron makes of the offset on a
    logarithmic scale, so that windows of another size can take it over. The key has no bias of its own.

    Args: those of `WindowAttention`.
    """

    def _build(self, width: int) -> None:
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.logit_scale = nn.Parameter(torch.full((self.heads, 1, 1), math.log(10.0)))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, self.heads, bias=False))

    def _project(self, tokens: torch.Tensor) -> torch.Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        return F.linear(tokens, self.qkv.weight, bias)

    def _scaled(self, query: torch.Tensor, key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        return (F.normalize(query, dim=-1) * scale).to(query.dtype), F.normalize(key, dim=-1).to(key.dtype), 1.0

    def _table(self) -> torch.Tensor:
        reach = self.window - 1
        offsets = torch.arange(-reach, reach + 1, device=self.q_bias.device, dtype=torch.float32)
        offsets = offsets * (8.0 / max(1, reach))
        offsets = offsets.sign() * (offsets.abs() + 1.0).log2() / 3.0  # log2(8) = 3
        coordinates = torch.stack(torch.meshgrid(offsets, offsets, indexing="ij"), dim=-1).flatten(0, 1)
        return 16.0 * self.cpb_mlp(coordinates).sigmoid()
