"""From noise to images: DC-GAN's generator, also the decoder of the VAE-GANs."""

import torch
from torch import nn

from modification_gan.blocks import attention_stage, count_stages, draw_weights, normalise_spectrum, stage_channels
from modification_gan.conditional_norm import ConditionalBatchNorm
from modification_gan.self_attention import SelfAttention


class Generator(nn.Module):
    """Turns noise into images by fractionally strided convolutions.

    Radford et al., Unsupervised representation learning with deep convolutional GANs, arXiv 1511.06434: transposed
    convolutions of 4 x 4 with stride 2, batch normalisation and ReLU, tanh at the end. Deviations: five stages from
    4 x 2 to 128 x 64, where the paper has four from 4 x 4 to 64 x 64; batch normalisation may be conditional (arXiv
    1802.05637), one map may have self-attention (arXiv 1805.08318), weights may be spectrally normalised (ditto).

    Args:
        height: Rows of the images, a multiple of 32.
        width: Columns of the images, a multiple of 16.
        noise_size: Length of the noise.
        channels: Of the map before the image, ngf; those before it have 2, 4, 8 and 8 times as many.
        num_groups: Groups that may be asked for; 0 for none.
        attention: Rows of the map with self-attention; 0 for none.
        spectral: Spectral normalisation.
        random: Draws the first weights.

    Raises:
        ValueError: When a size is outside its range.
    """

    def __init__(
        self,
        height: int,
        width: int,
        noise_size: int,
        channels: int,
        num_groups: int,
        attention: int,
        spectral: bool,
        random: torch.Generator,
    ) -> None:
        super().__init__()
        if noise_size < 1:
            raise ValueError(f"noise_size: got {noise_size}, allowed: 1 or more")
        stages = count_stages(height, width)
        widths = stage_channels(channels, stages)[::-1]
        place = attention_stage(attention, height, stages)
        self.noise_size = noise_size
        self._first = (widths[0], height >> stages, width >> stages)
        self.project = nn.Linear(noise_size, widths[0] * self._first[1] * self._first[2], bias=False)
        self.norms = nn.ModuleList(ConditionalBatchNorm(count, num_groups) for count in widths)
        self.rises = nn.ModuleList(
            nn.ConvTranspose2d(count, following, 4, stride=2, padding=1, bias=following == 3)
            for count, following in zip(widths, [*widths[1:], 3], strict=True)
        )
        self._attentive = None if place is None else stages - 1 - place
        self.attention = None if self._attentive is None else SelfAttention(widths[self._attentive])
        draw_weights(self, random)
        if spectral:
            normalise_spectrum(self, random)

    def forward(self, noise: torch.Tensor, groups: torch.Tensor | None = None) -> torch.Tensor:
        """Makes images.

        Args:
            noise: (B, noise_size), standard normal.
            groups: int64 (B,) in 0..num_groups - 1; not looked at without groups.

        Returns:
            RGB (B, 3, height, width) in -1..1.
        """
        maps = self.project(noise).unflatten(1, self._first)
        for stage, (norm, rise) in enumerate(zip(self.norms, self.rises, strict=True)):
            maps = norm(maps, groups).relu()
            if self.attention is not None and stage == self._attentive:
                maps = self.attention(maps)
            maps = rise(maps)
        return maps.tanh()
