"""What every dataset gives: samples, splits of them, and labels for training."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of one person.

    Attributes:
        path: The image file.
        pid: The identity as the dataset names it, -1 never occurs (junk is dropped at reading). Where a dataset has
            distractors they carry pid 0.
        camid: The camera, counted from 0.
        frame: The frame number as the dataset names it. Comparable inside one recording only.
        source: The dataset's name.
    """

    path: str
    pid: int
    camid: int
    frame: int
    source: str


Split = list[Sample]


def relabel(samples: Iterable[Sample]) -> dict[int, int]:
    """Returns identity -> class label 0..C-1 for training.

    Labels follow the sorted identities, so that neither the order of the files nor of a set decides them.
    """
    return {pid: label for label, pid in enumerate(sorted({sample.pid for sample in samples}))}


def describe(split: Iterable[Sample]) -> dict[str, int]:
    """Returns the counts of a split: images, pids (distractors are one of them), cameras."""
    samples = list(split)
    return {
        "images": len(samples),
        "pids": len({sample.pid for sample in samples}),
        "cameras": len({sample.camid for sample in samples}),
    }
