"""Backbones by name."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from reid.models.agw import AGW
from reid.models.cares18 import cares18
from reid.models.emares18 import emares18
from reid.models.options import GenericOptions
from reid.models.osnet import osnet_ibn_x1_0, osnet_x0_5, osnet_x0_25, osnet_x0_75, osnet_x1_0
from reid.models.osnet_ain import osnet_ain_x1_0
from reid.models.output import ReIDOutput
from reid.models.plr_osnet import plr_osnet
from reid.models.reidlite import reidlite
from reid.models.renorm import convert_to_renorm
from reid.models.resnet import resnet18, resnet50
from reid.models.resnet_ibn import resnet18_ibn_a, resnet50_ibn_a
from reid.models.sedense18 import sedense18
from reid.models.seres18 import seres18
from reid.models.swin import swin_tiny, swinv2_tiny
from reid.models.vit import ViT, vit_base, vit_small, vit_tiny

__all__ = ["MODELS", "GenericOptions", "ReIDOutput", "build_model", "is_vit", "list_models"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "agw": AGW,
    "cares18": cares18,
    "emares18": emares18,
    "osnet_ain_x1_0": osnet_ain_x1_0,
    "osnet_ibn_x1_0": osnet_ibn_x1_0,
    "osnet_x0_25": osnet_x0_25,
    "osnet_x0_5": osnet_x0_5,
    "osnet_x0_75": osnet_x0_75,
    "osnet_x1_0": osnet_x1_0,
    "plr_osnet": plr_osnet,
    "reidlite": reidlite,
    "resnet18": resnet18,
    "resnet18_ibn_a": resnet18_ibn_a,
    "resnet50": resnet50,
    "resnet50_ibn_a": resnet50_ibn_a,
    "sedense18": sedense18,
    "seres18": seres18,
    "swin_tiny": swin_tiny,
    "swinv2_tiny": swinv2_tiny,
    "vit_base": vit_base,
    "vit_small": vit_small,
    "vit_tiny": vit_tiny,
}

# (height, width) in pixels of the images that a network is made for, where it is not the usual one.
INPUT_SIZES: dict[str, tuple[int, int]] = {"reidlite": (192, 96)}


def list_models() -> list[str]:
    """Returns the names that `build_model` knows."""
    return sorted(MODELS)


def is_vit(name: str) -> bool:
    """Returns whether it is one of the ViTs here, which are made for images of one size (`image_size`)."""
    return getattr(MODELS.get(name), "func", None) is ViT


def input_size(name: str) -> tuple[int, int]:
    """Returns (height, width) in pixels of the images that a network is made for; it takes others too."""
    return INPUT_SIZES.get(name, (256, 128))


def build_model(name: str, num_classes: int = 0, **options: Any) -> nn.Module:
    """Builds a model whose forward maps (B, 3, H, W) float32 and camids int64 (B,) or None to a `ReIDOutput`.

    Camera numbers are needed by a model with camera vectors and unused by others.

    Args:
        name: A name from `list_models`, or "timm:NAME" for a network of timm (options: see `TimmBackbone`).
        num_classes: Training identities; 0 builds no classifier.
        options: Options of that model, and those of `GenericOptions`, which every model has.

    Raises:
        ValueError: When the name or an option is unknown, or options contradict each other; the message lists what is
            allowed.
    """
    build = _builder(name)
    own = [parameter for parameter in inspect.signature(build).parameters if parameter not in ("name", "num_classes")]
    shared = [field.name for field in dataclasses.fields(GenericOptions)]
    unknown = sorted(set(options) - {*own, *shared})
    if unknown:
        raise ValueError(f"{name}: unknown option {', '.join(unknown)}; allowed: {', '.join([*own, *shared])}")
    generic = GenericOptions(**{key: value for key, value in options.items() if key in shared})
    model: Any = build(num_classes=num_classes, **{key: value for key, value in options.items() if key in own})
    if generic.cam_factor > 0:
        model.add_cameras(generic.num_cameras, generic.cam_factor)
    if generic.renorm != "off":
        convert_to_renorm(model, instances=generic.renorm_instances, warmup=generic.renorm_warmup)
    return model


def _builder(name: str) -> Callable[..., nn.Module]:
    if name.startswith("timm:"):
        # timm takes seconds to import.
        from reid.models.timm_backbone import TimmBackbone

        return functools.partial(TimmBackbone, name.removeprefix("timm:"))
    if name not in MODELS:
        raise ValueError(f"backbone: got {name!r}, allowed: {', '.join(list_models())}, timm:NAME")
    return MODELS[name]
