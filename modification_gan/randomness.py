"""Random numbers that depend on what they are for, and on nothing that came before."""

from collections.abc import Sequence

import numpy as np
import torch


def generator_for(*numbers: int) -> torch.Generator:
    """Returns a generator on the CPU whose seed is a mixture of numbers >= 0, such as a run's seed and a step.

    A training whose steps draw from generators of their own goes on bit for bit without storing any state of them.
    """
    mixed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))


def image_seeds(seed: int, count: int) -> list[int]:
    """Returns the seeds of a run's images, in 0..2^63 - 1; those of a smaller count are the first of a larger one."""
    # numpy mixes the words of a state one by one, so that a longer state begins like a shorter one.
    return [int(value >> np.uint64(1)) for value in np.random.SeedSequence(seed).generate_state(count, np.uint64)]


def noise_of(seeds: Sequence[int], shape: tuple[int, ...]) -> torch.Tensor:
    """Returns standard normal noise, each image's from its own seed.

    Args:
        seeds: B numbers >= 0.
        shape: Of one image's noise.

    Returns:
        float32 (B, *shape).
    """
    rows = [np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, *shape)
