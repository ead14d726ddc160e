"""The generative models by name."""

from collections.abc import Callable

import torch
from torch import nn

from modification_gan.dcgan import DCGAN, build_generator
from modification_gan.diffusion import Diffuser, Diffusion
from modification_gan.generative_model import Architecture, GenerativeModel, Objective
from modification_gan.vae_gan import VAEGAN
from modification_gan.vae_wgan_gp import VAEWGANGP

MODELS: dict[str, type[GenerativeModel]] = {
    "dcgan": DCGAN,
    "vae-gan": VAEGAN,
    "vae-wgangp": VAEWGANGP,
    "diffusion": Diffusion,
}
_SOURCES: dict[str, Callable[[Architecture, torch.Generator], nn.Module]] = {"diffusion": Diffuser}


def build_model(name: str, sizes: Architecture, objective: Objective, seed: int) -> GenerativeModel:
    """Builds a model with fresh weights, on the CPU.

    Args:
        name: One of `MODELS`.
        sizes: Of the networks.
        objective: Of the training.
        seed: Of the weights.

    Raises:
        ValueError: When the name is unknown or a size is outside its range.
        ModuleNotFoundError: When diffusion is asked for without diffusers.
    """
    if name not in MODELS:
        raise ValueError(f"model: got {name!r}, allowed: {', '.join(MODELS)}")
    random = torch.Generator().manual_seed(seed)
    return MODELS[name](sizes, objective, random)  # type: ignore[call-arg, arg-type]


def build_source(name: str, sizes: Architecture) -> nn.Module:
    """Builds the network that makes the images of a model, its weights to be loaded.

    Raises:
        ValueError: When the name is unknown or a size is outside its range.
    """
    if name not in MODELS:
        raise ValueError(f"model: got {name!r}, allowed: {', '.join(MODELS)}")
    return _SOURCES.get(name, build_generator)(sizes, torch.Generator().manual_seed(0))
