"""Frames that several tests of trackers share."""

import numpy as np
import pytest

from tracking.detections import Detections


@pytest.fixture(scope="session")
def crossing_crowd() -> list[Detections]:
    """Twelve people who cross, with noise, misses, weak detections and similar looks, over 150 frames."""
    random = np.random.default_rng(0)
    position = random.uniform(0, 500, (12, 2))
    velocity = random.normal(0, 4, (12, 2))
    looks = random.normal(0, 1, (12, 16)) + 0.6
    frames = []
    hidden = np.zeros(12, int)
    for _ in range(150):
        position += velocity + random.normal(0, 2, (12, 2))
        velocity = np.where((position < 0) | (position > 500), -velocity, velocity)
        hidden = np.where(random.random(12) < 0.03, random.integers(3, 40, 12), hidden - 1)
        kept = (random.random(12) < 0.9) & (hidden <= 0)
        corner = (position + random.normal(0, 3, (12, 2)))[kept]
        size = random.normal([45, 110], 3, (kept.sum(), 2))
        features = looks[kept] + random.normal(0, 0.8, (kept.sum(), 16))
        confidence = np.where(random.random(kept.sum()) < 0.3, 0.4, random.uniform(0.61, 1, kept.sum()))
        frames.append(Detections.from_xyxy(np.hstack([corner, corner + size]), confidence, features))
    return frames
