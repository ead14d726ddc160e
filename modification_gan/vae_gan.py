"""An autoencoder whose decoder is a GAN's generator, and whose measure of likeness is its discriminator's."""

import torch
from torch import nn

from modification_gan.adversarial_losses import discriminator_loss, generator_loss
from modification_gan.dcgan import build_discriminator, build_generator
from modification_gan.diff_augment import diff_augment
from modification_gan.discriminator import Norm
from modification_gan.encoder import Encoder
from modification_gan.generative_model import Architecture, Batch, GenerativeModel, Losses, Objective, Turn
from modification_gan.generator import Generator


class VAEGAN(GenerativeModel):
    """VAE-GAN (Larsen et al., Autoencoding beyond pixels using a learned similarity metric, arXiv 1512.09300).

    The encoder goes down on prior + similarity, the decoder on weight x similarity + what it wants of the
    discriminator's scores, the discriminator tells images from decoded ones, be these of encoded images or of noise.
    Similarity is half the squared distance of the discriminator's last map but one, summed over its values for the
    encoder, as in the paper.
    Deviations: the networks are those of DC-GAN here; the three turns of a step use the same images but new noise, one
    after the other; decoded images and those made of noise count half each against the real ones; distances are in
    units of the features' variance over the batch, where the paper's Gaussian has variance 1, as spectral normalisation
    makes features small; the decoder's similarity is a mean over values, so that its weight does not depend on the size
    of the images; augmentation is for scores, not for similarity; Adam in the place of RMSProp; and what `DCGAN` lists.

    Args:
        sizes: Of the networks.
        objective: Of the training.
        random: Draws the first weights.
    """

    def __init__(self, sizes: Architecture, objective: Objective, random: torch.Generator) -> None:
        super().__init__()
        self.objective = objective
        self.encoder = Encoder(
            sizes.height,
            sizes.width,
            sizes.noise_size,
            sizes.ngf,
            sizes.num_groups,
            sizes.spectral_generator,
            random,
        )
        self.source: Generator = build_generator(sizes, random)
        self.discriminator = build_discriminator(sizes, self.norm(), random)
        self.noise_shape = (sizes.noise_size,)
        self.turns = (
            Turn("discriminator", ("discriminator",), self.adversary_steps(), adversary=True),
            Turn("encoder", ("encoder",)),
            Turn("decoder", ("source",)),
        )

    def norm(self) -> Norm:
        """Returns the discriminator's normalisation where it is not spectral."""
        return "batch"

    def adversary_steps(self) -> int:
        """Returns the discriminator's steps to one of the others."""
        return 1

    def losses(self, turn: str, batch: Batch, random: torch.Generator) -> Losses:
        """Returns the loss of "discriminator", "encoder" or "decoder"."""
        if turn == "encoder":
            return self._encoder_losses(batch, random)
        with torch.no_grad():
            mean, log_variance = self.encoder(batch.images, batch.groups)
            code = self._code(mean, log_variance, random)
        noise = self.draw_noise(batch, random)
        if turn == "decoder":
            return self._decoder_losses(batch, code, noise, random)
        with torch.no_grad():
            decoded, made = self.source(code, batch.groups), self.source(noise, batch.groups)
        return self.adversary_losses(batch, (decoded, made), random)

    def _encoder_losses(self, batch: Batch, random: torch.Generator) -> Losses:
        mean, log_variance = self.encoder(batch.images, batch.groups)
        mean, log_variance = mean.float(), log_variance.float()
        prior = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        decoded = self.source(self._code(mean, log_variance, random), batch.groups)
        likeness, values = self._likeness(batch.images, decoded)
        total = prior + values * likeness
        return total, {"encoder": total.detach(), "prior": prior.detach(), "similarity": likeness.detach()}

    def _decoder_losses(self, batch: Batch, code: torch.Tensor, noise: torch.Tensor, random: torch.Generator) -> Losses:
        decoded, made = self.source(code, batch.groups), self.source(noise, batch.groups)
        likeness, _ = self._likeness(batch.images, decoded)
        fooled = sum(self.fooling_loss(self.seen(fake, random), batch.groups) for fake in (decoded, made)) / 2
        total = self.objective.similarity_weight * likeness + fooled
        return total, {"decoder": total.detach()}

    def adversary_losses(
        self, batch: Batch, fakes: tuple[torch.Tensor, torch.Tensor], random: torch.Generator
    ) -> Losses:
        """Returns the discriminator's loss: `fakes` are decoded images and images made of noise."""
        told = self.objective
        real = self.discriminator(self.seen(batch.images, random), batch.groups).float()
        scores = [self.discriminator(self.seen(fake, random), batch.groups).float() for fake in fakes]
        loss = discriminator_loss(
            real, torch.cat(scores), told.adversarial_loss, told.label_smoothing, told.label_sides
        )
        return loss, {"discriminator": loss.detach()}

    def fooling_loss(self, fake: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
        """Returns what the decoder wants of the discriminator's scores of images that it sees."""
        return generator_loss(self.discriminator(fake, groups).float(), self.objective.adversarial_loss)

    def seen(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Returns images as the discriminator sees them."""
        return diff_augment(images, self.objective.diff_augment, random)

    def _likeness(self, images: torch.Tensor, decoded: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Returns half the mean squared distance in units of the features' variance, and the values of an image."""
        with torch.no_grad():
            wanted = self.discriminator.features(images)[0].float()
            # Over the batch; a single image, or equal ones, have none.
            variance = wanted.var(0, unbiased=False).mean().clamp_min(1e-8)
        found = self.discriminator.features(decoded)[0].float()
        return 0.5 * nn.functional.mse_loss(found, wanted) / variance, wanted[0].numel()

    @staticmethod
    def _code(mean: torch.Tensor, log_variance: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        noise = torch.randn(mean.shape, generator=random).to(mean.device)
        return mean.float() + noise * (0.5 * log_variance.float()).exp()
