"""The small ViT of the tests, and numbers for what new transformers leave at 0 and 1."""

from typing import Any

import torch

from reid.models import build_model

SMALL: dict[str, Any] = {"image_size": (64, 32)}
JPM = SMALL | {"jpm": True, "stride": 12}


def lively(model: torch.nn.Module) -> torch.nn.Module:
    """Gives biases and LayerNorms numbers of their own, which a new network has not."""
    for parameter in model.parameters():
        if parameter.ndim <= 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def build(**options: Any) -> torch.nn.Module:
    """Returns a vit_tiny of three people for images of 64 x 32, the same in every call."""
    torch.manual_seed(0)
    return build_model("vit_tiny", 3, **SMALL | options)
