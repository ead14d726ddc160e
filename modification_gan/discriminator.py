"""Real or generated: the discriminator of all GANs, and the critic of the Wasserstein one."""

from typing import Literal

import torch
from torch import nn

from modification_gan.blocks import attention_stage, count_stages, draw_weights, normalise_spectrum, stage_channels
from modification_gan.self_attention import SelfAttention

Norm = Literal["batch", "layer", "none"]
_SLOPE = 0.2


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(1, channels) if kind == "layer" else nn.Identity()


class Discriminator(nn.Module):
    """Scores images, the higher the more real.

    DC-GAN's (arXiv 1511.06434): convolutions of 4 x 4 with stride 2, leaky ReLU of slope 0.2, no normalisation at the
    first one. With groups the score has the inner product of the group's vector with the pooled last map added (the
    projection discriminator of Miyato and Koyama, arXiv 1802.05637). Deviations: as those of `Generator`; the map is
    pooled by its mean, where that paper sums, so that the group counts alike at every size; the part without a group is
    DC-GAN's last full-size convolution and not pooled, as people stand upright.

    Args:
        height: Rows of the images, a multiple of 32.
        width: Columns of the images, a multiple of 16.
        channels: Of the first map, ndf; those after it have 2, 4, 8 and 8 times as many.
        num_groups: Groups that may be told; 0 for none.
        attention: Rows of the map with self-attention; 0 for none.
        spectral: Spectral normalisation (arXiv 1802.05957).
        norm: "batch" as in DC-GAN, "layer" (one mean and deviation an image) for gradient penalties, which know no
            batches, or "none", as is usual with spectral normalisation.
        random: Draws the first weights.

    Raises:
        ValueError: When a size is outside its range.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        num_groups: int,
        attention: int,
        spectral: bool,
        norm: Norm,
        random: torch.Generator,
    ) -> None:
        super().__init__()
        stages = count_stages(height, width)
        widths = stage_channels(channels, stages)
        self._attentive = attention_stage(attention, height, stages)
        self.falls = nn.ModuleList(
            nn.Conv2d(count, following, 4, stride=2, padding=1)
            for count, following in zip([3, *widths[:-1]], widths, strict=True)
        )
        kinds: list[Norm] = ["none", *[norm] * (stages - 1)]
        self.norms = nn.ModuleList(_norm(kind, count) for kind, count in zip(kinds, widths, strict=True))
        self.attention = None if self._attentive is None else SelfAttention(widths[self._attentive])
        self.score = nn.Linear(widths[-1] * (height >> stages) * (width >> stages), 1)
        self.groups = nn.Embedding(num_groups, widths[-1]) if num_groups else None
        draw_weights(self, random)
        if spectral:
            normalise_spectrum(self, random)

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the last map but one, by which the VAE-GANs measure similarity, and the last map."""
        maps, before = images, images
        for stage, (fall, norm) in enumerate(zip(self.falls, self.norms, strict=True)):
            before = maps
            maps = nn.functional.leaky_relu(norm(fall(maps)), _SLOPE)
            if self.attention is not None and stage == self._attentive:
                maps = self.attention(maps)
        return before, maps

    def forward(self, images: torch.Tensor, groups: torch.Tensor | None = None) -> torch.Tensor:
        """Scores images.

        Args:
            images: RGB (B, 3, height, width) in -1..1.
            groups: int64 (B,) in 0..num_groups - 1; not looked at without groups.

        Returns:
            (B,), logits of "real".
        """
        maps = self.features(images)[1]
        scores = self.score(maps.flatten(1)).squeeze(1)
        if self.groups is None:
            return scores
        assert groups is not None
        return scores + (self.groups(groups) * maps.mean((2, 3))).sum(1)
