"""A VAE-GAN whose adversary is a Wasserstein critic with a gradient penalty."""

import torch

from modification_gan.adversarial_losses import critic_loss
from modification_gan.discriminator import Norm
from modification_gan.generative_model import Batch, Losses
from modification_gan.gradient_penalty import gradient_penalty
from modification_gan.vae_gan import VAEGAN


class VAEWGANGP(VAEGAN):
    """The autoencoder of `VAEGAN` (arXiv 1512.09300) against the critic of Gulrajani et al. (arXiv 1704.00028).

    The critic takes several steps to one of the others, each with images of its own, and pays for slopes other than 1;
    no weight is clamped. Without spectral normalisation it has layer normalisation, as that paper recommends: a batch's
    statistics would let one image's score depend on the others. The penalty is taken half between real and decoded
    images and half between real ones and those made of noise, as augmented.
    """

    def norm(self) -> Norm:
        """Returns the critic's normalisation where it is not spectral."""
        return "layer"

    def adversary_steps(self) -> int:
        """Returns the critic's steps to one of the others."""
        return self.objective.critic_steps

    def adversary_losses(
        self, batch: Batch, fakes: tuple[torch.Tensor, torch.Tensor], random: torch.Generator
    ) -> Losses:
        """Returns the critic's loss and its penalty."""
        real = self.seen(batch.images, random)
        faked = [self.seen(fake, random) for fake in fakes]
        scores = [self.discriminator(images, batch.groups).float() for images in (real, *faked)]
        distance = critic_loss(scores[0], torch.cat(scores[1:]))
        penalties = [
            gradient_penalty(lambda images: self.discriminator(images, batch.groups), real, images, random)
            for images in faked
        ]
        penalty = (penalties[0] + penalties[1]) / 2
        total = distance + self.objective.penalty_weight * penalty
        return total, {"discriminator": total.detach(), "critic": distance.detach(), "penalty": penalty.detach()}

    def fooling_loss(self, fake: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
        """Returns what the decoder wants of the critic: higher scores."""
        return -self.discriminator(fake, groups).float().mean()
