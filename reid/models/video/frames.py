"""A backbone for images, frame by frame, with pooling over time."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from reid.models import GenericOptions, build_model
from reid.models.foreign_names import renamed
from reid.models.heads import BNNeckHead
from reid.models.output import ReIDOutput
from reid.models.video.clips import check_clips
from reid.models.video.temporal import TEMPORAL_POOLINGS


class _Through(nn.Module):
    """Stands where a head was: what it is given comes out."""

    def forward(self, x: torch.Tensor, camids: torch.Tensor | None = None) -> torch.Tensor:
        return x


class FrameFeatures(nn.Module):
    """Maps frames to feature maps and, by the backbone's own pooling, to features.

    A backbone that ends in a `BNNeckHead` gives it away: its pooling (and projection) makes the frame features, and
    the map before it is the map. Of any other backbone, as one with several branches, the features before BNNeck are
    both, as a map of 1 x 1; the BNNecks themselves are taken out, because the tracklet gets one of its own.

    Args:
        backbone: Changed in place.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        head = getattr(backbone, "head", None)
        self.pool: nn.Module = nn.Identity()
        self.size = int(backbone.embedding_size)  # type: ignore[arg-type]
        if isinstance(head, BNNeckHead):
            self.pool = nn.Sequential(head.pool, head.projection)
            self.size = head.size
            backbone.head = _Through()
        else:
            for neck in [part for part in backbone.modules() if isinstance(part, BNNeckHead)]:
                neck.bottleneck = nn.Identity()  # type: ignore[assignment]
        self.backbone = backbone

    def foreign_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gives weights of the backbone as a network of images, from here or from elsewhere, the names here.

        The BNNeck and the classifier behind them belong to single images and have no place here.
        """
        rename = getattr(self.backbone, "foreign_state", dict)
        moved = {"head.pool.": "pool.0.", "head.projection.": "pool.1."} if isinstance(self.pool, nn.Sequential) else {}
        return renamed(rename(state), moved | {"": "backbone."})

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps (N, 3, H, W) to features (N, D) and maps (N, C, h, w)."""
        found = self.backbone(images)
        maps = found.features if isinstance(found, ReIDOutput) else found
        features = self.pool(maps)
        return features, maps if maps.ndim == 4 else maps[:, :, None, None]


class FrameVideoModel(nn.Module):
    """Frame features, pooled over time, then BNNeck and classifier.

    Args:
        backbone: A model of images without classifier.
        temporal: A key of `TEMPORAL_POOLINGS`.
        num_classes: Training identities; 0 builds no classifier.
        input_size: (height, width) of the frames.
        hidden: Of the pooling; None takes its default. "average" has none.

    Attributes:
        embedding_size: D of features and embeddings.

    Raises:
        ValueError: When the pooling is unknown, or `hidden` is out of range or given to one that has none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        temporal: str,
        num_classes: int,
        input_size: tuple[int, int],
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        if temporal not in TEMPORAL_POOLINGS:
            raise ValueError(f"temporal: got {temporal!r}, allowed: {', '.join(TEMPORAL_POOLINGS)}")
        pooling = TEMPORAL_POOLINGS[temporal]
        if hidden is not None and (hidden < 1 or "hidden" not in inspect.signature(pooling).parameters):
            raise ValueError(f"hidden: got {hidden} with {temporal}, allowed: 1 or more, with attention and lstm")
        told = {} if hidden is None else {"hidden": hidden}
        self.frames = FrameFeatures(backbone)
        channels, height, width = self._map_shape(input_size)
        self.temporal = pooling(self.frames.size, channels, (height, width), **told)
        self.embedding_size = int(self.temporal.size)  # type: ignore[arg-type]
        self.head = BNNeckHead(self.embedding_size, num_classes, pooling="none")

    @torch.no_grad()
    def _map_shape(self, input_size: tuple[int, int]) -> tuple[int, ...]:
        self.frames.eval()  # running statistics shall not see the blank image
        shape = tuple(self.frames(torch.zeros(1, 3, *input_size))[1].shape[1:])
        self.frames.train()
        return shape

    def foreign_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gives weights of the backbone the names here, see `FrameFeatures`; those of such a network have them."""
        if any(name.startswith("frames.") for name in state):
            return dict(state)
        return {f"frames.{name}": tensor for name, tensor in self.frames.foreign_state(state).items()}

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised tracklets (B, T, 3, H, W) to a `ReIDOutput` of B rows.

        Args:
            images: float.
            camids: Unused.

        Raises:
            ValueError: When images have another number of dimensions.
        """
        check_clips(images)
        shape = images.shape[:2]
        frames = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features, maps = self.frames(frames)
        return self.head(self.temporal(features.unflatten(0, shape), maps.unflatten(0, shape)))


def frame_model(
    temporal: str,
    backbone: str,
    num_classes: int,
    input_size: tuple[int, int],
    hidden: int | None = None,
    **options: Any,
) -> FrameVideoModel:
    """Builds a `FrameVideoModel` on a backbone of the zoo.

    Args:
        temporal: A key of `TEMPORAL_POOLINGS`.
        backbone: A name from `reid.models.list_models`.
        num_classes: Training identities.
        input_size: (height, width) of the frames.
        hidden: See `FrameVideoModel`.
        options: The backbone's own. Camera vectors and batch renormalisation are for images only.

    Raises:
        ValueError: When a name or an option is unknown.
    """
    generic = sorted(set(options) & set(GenericOptions.__dataclass_fields__))
    if generic:
        raise ValueError(f"{', '.join(generic)}: got a value with {temporal} pooling over time, allowed: images only")
    return FrameVideoModel(build_model(backbone, 0, **options), temporal, num_classes, input_size, hidden)
