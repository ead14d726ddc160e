"""What the training loop asks of a generative model."""

import dataclasses
from abc import ABC, abstractmethod

import torch
from torch import nn

from modification_gan.adversarial_losses import Kind, Sides


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Sizes of the networks.

    Attributes:
        height: Rows of the images, a multiple of 32.
        width: Columns of the images, a multiple of 16.
        noise_size: Length of the noise; diffusion has noise of the images' size.
        ngf: Channels of the generator's, encoder's and U-Net's largest map.
        ndf: Channels of the discriminator's largest map.
        num_groups: Groups that may be asked for; 0 for none.
        attention: Rows of the map with self-attention; 0 for none.
        spectral_generator: Spectral normalisation of generator and encoder.
        spectral_discriminator: Spectral normalisation of the discriminator, in the place of another normalisation.
        ddim_steps: Of diffusion's sampling.
    """

    height: int = 128
    width: int = 64
    noise_size: int = 128
    ngf: int = 64
    ndf: int = 64
    num_groups: int = 0
    attention: int = 0
    spectral_generator: bool = False
    spectral_discriminator: bool = True
    ddim_steps: int = 50


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the networks are trained for; each model reads what it has use for.

    Attributes:
        adversarial_loss: Of dcgan and vae-gan.
        label_smoothing: Of their cross entropy.
        label_sides: Where labels are smoothed.
        diff_augment: Kinds of `diff_augment.KINDS`, for all but diffusion.
        similarity_weight: Of the learnt similarity in the decoder's loss of the VAE-GANs.
        critic_steps: Steps of the critic to one of the others, of vae-wgangp.
        penalty_weight: Of its gradient penalty.
    """

    adversarial_loss: Kind = "non-saturating"
    label_smoothing: float = 0.0
    label_sides: Sides = "one"
    diff_augment: tuple[str, ...] = ()
    similarity_weight: float = 1.0
    critic_steps: int = 5
    penalty_weight: float = 10.0


@dataclasses.dataclass(frozen=True)
class Turn:
    """A part of a training step: some networks are moved by one loss, the others stand still.

    Attributes:
        name: Names the loss.
        parts: Names of the networks.
        repeats: How often a step, each time with another batch.
        adversary: Whether it learns at the discriminator's rate.
    """

    name: str
    parts: tuple[str, ...]
    repeats: int = 1
    adversary: bool = False


@dataclasses.dataclass(frozen=True)
class Batch:
    """Training images.

    Attributes:
        images: RGB float32 (B, 3, H, W) in -1..1.
        groups: int64 (B,), or None without groups.
    """

    images: torch.Tensor
    groups: torch.Tensor | None


# A scalar to go down, and the terms of it by name, detached.
Losses = tuple[torch.Tensor, dict[str, torch.Tensor]]


class GenerativeModel(nn.Module, ABC):
    """Networks and their losses.

    Attributes:
        source: Maps noise (B, *noise_shape), and groups int64 (B,) or None, to RGB (B, 3, H, W) in -1..1; the only
            network that sampling needs.
        noise_shape: Of an image's noise, standard normal.
        turns: Of a training step, in their order.
        previews: Images of a sample grid.
    """

    source: nn.Module
    noise_shape: tuple[int, ...]
    turns: tuple[Turn, ...]
    previews: int = 32

    @abstractmethod
    def losses(self, turn: str, batch: Batch, random: torch.Generator) -> Losses:
        """Returns the loss of a turn.

        Args:
            turn: Its name.
            batch: Training images, on the model's device.
            random: All random numbers, on the CPU.
        """

    def part_parameters(self, turn: Turn) -> list[nn.Parameter]:
        """Returns the parameters that a turn moves."""
        return [parameter for name in turn.parts for parameter in self.get_submodule(name).parameters()]

    def draw_noise(self, batch: Batch, random: torch.Generator) -> torch.Tensor:
        """Returns standard normal noise for as many images as the batch has, on its device."""
        noise = torch.randn(len(batch.images), *self.noise_shape, generator=random)
        return noise.to(batch.images.device)
