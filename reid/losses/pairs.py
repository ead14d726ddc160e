"""Which items of a batch make pairs."""

from typing import NamedTuple

import torch


class BatchPairs(NamedTuple):
    """The pairs of a batch, item against item.

    Attributes:
        positives: bool (B, B), another item of the same label; no item is its own.
        negatives: bool (B, B), an item of another label.
        valid: bool (B,), the items with a positive and a negative; the others take no part in losses of triplets.
    """

    positives: torch.Tensor
    negatives: torch.Tensor
    valid: torch.Tensor


def batch_pairs(labels: torch.Tensor) -> BatchPairs:
    """Returns the pairs of a batch with labels int64 (B,)."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positives, negatives = same & ~itself, ~same
    return BatchPairs(positives, negatives, positives.any(dim=1) & negatives.any(dim=1))
