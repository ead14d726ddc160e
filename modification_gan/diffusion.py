"""A small diffusion model on the library `diffusers`, an extra: `pip install diffusers`."""

import importlib
import math
from typing import Any

import torch
from torch import nn

from modification_gan.generative_model import Architecture, Batch, GenerativeModel, Losses, Objective, Turn

_NOISE_LEVELS = 1000


def _diffusers() -> Any:
    try:
        return importlib.import_module("diffusers")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "model: diffusion needs the library diffusers, which is not installed: pip install diffusers"
        ) from error


class Diffuser(nn.Module):
    """A U-Net that tells the noise in an image, and the way from noise to images with it.

    Sampling is DDIM without new noise (Song et al., arXiv 2010.02502), so that the first noise alone decides an image.
    Deviation: the image that each step foresees is clipped to -1..1, as DDPM's code does.
    The U-Net is diffusers' `UNet2DModel` with three halvings of ngf, 2, 2 and 4 times ngf channels; with groups their
    vectors are added to those of the noise level.

    Args:
        sizes: Of the network; `attention` is the rows of the map with self-attention, 0 for none; wherever it is, the
            smallest map in the U-Net's middle has it too.
        random: Seeds the first weights.

    Raises:
        ModuleNotFoundError: When diffusers is not installed.
        ValueError: When a size is outside its range.
    """

    def __init__(self, sizes: Architecture, random: torch.Generator) -> None:
        super().__init__()
        library = _diffusers()
        if not 1 <= sizes.ddim_steps <= _NOISE_LEVELS:
            raise ValueError(f"ddim_steps: got {sizes.ddim_steps}, allowed: 1 to {_NOISE_LEVELS}")
        if sizes.ngf % 8:
            raise ValueError(f"ngf: got {sizes.ngf} with diffusion, allowed: a multiple of 8")
        widths = [sizes.ngf, 2 * sizes.ngf, 2 * sizes.ngf, 4 * sizes.ngf]
        heights = [sizes.height >> level for level in range(len(widths))]
        if sizes.attention and sizes.attention not in heights:
            raise ValueError(
                f"attention: got {sizes.attention} rows, allowed: 0 (none), {', '.join(map(str, heights))}"
            )
        attends = [rows == sizes.attention for rows in heights]
        self.ddim_steps = sizes.ddim_steps
        with torch.random.fork_rng(devices=[]):  # the library draws from the global generator
            torch.manual_seed(int(torch.randint(2**62, (), generator=random)))
            self.unet: nn.Module = library.UNet2DModel(
                sample_size=(sizes.height, sizes.width),
                block_out_channels=tuple(widths),
                layers_per_block=1,
                down_block_types=tuple("AttnDownBlock2D" if yes else "DownBlock2D" for yes in attends),
                up_block_types=tuple("AttnUpBlock2D" if yes else "UpBlock2D" for yes in attends[::-1]),
                attention_head_dim=math.gcd(sizes.ngf, 32),
                add_attention=bool(sizes.attention),
                norm_num_groups=8,
                num_class_embeds=sizes.num_groups or None,
            )
        self.added = library.DDPMScheduler(num_train_timesteps=_NOISE_LEVELS)
        self._scheduler = library.DDIMScheduler(num_train_timesteps=_NOISE_LEVELS)

    def predict(self, images: torch.Tensor, levels: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
        """Returns the noise (B, 3, H, W) in images at noise levels int64 (B,) of 0..999."""
        count: int | None = self.unet.config.num_class_embeds  # type: ignore[union-attr, assignment]
        if count is not None and groups is None:
            raise ValueError(f"groups: got none, allowed: a tensor of B numbers in 0..{count - 1}")
        return self.unet(images, levels, class_labels=None if count is None else groups).sample

    def forward(self, noise: torch.Tensor, groups: torch.Tensor | None = None) -> torch.Tensor:
        """Makes images.

        Args:
            noise: (B, 3, height, width), standard normal.
            groups: int64 (B,) in 0..num_groups - 1; not looked at without groups.

        Returns:
            RGB (B, 3, height, width) in -1..1.
        """
        self._scheduler.set_timesteps(self.ddim_steps)
        images = noise
        for level in self._scheduler.timesteps:
            levels = torch.full((len(images),), int(level), dtype=torch.int64, device=images.device)
            found = self.predict(images, levels, groups).float()
            images = self._scheduler.step(found, level, images, eta=0.0).prev_sample
        return images.clamp(-1, 1)


class Diffusion(GenerativeModel):
    """Learns to tell the noise that was added to images (Ho et al., DDPM, arXiv 2006.11239).

    The mean squared error of the noise at uniformly drawn levels of 1,000, the paper's simple loss and its linear
    schedule. Deviations: a smaller U-Net with self-attention in two maps at most; sampling is `Diffuser`'s.

    Args:
        sizes: Of the network.
        objective: Nothing of it concerns this model.
        random: Seeds the first weights.
    """

    def __init__(self, sizes: Architecture, objective: Objective, random: torch.Generator) -> None:
        super().__init__()
        self.source: Diffuser = Diffuser(sizes, random)
        self.noise_shape = (3, sizes.height, sizes.width)
        self.turns = (Turn("noise", ("source",)),)
        self.previews = 16  # each costs as much as dozens of a GAN's

    def losses(self, turn: str, batch: Batch, random: torch.Generator) -> Losses:
        """Returns the loss of "noise"."""
        noise = self.draw_noise(batch, random)
        levels = torch.randint(_NOISE_LEVELS, (len(noise),), generator=random).to(noise.device)
        mixed = self.source.added.add_noise(batch.images, noise, levels)
        loss = nn.functional.mse_loss(self.source.predict(mixed, levels, batch.groups).float(), noise)
        return loss, {"noise": loss.detach()}
