"""The loss of batches that hold generated images beside real ones."""

from collections.abc import Sequence

import torch
from torch import nn

from reid.losses.combined import CombinedLoss
from reid.losses.gather import gather_with_gradient
from reid.losses.soft_labels import SoftLabelCrossEntropy


class LossWithGenerated(nn.Module):
    """The usual loss of the real images of a batch, plus cross entropy of the generated ones with soft labels.

    An image with label -1 - g is generated image g. No term of the usual loss sees it, be it a metric loss, a center or
    a memory: value and gradient of the real images are those of a batch without it, except through the network's batch
    statistics, which it enters like every image of the batch.

    A generated image counts as much in the cross entropy as a real one, times `weight`: its term is the sum over the
    generated images divided by the number of *real* ones. Deviation from LSRO (Zheng et al., arXiv 1701.07717), whose
    mean is over both: the real images' loss would shrink as more are generated.

    Under several processes the batch is gathered from all, as in `CombinedLoss`; each has as many generated images.

    Args:
        loss: Of the real images.
        targets: float (G, C), the label distribution of each generated image, or (1, C), one for all of them.
        weight: Factor of the generated images' cross entropy, above 0.
        temperature: Divides their logits.
        keep_targets: Whether the targets belong to the state, as they have to when they change in the training.

    Raises:
        ValueError: When the weight is not above 0, or the targets are no distributions over the loss's classes.
    """

    targets: torch.Tensor

    def __init__(
        self,
        loss: CombinedLoss,
        targets: torch.Tensor,
        weight: float = 1.0,
        temperature: float = 1.0,
        *,
        keep_targets: bool = False,
    ) -> None:
        super().__init__()
        if not weight > 0:
            raise ValueError(f"weight: got {weight}, allowed: above 0")
        self.loss = loss
        self.weight = weight
        self.cross_entropy = SoftLabelCrossEntropy(temperature)
        self.register_buffer("targets", self._checked(targets), persistent=keep_targets)

    def _checked(self, targets: torch.Tensor) -> torch.Tensor:
        if targets.ndim != 2 or targets.shape[1] != self.num_classes or not len(targets):
            raise ValueError(f"targets: got shape {tuple(targets.shape)}, allowed: (images, {self.num_classes})")
        targets = targets.float()
        if not ((targets >= 0).all() and ((targets.sum(dim=1) - 1).abs() < 1e-3).all()):
            raise ValueError("targets: got rows that are no distributions, allowed: 0 or more, of sum 1")
        return targets

    @property
    def num_classes(self) -> int:
        """Identities that are trained on."""
        return self.loss.num_classes

    def center_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters that want an optimiser of their own: the centers, or nothing."""
        return self.loss.center_parameters()

    @torch.no_grad()
    def set_targets(self, targets: torch.Tensor) -> None:
        """Replaces the targets by others of the same shape.

        Raises:
            ValueError: When the shape is another, or rows are no distributions.
        """
        if targets.shape != self.targets.shape:
            raise ValueError(f"targets: got shape {tuple(targets.shape)}, allowed: {tuple(self.targets.shape)}")
        self.targets.copy_(self._checked(targets))

    def forward(
        self,
        features: torch.Tensor,
        logits: torch.Tensor | None,
        labels: torch.Tensor,
        branches: Sequence[tuple[torch.Tensor, torch.Tensor | None]] = (),
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Computes the total and its terms; arguments as those of `CombinedLoss.forward`, labels below 0 as above.

        Returns:
            The weighted total; each term of the real images, and the mean cross entropy of the generated ones as
            "generated" where there are some.

        Raises:
            ValueError: When the model or a branch of it has no classifier, or the batch holds no real image.
        """
        real = labels >= 0
        if bool(real.all()):
            return self.loss(features, logits, labels, branches)
        if logits is None:
            raise ValueError("generated images: the model has no classifier; build it with num_classes > 0")
        if not bool(real.any()):
            raise ValueError("generated images: got a batch of them alone, allowed: beside real ones")
        if any(scores is None for _, scores in branches):
            raise ValueError("generated images: a branch has no classifier, allowed: networks whose branches have")
        kept = [(part[real], None if scores is None else scores[real]) for part, scores in branches]
        total, terms = self.loss(features[real], logits[real], labels[real], kept)
        value = self._generated([scores for _, scores in branches] or [logits], labels, ~real)
        share = float((~real).sum()) / float(real.sum())  # the same on every process
        return total + self.weight * share * value, terms | {"generated": value.detach()}

    def _generated(
        self, logits: Sequence[torch.Tensor | None], labels: torch.Tensor, where: torch.Tensor
    ) -> torch.Tensor:
        """Returns the mean cross entropy of the generated images; of several branches as `CombinedLoss` has it."""
        rows = -1 - labels[where]
        targets = self.targets.expand(len(rows), -1) if len(self.targets) == 1 else self.targets[rows]
        values = []
        for scores in logits:
            assert scores is not None
            own = (scores[where], targets)
            values.append(self.cross_entropy(*(gather_with_gradient(*own) if self.training else own)))
        return values[0] if len(values) == 1 else values[0] + torch.stack(values[1:]).mean()
