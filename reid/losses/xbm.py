"""Cross-batch memory."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.losses.gather import gather_batch

NEGATIVE_MARGIN = 0.5


class CrossBatchMemoryLoss(nn.Module):
    """Contrastive loss of the batch against the features of past batches (XBM: Wang et al., arXiv 1912.06798).

    The memory is a ring of unit features and labels. From step `start` on each training step first remembers its
    batch, then compares it with all that is remembered, an item's own copy left out: positives cost 1 - cosine,
    negatives max(0, cosine - 0.5), the paper's margin. Before that the term is 0: features move too fast at the
    beginning. Gradients flow to the batch only.

    Deviation: the means over the positives and over the negatives that cost something are added, where the paper
    adds up all pairs, so that the weight of the term does not depend on the size of the memory.

    Under several processes the batches of all are remembered, gathered, so that the memory stays the same on each; a
    process compares its own batch.

    Args:
        size: Features remembered; at least the images of one step over all processes.
        feature_size: D.
        start: Training steps before the memory starts.

    Raises:
        ValueError: When a number is outside its range.
    """

    memory: torch.Tensor
    memory_labels: torch.Tensor
    position: torch.Tensor
    steps: torch.Tensor

    def __init__(self, size: int, feature_size: int, start: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size: got {size}, allowed: 1 or more")
        if start < 0:
            raise ValueError(f"start: got {start}, allowed: 0 or more")
        self.start = start
        self.register_buffer("memory", torch.zeros(size, feature_size))
        self.register_buffer("memory_labels", torch.full((size,), -1))  # -1 is an empty place
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the loss of features (B, D), of any length, with labels int64 (B,); remembers when training.

        Raises:
            ValueError: When a step has more images than the memory has places.
        """
        with torch.autocast(features.device.type, enabled=False):
            unit = F.normalize(features.float(), dim=1)
            own = self._remember(unit, labels) if self.training else None
            # A copy: the next step writes into the memory, perhaps before this one's backward pass.
            cosines = unit @ self.memory.clone().T  # (B, size)
            same = labels[:, None] == self.memory_labels[None, :]
            others = ~same & (self.memory_labels >= 0)
            if own is not None:
                same = same & (own[:, None] != torch.arange(len(self.memory), device=own.device))
            positive = torch.where(same, 1.0 - cosines, 0.0)
            negative = torch.where(others, F.relu(cosines - NEGATIVE_MARGIN), 0.0)
            return _mean_of_positive(positive) + _mean_of_positive(negative)

    @torch.no_grad()
    def _remember(self, unit: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | None:
        """Writes the batch of all processes into the ring; returns the places of this process's own, int64 (B,)."""
        everyone, their_labels, first = gather_batch(unit, labels)
        if len(everyone) > len(self.memory):
            raise ValueError(
                f"xbm_size: got {len(self.memory)}, allowed: at least the {len(everyone)} images of one step"
            )
        # Whether it has started is decided on the device: reading the counter would wait for a GPU.
        started = self.steps >= self.start
        places = (self.position + torch.arange(len(everyone), device=labels.device)) % len(self.memory)
        self.memory[places] = torch.where(started, everyone, self.memory[places])
        self.memory_labels[places] = torch.where(started, their_labels, self.memory_labels[places])
        self.position.copy_(torch.where(started, (self.position + len(everyone)) % len(self.memory), self.position))
        self.steps += 1
        return places[first : first + len(labels)]


def _mean_of_positive(values: torch.Tensor) -> torch.Tensor:
    """Returns the mean of the values above 0, and 0 without any."""
    return values.sum() / (values > 0).sum().clamp(min=1)
