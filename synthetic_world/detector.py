"""A simulated person detector: misses, false alarms, and boxes that are a little off."""

import numpy as np

from .levels import Level


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union (N, M) of boxes given as left, top, width, height."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    inner = np.clip(high - low, 0.0, None).prod(2)
    return inner / (first[:, 2:].prod(1)[:, None] + second[:, 2:].prod(1)[None] - inner + 1e-9)


def jittered(rng: np.random.Generator, box: np.ndarray, spread: float) -> np.ndarray:
    """Box (left, top, width, height) with its centre and size moved by that share of its size."""
    centre = box[:2] + box[2:] / 2 + rng.normal(0.0, spread, 2) * box[2:]
    size = box[2:] * np.exp(rng.normal(0.0, spread, 2))
    return np.concatenate([centre - size / 2, size])


def detect(
    rng: np.random.Generator, level: Level, boxes: np.ndarray, visibility: np.ndarray, width: int, height: int
) -> np.ndarray:
    """Detections of one image.

    Args:
        rng: generator of this image.
        level: its `box_jitter` is the spread of boxes, larger for people who are partly hidden.
        boxes: (N, 4), complete silhouettes: left, top, width, height.
        visibility: (N,), 0..1.
        width: of the image; detections are clipped to it, as detectors do.
        height: of the image.

    Returns:
        (D, 5): left, top, width, height, confidence 0..1; most confident first. Of two detections that overlap by
        more than 0.7 the less confident is suppressed.
    """
    found = []
    for box, share in zip(boxes, visibility):
        draw, spread = rng.random(), level.box_jitter * (1.0 + 1.5 * (1.0 - share))
        box = jittered(rng, box, spread)
        score = 0.35 + 0.6 * share + rng.normal(0.0, 0.07)
        small = min(1.0, box[3] / 60.0)
        if draw < 0.985 * small * np.clip((share - 0.12) / 0.35, 0.0, 1.0):
            found.append([*box, score])
    for _ in range(rng.poisson(0.25 + 4.0 * level.box_jitter)):
        tall = np.exp(rng.uniform(np.log(0.12), np.log(0.5))) * height
        wide = tall * rng.uniform(0.3, 0.55)
        found.append(
            [
                rng.uniform(0, width - wide),
                rng.uniform(0.1 * height, height - 0.8 * tall),
                wide,
                tall,
                rng.beta(2, 5) + 0.1,
            ]
        )
    rows = np.array(found, float).reshape(-1, 5)
    low = np.clip(rows[:, :2], 0.0, (width, height))
    high = np.clip(rows[:, :2] + rows[:, 2:4], 0.0, (width, height))
    rows = np.concatenate([low, high - low, np.clip(rows[:, 4:], 0.05, 0.99)], axis=1)
    rows = rows[(rows[:, 2] > 4) & (rows[:, 3] > 8)]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    shared = np.triu(overlap(rows[:, :4], rows[:, :4]), 1)
    keep: list[int] = []
    for row in range(len(rows)):
        if not keep or shared[keep, row].max() <= 0.7:
            keep.append(row)
    return rows[keep]
