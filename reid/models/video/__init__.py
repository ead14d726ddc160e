"""Models of tracklets by name."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from reid.models.video.frames import frame_model
from reid.models.video.resnet3d import resnet3d18, resnet3d50
from reid.models.video.temporal import TEMPORAL_POOLINGS

__all__ = ["TEMPORAL_POOLINGS", "VIDEO_MODELS", "build_video_model", "list_video_models"]

DEFAULT_BACKBONE = "cares18"


def _pooled(temporal: str) -> Callable[..., nn.Module]:
    def build(num_classes: int, backbone: str, height: int, width: int, **options: Any) -> nn.Module:
        backbone = DEFAULT_BACKBONE if backbone == "default" else backbone
        return frame_model(temporal, backbone, num_classes, (height, width), **options)

    return build


def _volumetric(name: str, build_network: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def build(num_classes: int, backbone: str, height: int, width: int, **options: Any) -> nn.Module:
        if backbone != "default":
            raise ValueError(f"backbone: got {backbone!r} with {name}, which is a network of its own; leave it out")
        known = [parameter for parameter in inspect.signature(build_network).parameters if parameter != "num_classes"]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"{name}: unknown option {', '.join(unknown)}; allowed: {', '.join(known)}")
        return build_network(num_classes, **options)

    return build


VIDEO_MODELS: dict[str, Callable[..., nn.Module]] = {
    "average": _pooled("average"),
    "attention": _pooled("attention"),
    "lstm": _pooled("lstm"),
    "resnet3d18": _volumetric("resnet3d18", resnet3d18),
    "resnet3d50": _volumetric("resnet3d50", resnet3d50),
}


def list_video_models() -> list[str]:
    """Returns the names that `build_video_model` knows."""
    return list(VIDEO_MODELS)


def build_video_model(
    name: str,
    backbone: str = "default",
    num_classes: int = 0,
    *,
    height: int = 256,
    width: int = 128,
    **options: Any,
) -> nn.Module:
    """Builds a model whose forward maps tracklets (B, T, 3, H, W) to a `ReIDOutput`, one embedding a tracklet.

    Every model takes any T from 1 on. Camera numbers are accepted and unused.

    Args:
        name: "average", "attention" and "lstm" pool the frames of a backbone over time; "resnet3d18" and "resnet3d50"
            convolve over space and time.
        backbone: A name from `reid.models.list_models`, or "default": cares18 for the first three, none for the others.
        num_classes: Training identities; 0 builds no classifier.
        height: Rows of the frames; the weights of "attention" depend on it, those of the others do not.
        width: Columns of the frames, likewise.
        options: Options of the backbone, or of the 3-D network; and hidden, the inner size of "attention" (256 channels
            between its convolutions) and "lstm" (512, its state and the embedding).

    Raises:
        ValueError: When a name or an option is unknown, or a 3-D network is given a backbone.
    """
    if name not in VIDEO_MODELS:
        raise ValueError(f"video model: got {name!r}, allowed: {', '.join(VIDEO_MODELS)}")
    return VIDEO_MODELS[name](num_classes, backbone, height, width, **options)
