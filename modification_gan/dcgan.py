"""DC-GAN, with what later papers added."""

import torch

from modification_gan.adversarial_losses import discriminator_loss, generator_loss
from modification_gan.diff_augment import diff_augment
from modification_gan.discriminator import Discriminator, Norm
from modification_gan.generative_model import Architecture, Batch, GenerativeModel, Losses, Objective, Turn
from modification_gan.generator import Generator


class DCGAN(GenerativeModel):
    """Generator against discriminator (Radford et al., arXiv 1511.06434).

    Deviations, each of which an option takes back: spectral normalisation in the place of the discriminator's batch
    normalisation (arXiv 1802.05957), the hinge loss where asked for, label smoothing (arXiv 1606.03498), augmentation
    of what the discriminator sees (arXiv 2006.10738), a faster discriminator (arXiv 1706.08500). The images of a step
    are the same for both turns.

    Args:
        sizes: Of the networks.
        objective: Of the training.
        random: Draws the first weights.
    """

    def __init__(self, sizes: Architecture, objective: Objective, random: torch.Generator) -> None:
        super().__init__()
        self.objective = objective
        self.source: Generator = build_generator(sizes, random)
        self.discriminator = build_discriminator(sizes, "batch", random)
        self.noise_shape = (sizes.noise_size,)
        self.turns = (Turn("discriminator", ("discriminator",), adversary=True), Turn("generator", ("source",)))

    def losses(self, turn: str, batch: Batch, random: torch.Generator) -> Losses:
        """Returns the loss of "discriminator" or "generator"."""
        kinds, told = self.objective.diff_augment, self.objective
        noise = self.draw_noise(batch, random)
        if turn == "generator":
            fake = diff_augment(self.source(noise, batch.groups), kinds, random)
            loss = generator_loss(self.discriminator(fake, batch.groups).float(), told.adversarial_loss)
            return loss, {"generator": loss.detach()}
        with torch.no_grad():
            fake = self.source(noise, batch.groups)
        real_scores = self.discriminator(diff_augment(batch.images, kinds, random), batch.groups).float()
        fake_scores = self.discriminator(diff_augment(fake, kinds, random), batch.groups).float()
        loss = discriminator_loss(
            real_scores, fake_scores, told.adversarial_loss, told.label_smoothing, told.label_sides
        )
        return loss, {"discriminator": loss.detach()}


def build_discriminator(sizes: Architecture, norm: Norm, random: torch.Generator) -> Discriminator:
    """Builds the discriminator of the GANs; `norm` is its normalisation where that is not spectral."""
    return Discriminator(
        sizes.height,
        sizes.width,
        sizes.ndf,
        sizes.num_groups,
        sizes.attention,
        sizes.spectral_discriminator,
        "none" if sizes.spectral_discriminator else norm,
        random,
    )


def build_generator(sizes: Architecture, random: torch.Generator) -> Generator:
    """Builds the generator of the GANs."""
    return Generator(
        sizes.height,
        sizes.width,
        sizes.noise_size,
        sizes.ngf,
        sizes.num_groups,
        sizes.attention,
        sizes.spectral_generator,
        random,
    )
