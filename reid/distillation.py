"""A trained network that teaches another one: options, and what the training loop is given."""

import dataclasses
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from reid.checkpoint import Card
from reid.data.images import Preprocessing
from reid.devices import check_precision
from reid.engine import to_device
from reid.losses.distillation import TERMS, DistillationLoss
from reid.models.reparameterise import reparameterise
from reid.records import training_protocol
from reid.torch_backend import count_cameras, load_model


@dataclasses.dataclass(frozen=True)
class DistillationOptions:
    """Who teaches, and how much that counts beside the other losses.

    Raises:
        ValueError: When a weight is negative, given without a teacher, or every weight is 0.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {
        "teacher_embedding_weight": 5.0,
        "teacher_relation_weight": 10.0,
        "teacher_angle_weight": 0.0,
    }

    teacher: Path | None = None
    """A trained checkpoint (.safetensors, or zoo:NAME) whose embeddings of the same images are learnt from as well; not
    in continual training."""
    teacher_embedding_weight: float | None = None
    """Weight of 1 - cosine between the two embeddings of an image, 5 unless told; with --teacher."""
    teacher_relation_weight: float | None = None
    """Weight of the relative distances within a batch (RKD-D), 10 unless told; with --teacher."""
    teacher_angle_weight: float | None = None
    """Weight of the angles within a batch (RKD-A), 0 unless told; with --teacher."""

    def __post_init__(self) -> None:
        for name in self.UNLESS_TOLD:
            weight = getattr(self, name)
            if weight is not None and self.teacher is None:
                raise ValueError(f"{name}: got {weight} without --teacher, which it needs")
            if weight is not None and weight < 0:
                raise ValueError(f"{name}: got {weight}, allowed: 0 or more")
        if not any(self.weights().values()):
            raise ValueError("teacher: every weight of it is 0; give one a positive weight, or leave --teacher out")

    def weights(self) -> dict[str, float]:
        """Returns the weight of each term of `DistillationLoss`."""
        told = {term: getattr(self, f"teacher_{term}_weight") for term in TERMS}
        meant = {term: self.UNLESS_TOLD[f"teacher_{term}_weight"] for term in TERMS}
        return {term: meant[term] if told[term] is None else told[term] for term in TERMS}

    def build(
        self, student_size: int, preprocessing: Preprocessing, accelerator: Accelerator, seed: int
    ) -> "Distillation | None":
        """Loads the teacher; None without one.

        Args:
            student_size: Size of the student's embeddings.
            preprocessing: What the student's input wants.
            accelerator: Of the training.
            seed: Of the layer between embeddings of different sizes.

        Raises:
            FileNotFoundError: When there is no such checkpoint.
            ValueError: When it cannot teach here; the message says why.
        """
        if self.teacher is None:
            return None
        model, card = load_model(self.teacher, with_classifier=False)
        teacher = Teacher(model, card, preprocessing, accelerator, str(self.teacher))
        generator = torch.Generator().manual_seed(seed)
        loss = DistillationLoss(self.weights(), student_size, card.embedding_size, generator)
        return Distillation(teacher, loss.to(accelerator.device))


class Teacher:
    """A trained network in evaluation mode, without gradients, that embeds the student's batches.

    Not a module: its weights belong to no state of the training, which reads them from their own file.

    Args:
        model: From `load_model`; moved to the device.
        card: Its card.
        student: Preprocessing of the batches that come in.
        accelerator: Its device and precision are the teacher's too.
        name: For messages.

    Raises:
        ValueError: When it has camera vectors, has learnt from test images, or cannot compute in this precision.
    """

    def __init__(
        self, model: nn.Module, card: Card, student: Preprocessing, accelerator: Accelerator, name: str
    ) -> None:
        if count_cameras(model):
            raise ValueError(f"teacher: {name} has camera vectors, allowed: networks without (trained without --sie)")
        if training_protocol(card.scores) != "inductive":
            raise ValueError(f"teacher: {name} has learnt from test images, allowed: networks that have not")
        check_precision(accelerator.mixed_precision, accelerator.device.type, card.preprocessing.width)
        self.model = to_device(reparameterise(model.eval()), accelerator.device).requires_grad_(False)
        self.preprocessing = card.preprocessing
        self._accelerator = accelerator
        scale, shift = _from_one_to_the_other(student, card.preprocessing)
        self._scale, self._shift = scale.to(accelerator.device), shift.to(accelerator.device)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W), normalised for the student, to embeddings float32 (B, D), not L2-normalised."""
        size = (self.preprocessing.height, self.preprocessing.width)
        images = images * self._scale + self._shift
        if images.shape[2:] != size:
            smaller = size[0] < images.shape[2] or size[1] < images.shape[3]
            images = F.interpolate(images, size, mode="bilinear", antialias=smaller)
        autocast: AbstractContextManager[Any] = self._accelerator.autocast()
        with autocast:
            return self.model(images.contiguous(memory_format=torch.channels_last)).embeddings.float()


def _from_one_to_the_other(first: Preprocessing, second: Preprocessing) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns factor and summand, (1, 3, 1, 1), that turn one normalisation into another."""
    mean, std = torch.tensor(first.mean, dtype=torch.float64), torch.tensor(first.std, dtype=torch.float64)
    other_mean, other_std = (torch.tensor(values, dtype=torch.float64) for values in (second.mean, second.std))
    scale, shift = std / other_std, (mean - other_mean) / other_std
    return scale.float().view(1, 3, 1, 1), shift.float().view(1, 3, 1, 1)


class Distillation(nn.Module):
    """Teacher and loss, as `Trainer` takes them; its state is that of the loss alone.

    Args:
        teacher: Embeds the batches.
        loss: Compares.
    """

    def __init__(self, teacher: Teacher, loss: DistillationLoss) -> None:
        super().__init__()
        self.teacher = teacher
        self.loss = loss

    def forward(self, images: torch.Tensor, embeddings: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Returns the weighted loss and its terms.

        Args:
            images: The student's batch (B, 3, H, W), as it saw it.
            embeddings: Its embeddings (B, S).
        """
        return self.loss(embeddings, self.teacher(images))
