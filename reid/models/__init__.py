"""Backbones by name."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from reid.models.cares18 import cares18
from reid.models.output import ReIDOutput
from reid.models.seres18 import seres18

__all__ = ["MODELS", "ReIDOutput", "build_model", "list_models"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "cares18": cares18,
    "seres18": seres18,
}


def list_models() -> list[str]:
    """Returns the names that `build_model` knows."""
    return sorted(MODELS)


def build_model(name: str, num_classes: int = 0, **options: Any) -> nn.Module:
    """Builds a model whose forward maps (B, 3, H, W) float32 to a `ReIDOutput`.

    Args:
        name: A name from `list_models`.
        num_classes: Training identities; 0 builds no classifier.
        options: Options of that model.

    Raises:
        ValueError: When the name or an option is unknown; the message lists the known ones.
    """
    if name not in MODELS:
        raise ValueError(f"backbone: got {name!r}, allowed: {', '.join(list_models())}")
    allowed = [parameter for parameter in inspect.signature(MODELS[name]).parameters if parameter != "num_classes"]
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(f"{name}: unknown option {', '.join(unknown)}; allowed: {', '.join(allowed) or 'none'}")
    return MODELS[name](num_classes, **options)
