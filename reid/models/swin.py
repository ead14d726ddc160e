"""Swin, versions 1 and 2, tiny, for re-identification."""

import functools
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.heads import BNNeckHead
from reid.models.output import ReIDOutput
from reid.models.swin_names import swin_names
from reid.models.transformer import Mlp, StochasticDepth, drop_path_rates, init_transformer
from reid.models.window_attention import CosineWindowAttention, WindowAttention
from reid.models.windows import Windows

PATCH = 4


class PatchStem(nn.Module):
    """A linear layer on each 4 x 4 patch, then LayerNorm; images are padded to whole patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W) to (B, H / 4, W / 4, width)."""
        images = F.pad(images, (0, -images.shape[3] % PATCH, 0, -images.shape[2] % PATCH))
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Joins 2 x 2 neighbours to one token of twice the width; maps are padded to even sides.

    Args:
        width: Channels of the input.
        norm_last: LayerNorm behind the linear layer (version 2), not before it.
    """

    def __init__(self, width: int, norm_last: bool) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(2 * width if norm_last else 4 * width)
        self.norm_last = norm_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, H, W, C) to (B, H / 2, W / 2, 2 C)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        # The order of the published weights: both rows of the left column, then of the right one.
        x = torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=3)
        return self.norm(self.reduction(x)) if self.norm_last else self.reduction(self.norm(x))


class SwinBlock(nn.Module):
    """Attention inside windows and a two-layer perceptron, each beside a shortcut.

    Version 1 has LayerNorm before each of the two, version 2 behind it, where it starts at 0, as in the authors' code.

    Args:
        width: Channels of a token.
        heads: Of the attention.
        window: Side of the largest window.
        shifted: Whether the windows are moved by half their size.
        version: 1 or 2.
        dropout: Behind linear layers.
        attention_dropout: On the attention's weights.
        drop_path: Probability of leaving each of the two out.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        window: int,
        shifted: bool,
        version: int,
        dropout: float,
        attention_dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.window = window
        self.shifted = shifted
        self.norm_last = version == 2
        attention = CosineWindowAttention if version == 2 else WindowAttention
        self.norm1 = nn.LayerNorm(width)
        self.attn = attention(width, heads, window, dropout, attention_dropout)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 4 * width, dropout)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, H, W, width) to the same shape."""
        windows = Windows.fitting(x.shape[1], x.shape[2], self.window, self.shifted)
        mask = windows.mask(x.device)
        if self.norm_last:
            x = x + self.drop_path(self.norm1(self.attn(x, windows, mask)))
            return x + self.drop_path(self.norm2(self.mlp(x)))
        x = x + self.drop_path(self.attn(self.norm1(x), windows, mask))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class SwinStage(nn.Module):
    """Patch merging, but in the first stage, then blocks whose windows are moved in every second one.

    Args:
        width: Channels of its tokens.
        first: Whether it is the first stage.
        version: 1 or 2.
        blocks: The blocks.
    """

    def __init__(self, width: int, first: bool, version: int, blocks: list[SwinBlock]) -> None:
        super().__init__()
        self.downsample: nn.Module = nn.Identity() if first else PatchMerging(width // 2, version == 2)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, H, W, C) to (B, H, W, C) in the first stage, to (B, H / 2, W / 2, 2 C) in the others."""
        x = self.downsample(x)
        for block in self.blocks:
            x = block(x)
        return x


class Swin(nn.Module):
    """Swin (arXiv 2103.14030) or Swin v2 (arXiv 2111.09883), tiny: 96 channels, 2, 2, 6 and 2 blocks; 768 features.

    Takes images of any size: see `Windows` for maps that windows do not fill. Camera vectors go behind BNNeck, as in
    convolutional networks.

    Args:
        version: 1 or 2.
        num_classes: Training identities; 0 builds no classifier.
        window: Side of a window in tokens; None takes 7 for version 1 and 8 for version 2, the papers' at 224 and 256
            pixels (version 2 has weights for 16, too).
        pooling: Of the last map: "avg" as in the papers, "gem" or "max".
        drop_path: Stochastic depth of the last block, rising from 0 in the first.
        dropout: Behind the patches and the linear layers.
        attention_dropout: On the weights of the attention.

    Attributes:
        embedding_size: D of features and embeddings.

    Raises:
        ValueError: When an option is outside its range.
    """

    width = 96
    depths = (2, 2, 6, 2)
    heads = (3, 6, 12, 24)

    def __init__(
        self,
        version: int,
        num_classes: int = 0,
        *,
        window: int | None = None,
        pooling: str = "avg",
        drop_path: float = 0.2,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        window = (8 if version == 2 else 7) if window is None else window
        if window < 2:
            raise ValueError(f"window: got {window}, allowed: 2 or more tokens")
        self.patch_embed = PatchStem(self.width)
        self.pos_drop = nn.Dropout(dropout)
        rates = iter(drop_path_rates(drop_path, sum(self.depths)))
        for number, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            width = self.width * 2**number
            blocks = [
                SwinBlock(width, heads, window, index % 2 == 1, version, dropout, attention_dropout, next(rates))
                for index in range(depth)
            ]
            setattr(self, f"stage{number + 1}", SwinStage(width, number == 0, version, blocks))
        self.embedding_size = width
        self.norm = nn.LayerNorm(width)
        init_transformer(self)
        if version == 2:
            for module in self.modules():
                if isinstance(module, SwinBlock):
                    # A block begins as nothing beside its shortcut.
                    nn.init.zeros_(module.norm1.weight)
                    nn.init.zeros_(module.norm2.weight)
        self.head = BNNeckHead(width, num_classes, pooling)

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds camera vectors behind BNNeck."""
        self.head.add_cameras(num_cameras, factor)

    def foreign_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Renames weights of timm or of the authors, see `swin_names`; for `load_foreign`."""
        return swin_names(state)

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput` with 768 features and embeddings.

        Args:
            images: float (B, 3, H, W).
            camids: int64 (B,); needed by a model with camera vectors, unused by others.
        """
        x = self.pos_drop(self.patch_embed(images))
        for number in range(len(self.depths)):
            x = getattr(self, f"stage{number + 1}")(x)
        return self.head(self.norm(x).permute(0, 3, 1, 2), camids)


swin_tiny: Callable[..., nn.Module] = functools.partial(Swin, 1)
swinv2_tiny: Callable[..., nn.Module] = functools.partial(Swin, 2)
