"""ViT for re-identification, in the form of TransReID: overlapping patches, camera vectors, the jigsaw patch module."""

import copy
import functools
from collections.abc import Callable, Mapping

import torch
from torch import nn

from reid.models.cameras import CameraVectors
from reid.models.heads import BNNeckHead
from reid.models.jigsaw import BranchesHead, Jigsaw
from reid.models.output import ReIDOutput
from reid.models.transformer import checked_dropout, drop_path_rates, init_transformer
from reid.models.vit_layers import Block, PatchEmbedding, resize_position
from reid.models.vit_names import vit_names

DEPTH = 12


class ViT(nn.Module):
    """A vision transformer of 12 blocks (arXiv 2010.11929, DeiT 2012.12877) with the parts of TransReID (2102.04378).

    The paper's best network is stride 12, jpm, and camera vectors with factor 3 (`num_cameras`, `cam_factor`), which go
    to all tokens. Features are the class token behind the last LayerNorm. The position embedding belongs to
    `image_size`; images of other sizes interpolate it.

    Deviations: of the side information the camera is used, not the viewpoint, for no dataset here tells it. The
    position embedding is interpolated bicubically, where the authors' release does so bilinearly.

    Args:
        width: Channels of a token.
        heads: Of each attention.
        num_classes: Training identities; 0 builds no classifier.
        image_size: (height, width) in pixels that the position embedding is made for.
        patch_size: Side of a patch in pixels.
        stride: Pixels from patch to patch; below patch_size they overlap. None takes patch_size.
        drop_path: Stochastic depth of the last block, rising from 0 in the first.
        dropout: Behind the position embedding and the linear layers.
        attention_dropout: On the weights of the attention.
        jpm: The jigsaw patch module: a second last block sees the patches in shuffled parts.
        jpm_parts: Its parts, k; 4 unless told.
        jpm_shift: Patches that it moves to the end first, m; 5 unless told. Weights of the authors' release want 4.
        jpm_groups: Pieces whose patches it lets alternate; 2 unless told.

    Attributes:
        embedding_size: D of features and embeddings.

    Raises:
        ValueError: When an option is outside its range, or would be without effect.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        num_classes: int = 0,
        *,
        image_size: tuple[int, int] = (256, 128),
        patch_size: int = 16,
        stride: int | None = None,
        drop_path: float = 0.1,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        jpm: bool = False,
        jpm_parts: int | None = None,
        jpm_shift: int | None = None,
        jpm_groups: int | None = None,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(width, patch_size, patch_size if stride is None else stride)
        height, columns = image_size
        self.grid = self.patch_embed.grid(height, columns)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + self.grid[0] * self.grid[1], width))
        self.cameras: CameraVectors | None = None
        self.pos_drop = nn.Dropout(checked_dropout("dropout", dropout))
        blocks = [Block(width, heads, dropout, attention_dropout, rate) for rate in drop_path_rates(drop_path, DEPTH)]
        norm = nn.LayerNorm(width, eps=1e-6)
        self.jigsaw = _jigsaw(jpm, {"parts": jpm_parts, "shift": jpm_shift, "groups": jpm_groups})
        self._init(blocks)
        self.head: nn.Module
        if self.jigsaw is None:
            self.blocks, self.norm = nn.ModuleList(blocks), norm
            self.head = BNNeckHead(width, num_classes, "none")
            self.embedding_size = width
        else:
            # Both branches begin as the same block.
            self.blocks = nn.ModuleList(blocks[:-1])
            self.whole = nn.Sequential(blocks[-1], norm)
            self.local = copy.deepcopy(self.whole)
            self.head = BranchesHead(width, num_classes, self.jigsaw.parts)
            self.embedding_size = self.head.size

    def _init(self, blocks: list[Block]) -> None:
        for block in blocks:
            init_transformer(block)
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.pos_embed, std=0.02)
        projection = self.patch_embed.proj
        nn.init.normal_(projection.weight, std=projection.weight[0].numel() ** -0.5)
        nn.init.zeros_(projection.bias)  # type: ignore[arg-type]

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds a learned vector of each camera, times `factor` (3 in the paper), to all tokens."""
        self.cameras = CameraVectors(num_cameras, self.cls_token.shape[2], factor)

    def foreign_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Renames weights of timm, DeiT or the authors' TransReID, see `vit_names`; for `load_foreign`."""
        return vit_names(state, jpm=self.jigsaw is not None, grid=self.grid)

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput`, with branches when there is a jigsaw module.

        Args:
            images: float (B, 3, H, W), a patch or larger.
            camids: int64 (B,); needed by a model with camera vectors, unused by others.

        Raises:
            ValueError: When the images are smaller than a patch, have fewer patches than the jigsaw's options want, or
                cameras are missing.
        """
        tokens = self._embed(images, camids)
        for block in self.blocks:
            tokens = block(tokens)
        if self.jigsaw is None:
            return self.head(self.norm(tokens)[:, 0])
        parts = self.local(self.jigsaw(tokens))[:, 0].unflatten(0, (-1, self.jigsaw.parts))
        return self.head(self.whole(tokens)[:, 0], parts)

    def _embed(self, images: torch.Tensor, camids: torch.Tensor | None) -> torch.Tensor:
        """Returns the tokens (B, 1 + N, width) that the first block sees, the class token first."""
        grid = self.patch_embed.grid(images.shape[2], images.shape[3])
        patches = self.patch_embed(images)
        # patches.shape[0]: len(patches) would fix the batch size of an exported file.
        tokens = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1).to(patches.dtype), patches], dim=1)
        tokens = tokens + resize_position(self.pos_embed, self.grid, grid).to(tokens.dtype)
        if self.cameras is not None:
            tokens = tokens + self.cameras(camids)[:, None].to(tokens.dtype)
        return self.pos_drop(tokens)


def _jigsaw(jpm: bool, options: dict[str, int | None]) -> Jigsaw | None:
    given = {name: value for name, value in options.items() if value is not None}
    if not jpm:
        for name, value in given.items():
            raise ValueError(f"jpm_{name}: got {value} without jpm, which it would not act on")
        return None
    return Jigsaw(**given)


# Width and heads of DeiT's three sizes (arXiv 2012.12877, table 1).
vit_tiny: Callable[..., nn.Module] = functools.partial(ViT, 192, 3)
vit_small: Callable[..., nn.Module] = functools.partial(ViT, 384, 6)
vit_base: Callable[..., nn.Module] = functools.partial(ViT, 768, 12)
