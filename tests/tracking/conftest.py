"""Frames and files that several tests of trackers share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reid.data.mot import read_ground_truth, write_results
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


@pytest.fixture(scope="session")
def disturb() -> Callable[..., None]:
    """Writes a result made of a ground truth: disturb(truth, result, generator, separator)."""
    return _disturb


@pytest.fixture(scope="session")
def random_sequence() -> Callable[..., None]:
    """Writes a sequence folder of 90 frames and twelve walkers: random_sequence(folder, generator, mot15)."""
    return _random_sequence


def _disturb(truth: Path, result: Path, rng: np.random.Generator, separator: str = ",") -> None:
    """Writes a result with misses, moved boxes, false boxes and identities that change."""
    rows = read_ground_truth(truth)
    keep = rng.random(len(rows.frame)) < 0.8
    size = rows.xywh[:, [2, 3, 2, 3]]
    xywh = np.maximum(rows.xywh + rng.normal(0, 0.08, rows.xywh.shape) * size, 1)
    xywh[rng.random(len(xywh)) < 0.05, :2] += 300
    track_id = rows.track_id + 1000 * (rows.frame // 10 % 2) * (rows.track_id % 2)
    write_results(result, rows.frame[keep], track_id[keep], xywh[keep], rng.random(int(keep.sum())))
    if separator != ",":
        result.write_text(result.read_text().replace(",", separator))


def _random_sequence(folder: Path, rng: np.random.Generator, mot15: bool = False) -> None:
    (folder / "gt").mkdir(parents=True)
    rows = []
    for identity in range(1, 13):
        left, top = rng.uniform(0, 600, 2)
        step = rng.normal(0, 3, 2)
        kind = 1 if identity < 9 else (2, 6, 7, 3)[identity - 9]
        for frame in range(int(rng.integers(1, 20)), int(rng.integers(40, 90))):
            box = f"{frame},{identity},{left + step[0] * frame:.1f},{top + step[1] * frame:.1f},40,100"
            flag = int(kind == 1 and rng.random() < 0.95)
            rows.append(f"{box},{flag},-1,-1,-1" if mot15 else f"{box},{flag},{kind},1")
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text("[Sequence]\nseqLength=90\n")
