"""Random generators that depend on what they are for, never on who asks first."""

import zlib

import numpy as np


def rng_for(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Generator of one item of one purpose, the same in every process and in every order of work."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *index]))
