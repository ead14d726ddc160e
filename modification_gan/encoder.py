"""From images to the noise that would make them: the encoder of the VAE-GANs."""

import torch
from torch import nn

from modification_gan.blocks import count_stages, draw_weights, normalise_spectrum, stage_channels
from modification_gan.conditional_norm import ConditionalBatchNorm

_LARGEST = 10.0  # of a logarithm of a variance; exp beyond it overflows in low precision


class Encoder(nn.Module):
    """Gives mean and variance of the noise of an image.

    Larsen et al., Autoencoding beyond pixels using a learned similarity metric, arXiv 1512.09300. Deviations:
    convolutions of 4 x 4 and one more a doubling of the size, like the discriminator here, where the paper has three of
    5 x 5 and a hidden layer; with groups its batch normalisation is conditional.

    Args:
        height: Rows of the images, a multiple of 32.
        width: Columns of the images, a multiple of 16.
        noise_size: Length of the noise.
        channels: Of the first map; those after it have 2, 4, 8 and 8 times as many.
        num_groups: Groups that may be told; 0 for none.
        spectral: Spectral normalisation (arXiv 1802.05957).
        random: Draws the first weights.
    """

    def __init__(
        self,
        height: int,
        width: int,
        noise_size: int,
        channels: int,
        num_groups: int,
        spectral: bool,
        random: torch.Generator,
    ) -> None:
        super().__init__()
        stages = count_stages(height, width)
        widths = stage_channels(channels, stages)
        self.falls = nn.ModuleList(
            nn.Conv2d(count, following, 4, stride=2, padding=1, bias=False)
            for count, following in zip([3, *widths[:-1]], widths, strict=True)
        )
        self.norms = nn.ModuleList(ConditionalBatchNorm(count, num_groups) for count in widths)
        self.moments = nn.Linear(widths[-1] * (height >> stages) * (width >> stages), 2 * noise_size)
        draw_weights(self, random)
        if spectral:
            normalise_spectrum(self, random)

    def forward(self, images: torch.Tensor, groups: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes images.

        Args:
            images: RGB (B, 3, height, width) in -1..1.
            groups: int64 (B,) in 0..num_groups - 1; not looked at without groups.

        Returns:
            Mean and logarithm of the variance, each (B, noise_size), the latter clipped to -10..10.
        """
        maps = images
        for fall, norm in zip(self.falls, self.norms, strict=True):
            maps = norm(fall(maps), groups).relu()
        mean, log_variance = self.moments(maps.flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-_LARGEST, _LARGEST)
