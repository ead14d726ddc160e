"""Whether a generator still makes different images."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

_SAME_GROUPS = 4  # groups that a fixed batch asks for
_PER_GROUP = 64  # training images that one is compared with
GIVE_UP = 2  # low values one after the other


class CollapseError(ValueError):
    """A generator makes the same image from every noise."""


def fixed_groups(of_image: np.ndarray | None, count: int) -> torch.Tensor | None:
    """Returns groups for a fixed batch: the largest four in turn, so that each comes several times.

    Args:
        of_image: int64 (N,), each training image's group; None without groups.
        count: Images of the batch.

    Returns:
        int64 (count,), or None without groups.
    """
    if of_image is None:
        return None
    sizes = np.bincount(of_image)
    largest = np.argsort(-sizes, kind="stable")[:_SAME_GROUPS]
    return torch.from_numpy(largest[np.arange(count) % len(largest)].astype(np.int64))


def spread(images: torch.Tensor, groups: torch.Tensor | None) -> float:
    """Returns the standard deviation of pixels over the images of a group, averaged over pixels and groups.

    Args:
        images: (B, 3, H, W) of any scale.
        groups: int64 (B,); None is one group. Groups of one image do not count.

    Returns:
        0 for equal images, or when every group has one image.
    """
    if groups is None:
        groups = torch.zeros(len(images), dtype=torch.int64)
    parts = [images[groups == group].float() for group in groups.unique()]
    values = [float(part.std(0, unbiased=False).mean()) for part in parts if len(part) > 1]
    return sum(values) / len(values) if values else 0.0


def written_spread(images: np.ndarray, groups: Sequence[int | None]) -> float | None:
    """Returns `spread` of pixels (B, H, W, 3) in 0..255, in -1..1; None when every group has one image.

    Args:
        images: uint8, as they are written.
        groups: Of each image; None each without groups.
    """
    numbers = torch.tensor([0 if group is None else group for group in groups], dtype=torch.int64)
    if not len(numbers) or int(torch.bincount(numbers).max()) < 2:
        return None
    return spread(torch.from_numpy(images).float() / 127.5 - 1, numbers)


def training_spread(images: torch.Tensor, of_image: np.ndarray | None) -> float:
    """Returns `spread` of training images of the groups that a fixed batch asks for, 64 of each at most, in -1..1.

    Args:
        images: uint8 (N, 3, H, W).
        of_image: int64 (N,), or None without groups.

    Raises:
        ValueError: When they are all the same image.
    """
    groups = np.zeros(len(images), np.int64) if of_image is None else of_image
    asked = np.unique(fixed_groups(groups, _SAME_GROUPS))  # type: ignore[arg-type]
    chosen = np.concatenate([_spaced(np.flatnonzero(groups == group)) for group in asked])
    value = spread(images[chosen].float() / 127.5 - 1, torch.from_numpy(groups[chosen]))
    if value == 0.0 and len(images) > 1:
        value = spread(images[_spaced(np.arange(len(images)))].float() / 127.5 - 1, None)  # a single image a group
    if value == 0.0:
        raise ValueError("training images: got the same image only, allowed: different ones")
    return value


def _spaced(indices: np.ndarray) -> np.ndarray:
    return indices[np.linspace(0, len(indices) - 1, min(len(indices), _PER_GROUP)).astype(np.int64)]


class DiversityWatch:
    """Judges the images that a generator makes from the same noise again and again.

    Diversity is `spread` of them, in each group by itself, divided by that of training images: about 1 is as varied as
    these, 0 is one image. A value below the limit is said, a second one in a row ends the training. A generator that
    has not learnt to vary yet is let alone until it does, or until step `patience`.

    Args:
        reference: `training_spread`.
        below: The limit; 0 judges nothing.
        patience: The step from which on a generator has to vary.
        say: Told of a low value.

    Attributes:
        state: What resuming needs: whether it has varied, and low values in a row.
    """

    def __init__(self, reference: float, below: float, patience: int, say: Callable[[str], None]) -> None:
        if not 0 <= below < 1:
            raise ValueError(f"collapse_below: got {below}, allowed: 0 (off) to below 1")
        self.reference = reference
        self.below = below
        self.patience = patience
        self.say = say
        self.state: dict[str, int] = {"varied": 0, "low": 0}

    def diversity(self, images: torch.Tensor, groups: torch.Tensor | None) -> float:
        """Returns the diversity of images in -1..1."""
        return spread(images, groups) / self.reference

    def judge(self, step: int, value: float) -> bool:
        """Returns whether a diversity is healthy.

        Raises:
            CollapseError: At the second low value in a row.
        """
        if value >= self.below:
            self.state = {"varied": 1, "low": 0}
            return True
        if not self.state["varied"] and step < self.patience:
            return True
        self.state = {**self.state, "low": self.state["low"] + 1}
        found = f"step {step}: images of different noise hardly differ (diversity {value:.3f} of training images')"
        if self.state["low"] >= GIVE_UP:
            raise CollapseError(f"{found}: the generator has collapsed")
        self.say(f"WARNING: {found}; a second time ends the training")
        return False
