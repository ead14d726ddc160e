"""reidlite: this project's own network for real time on processors."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import nn

from reid.models.foreign_names import renamed
from reid.models.heads import BNNeckHead
from reid.models.output import ReIDOutput
from reid.models.reparameterise import BranchedConv
from reid.models.resnet18 import check_last_stride


@dataclasses.dataclass(frozen=True)
class BlockShape:
    """Shape of a `UniversalBlock`, in the letters of arXiv 2404.10518.

    Attributes:
        channels: Of the output, at a width factor of 1.
        start: Kernel of the depthwise convolution before the expansion; 0 has none.
        middle: Kernel of the one behind it; 0 has none.
        expansion: Channels inside, times those of the input.
    """

    channels: int
    start: int
    middle: int
    expansion: float


# The stages of MobileNetV4-conv-small behind its fused ones; the first block of each has its stride.
STAGES: tuple[tuple[BlockShape, ...], ...] = (
    (BlockShape(96, 5, 5, 3), *[BlockShape(96, 0, 3, 2)] * 4, BlockShape(96, 3, 0, 4)),
    (
        BlockShape(128, 3, 3, 6),
        BlockShape(128, 5, 5, 4),
        BlockShape(128, 0, 5, 4),
        BlockShape(128, 0, 5, 3),
        *[BlockShape(128, 0, 3, 4)] * 2,
    ),
)


def scaled(channels: float, width: float) -> int:
    """Returns a count of channels times the width, rounded to a multiple of 16, the blocks of vector units."""
    return max(16, int(channels * width / 16 + 0.5) * 16)


class UniversalBlock(nn.Module):
    """The universal inverted bottleneck of MobileNetV4 (Qin et al., arXiv 2404.10518).

    Depthwise convolution, expansion with ReLU, depthwise convolution with ReLU, projection; either depthwise one may be
    absent. The input is added where shapes allow. The first depthwise convolution and the projection are linear.

    Args:
        in_channels: Of the input.
        shape: Kernels and expansion.
        channels: Of the output.
        stride: Of the second depthwise convolution, or the first one where that is absent.
        branches: Whether the depthwise convolutions have branches in training.
    """

    def __init__(self, in_channels: int, shape: BlockShape, channels: int, stride: int, branches: bool) -> None:
        super().__init__()
        inner = scaled(in_channels * shape.expansion, 1.0)
        parts: list[nn.Module] = []
        if shape.start:
            first = 1 if shape.middle else stride
            parts.append(
                BranchedConv(
                    in_channels, in_channels, shape.start, first, groups=in_channels, relu=False, branches=branches
                )
            )
        parts.append(BranchedConv(in_channels, inner))
        if shape.middle:
            parts.append(BranchedConv(inner, inner, shape.middle, stride, groups=inner, branches=branches))
        parts.append(BranchedConv(inner, channels, relu=False))
        self.body = nn.Sequential(*parts)
        self.shortcut = stride == 1 and in_channels == channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        y = self.body(x)
        return x + y if self.shortcut else y


class ReIDLite(nn.Module):
    """A trunk in the shapes of MobileNetV4-conv-small (arXiv 2404.10518) and this project's head.

    Dense convolutions of 3 x 3 down to an eighth of the input, where depthwise ones would wait for memory; universal
    inverted bottlenecks behind them; ReLU throughout. Kernels of 3 and more, but the first one, have branches in
    training, which `reid.models.reparameterise.reparameterise` merges.

    Deviations from MobileNetV4: the last stage keeps the resolution of the map; the map is widened to the size of
    the embeddings before the pooling, where it has 960 channels before it and 1280 behind; BNNeck.

    Args:
        num_classes: Training identities; 0 builds no classifier.
        width_factor: Factor on the channels of the trunk, rounded to multiples of 16.
        pooling: A key of `reid.models.heads.POOLINGS`.
        last_stride: 1, or 2 as in MobileNetV4.
        embedding_size: D of features and embeddings.
        branches: Whether there are branches in training; without, and with last_stride 2, the trunk is that of
            MobileNetV4-conv-small.

    Attributes:
        embedding_size: D of features and embeddings.

    Raises:
        ValueError: When an option is none of these.
    """

    def __init__(
        self, num_classes: int, width_factor: float, pooling: str, last_stride: int, embedding_size: int, branches: bool
    ) -> None:
        super().__init__()
        check_last_stride(last_stride)
        if not 0.25 <= width_factor <= 4.0:
            raise ValueError(f"width_factor: got {width_factor}, allowed: 0.25 to 4")
        if embedding_size < 16 or embedding_size % 16:
            raise ValueError(f"embedding_size: got {embedding_size}, allowed: multiples of 16")
        stem, early, late = (scaled(channels, width_factor) for channels in (32, 96, 64))
        self.stem = nn.Sequential(
            # No branches: on CPUs the gradient of a strided 1 x 1 kernel on so few channels writes beyond its memory
            # (torch 2.15 with oneDNN 3, channels last).
            BranchedConv(3, stem, 3, 2, branches=False),
            BranchedConv(stem, stem, 3, 2, branches=branches),
            BranchedConv(stem, stem),
            BranchedConv(stem, early, 3, 2, branches=branches),
            BranchedConv(early, late),
        )
        stages: list[nn.Module] = []
        channels = late
        for shapes, first in zip(STAGES, (2, last_stride), strict=True):
            blocks: list[nn.Module] = []
            for number, shape in enumerate(shapes):
                out = scaled(shape.channels, width_factor)
                blocks.append(UniversalBlock(channels, shape, out, 1 if number else first, branches))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.widen = BranchedConv(channels, embedding_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.head = BNNeckHead(embedding_size, num_classes, pooling)
        self.embedding_size = self.head.size

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds camera vectors behind BNNeck."""
        self.head.add_cameras(num_cameras, factor)

    def foreign_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gives the trunk of timm's mobilenetv4_conv_small our names; what is behind it has no place here.

        Branches begin with a scale of 0, so that the trunk computes what it was trained to compute.
        """
        if "conv_stem.weight" not in state:
            return renamed(state)
        result = renamed(state, self._timm_names())
        own = self.state_dict()
        for name in [name for name in result if name.endswith(".norm.weight")]:
            for branch in ("point_norm", "identity_norm"):
                begin = f"{name.removesuffix('norm.weight')}{branch}.weight"
                if begin in own:
                    result[begin] = torch.zeros_like(own[begin])
        return result

    def _timm_names(self) -> dict[str, str]:
        """Returns the beginning of each name there and here."""
        names = {"conv_stem.": "stem.0.conv.", "bn1.": "stem.0.norm."}
        for part in range(4):
            there = f"blocks.{part // 2}.{part % 2}."
            names |= {f"{there}conv.": f"stem.{part + 1}.conv.", f"{there}bn1.": f"stem.{part + 1}.norm."}
        for number, shapes in enumerate(STAGES):
            for block, shape in enumerate(shapes):
                parts = ["dw_start"] * bool(shape.start) + ["pw_exp"] + ["dw_mid"] * bool(shape.middle) + ["pw_proj"]
                for place, part_name in enumerate(parts):
                    there, here = f"blocks.{number + 2}.{block}.{part_name}.", f"stages.{number}.{block}.body.{place}."
                    names |= {f"{there}conv.": f"{here}conv.", f"{there}bn.": f"{here}norm."}
        return names

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput`.

        Args:
            images: float (B, 3, H, W).
            camids: int64 (B,); needed by a model with camera vectors, unused by others.
        """
        return self.head(self.widen(self.stages(self.stem(images))), camids)


def reidlite(
    num_classes: int = 0,
    width_factor: float = 1.0,
    pooling: str = "gem",
    last_stride: int = 1,
    embedding_size: int = 512,
    branches: bool = True,
) -> ReIDLite:
    """Builds reidlite; the arguments are those of `ReIDLite`."""
    return ReIDLite(num_classes, width_factor, pooling, last_stride, embedding_size, branches)
