"""Generated images in a training: what the loss, the sampler and the loop are given."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn

from reid.data.base import Split, relabel
from reid.data.generated_mix import GeneratedMix
from reid.data.images import Preprocessing
from reid.data.loader import ImageDataset
from reid.data.sharding import BatchShare
from reid.embedder import Embedder
from reid.evaluation import embed_samples
from reid.losses import CombinedLoss, LossWithGenerated
from reid.synthetic_images import GeneratedImages
from reid.synthetic_labels import lsro_targets, pseudo_targets
from reid.synthetic_options import SyntheticOptions
from reid.torch_backend import TorchBackend

_CHUNK = 128  # images embedded at a time

BeforeEpoch = Callable[[int, nn.Module], None]


@dataclasses.dataclass(frozen=True)
class GeneratedPart:
    """The generated images of one training, as `reid.training.build_image_trainer` takes them.

    Attributes:
        images: What they are.
        options: How they act.
        loss: The training's loss, which holds their labels.
    """

    images: GeneratedImages
    options: SyntheticOptions
    loss: LossWithGenerated

    def per_batch(self, real: int) -> int:
        """Returns the generated images in a batch with so many real ones.

        Raises:
            ValueError: When the ratio makes none.
        """
        count = round(self.options.ratio() * real)
        if not count:
            raise ValueError(
                f"synthetic_ratio: got {self.options.ratio()} with {real} images a batch, which makes no generated "
                f"image; allowed: 0, or {1 / real:.3g} or more"
            )
        return count

    def mix(self, share: BatchShare, first: int, seed: int) -> GeneratedMix:
        """Returns a process's batches with generated images behind its real ones.

        Args:
            share: Its batches of real images.
            first: Index of the first generated image.
            seed: Of the order.
        """
        per_batch = self.per_batch(share.batch_size)
        return GeneratedMix(share, first, len(self.images.samples), per_batch, seed, self.options.start())

    def before_epoch(
        self, dataset: ImageDataset, num_real: int, preprocessing: Preprocessing, accelerator: Accelerator
    ) -> BeforeEpoch | None:
        """Returns what labels the images at the start of an epoch; None where labels stay.

        Args:
            dataset: Real images, then generated ones.
            num_real: How many are real.
            preprocessing: What the network's input wants.
            accelerator: Its device and precision are used.
        """
        if not self.options.relabels():
            return None
        precision = {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)

        def label(epoch: int, model: nn.Module) -> None:
            if epoch <= self.options.start():
                return
            backend = TorchBackend(model, preprocessing, accelerator.device, precision)
            rows = _unit(_embedded(backend, dataset))
            targets = pseudo_targets(
                rows[num_real:], rows[:num_real], dataset.pids[:num_real].tolist(), self.options.temperature()
            )
            # GPUs do not promise the same last digits on every process; the loss has to be the same.
            self.loss.set_targets(broadcast(targets.to(accelerator.device)))

        return label


def _embedded(backend: TorchBackend, dataset: ImageDataset) -> np.ndarray:
    starts = range(0, len(dataset), _CHUNK)
    chunks: list[Sequence[int]] = [range(start, min(start + _CHUNK, len(dataset))) for start in starts]
    return np.concatenate([backend(dataset.__getitems__(list(chunk))["images"].numpy()) for chunk in chunks])


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def build_generated(
    images: GeneratedImages,
    options: SyntheticOptions,
    loss: CombinedLoss,
    train: Split,
    *,
    cross_entropy_weight: float,
    temperature: float,
    device: torch.device,
) -> GeneratedPart:
    """Labels generated images and joins them to the loss of a training.

    Args:
        images: What they are.
        options: How they act.
        loss: Of the real images.
        train: The real training images.
        cross_entropy_weight: Of the real images' cross entropy, which the generated ones share.
        temperature: Divides the logits, as it does for real images.
        device: Where --synthetic-ckpt embeds.

    Raises:
        FileNotFoundError: When --synthetic-ckpt or an image is missing.
        ValueError: When labels cannot be made; the message says why.
    """
    targets = _targets(images, options, train, device)
    weight = cross_entropy_weight * options.weight()
    joined = LossWithGenerated(loss, targets, weight, temperature, keep_targets=options.relabels())
    return GeneratedPart(images, options, joined)


def _targets(images: GeneratedImages, options: SyntheticOptions, train: Split, device: torch.device) -> torch.Tensor:
    labels = relabel(train)
    if options.labels() == "group":
        return images.group_targets(labels)
    if options.labels() == "lsro":
        return lsro_targets(len(labels))
    if options.synthetic_ckpt is None:
        # Replaced before the first batch with generated images.
        return lsro_targets(len(labels)).repeat(len(images.samples), 1)
    embed = Embedder(options.synthetic_ckpt, device=str(device))
    if embed.needs_cameras:
        raise ValueError(f"synthetic_ckpt: {embed.name} has camera vectors, but generated images have no camera")
    if embed.protocol != "inductive":
        raise ValueError(f"synthetic_ckpt: {embed.name} has learnt from test images, allowed: networks that have not")
    real, generated = (embed_samples(embed, part, "labels", quiet=True) for part in (train, images.samples))
    return pseudo_targets(generated, real, [labels[sample.pid] for sample in train], options.temperature())


class RealDistillation(nn.Module):
    """A teacher's loss on the real images of batches, which come first; generated ones act by their labels alone.

    Args:
        distillation: Maps images and the network's embeddings of them to a loss and its terms.
        real: Real images of a batch.
    """

    def __init__(self, distillation: nn.Module, real: int) -> None:
        super().__init__()
        self.distillation = distillation
        self.real = real

    def forward(self, images: torch.Tensor, embeddings: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Returns loss and terms of the first images of a batch (B, 3, H, W) and their embeddings (B, D)."""
        return self.distillation(images[: self.real], embeddings[: self.real])


def real_loss(loss: nn.Module) -> CombinedLoss:
    """Returns the loss of real images alone, for what goes on without generated ones."""
    inner = loss.loss if isinstance(loss, LossWithGenerated) else loss
    assert isinstance(inner, CombinedLoss)
    return inner
