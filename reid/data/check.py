"""What is in a dataset, and what is wrong with it: counts, corrupt files, leaks from training to test."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.data.base import DISTRACTOR_PID, ReIDDataset, Sample, Split, queries_without_match
from reid.data.crops import file_fault, load_crops, map_threads
from reid.data.market1501 import LAYOUT as MARKET
from reid.data.named_folders import IMAGE_SUFFIXES
from reid.data.near_duplicates import Fingerprints, fingerprint, gather, near_duplicates

SPLITS = ("train", "query", "gallery")
_SMALL = (32, 32)  # (height, width) that the hashes need at least
_CHUNK = 64


@dataclass(frozen=True)
class SplitCounts:
    """Counts of one split; images a pid are its minimum, median and maximum, distractors not among them."""

    images: int
    pids: int
    cameras: int
    distractors: int
    per_pid: tuple[int, float, int]


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        counts: Of each split by name.
        shared_pids: Identities of training that are test identities too, sorted.
        duplicates: Pairs (training image, test image) that show the same picture.
        corrupt: A sentence for each file that is missing, unreadable or cut off.
        lonely: Queries without a match in the gallery.
    """

    counts: dict[str, SplitCounts]
    shared_pids: tuple[int, ...]
    duplicates: tuple[tuple[Sample, Sample], ...]
    corrupt: tuple[str, ...]
    lonely: tuple[Sample, ...]

    @property
    def leaks(self) -> int:
        """Identities and images that training and test share."""
        return len(self.shared_pids) + len(self.duplicates)


def check(data: ReIDDataset, threads: int | None = None) -> Report:
    """Looks at every image of a dataset once.

    Args:
        data: What a reader returned.
        threads: How many decode at a time; None means one a core.
    """
    train, test = data.train, _unique(data.query + data.gallery)
    corrupt: dict[str, str] = {}
    train_prints, kept_train = _fingerprints(train, corrupt, threads)
    test_prints, kept_test = _fingerprints(test, corrupt, threads)
    pairs = near_duplicates(train_prints, test_prints)
    test_pids = {sample.pid for sample in test} - {DISTRACTOR_PID}
    return Report(
        counts={name: _counts(getattr(data, name)) for name in SPLITS},
        shared_pids=tuple(sorted({sample.pid for sample in train} & test_pids)),
        duplicates=tuple((kept_train[left], kept_test[right]) for left, right in pairs),
        corrupt=tuple(corrupt[path] for path in sorted(corrupt)),
        lonely=tuple(queries_without_match(data)),
    )


def detect(root: str | os.PathLike[str]) -> str:
    """Returns the name of the dataset that a folder is laid out like.

    Raises:
        FileNotFoundError: When it is like none of them.
    """
    folder = Path(root)
    if folder.is_dir():
        for path in (folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir())):
            name = _detect(path)
            if name is not None:
                return name
    elif folder.is_file() and folder.suffix.lower() == ".csv":
        return "folder"
    raise FileNotFoundError(f"{folder}: laid out like no dataset that is known; name one with --dataset")


def _detect(folder: Path) -> str | None:
    if (folder / "list_query.txt").is_file():
        return "msmt17"
    if (folder / "image_query").is_dir():
        return "veri776"
    if any((folder / name).exists() for name in ("images_detected", "images_labeled", "cuhk-03.mat", "cuhk03_release")):
        return "cuhk03"
    if any((folder / name / "bounding_box_train").is_dir() for name in ("detected", "labeled")):
        return "cuhk03"
    if any(folder.glob("*/gt/gt.txt")) or any(folder.glob("train/*/gt/gt.txt")):
        return "mot"
    if (folder / "bounding_box_train").is_dir():
        names = (name for name in os.listdir(folder / "bounding_box_train") if name.lower().endswith(IMAGE_SUFFIXES))
        if not MARKET.name.fullmatch(next(names, "")):
            return "dukemtmc"
        return "world" if (folder / "annotations.json").is_file() else "market1501"
    if (folder / "gallery").is_dir() or any(folder.glob("*.csv")):
        return "folder"
    return None


def _unique(samples: Split) -> Split:
    return list({(sample.path, sample.box): sample for sample in samples}.values())


def _counts(split: Split) -> SplitCounts:
    images = Counter(sample.pid for sample in split)
    distractors = images.pop(DISTRACTOR_PID, 0)
    sizes = sorted(images.values()) or [0]
    cameras = len({sample.camid for sample in split})
    return SplitCounts(len(split), len(images), cameras, distractors, (sizes[0], float(np.median(sizes)), sizes[-1]))


def _fingerprints(samples: Split, corrupt: dict[str, str], threads: int | None) -> tuple[Fingerprints, Split]:
    """Returns the fingerprints of the readable samples and these; the others go into `corrupt`, by path."""
    ordered = sorted(samples, key=lambda sample: sample.path)
    chunks = [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]
    kept: Split = []
    results: list[tuple[int, np.ndarray]] = []
    for chunk, found in zip(chunks, map_threads(_fingerprint_chunk, chunks, threads), strict=True):
        for sample, result in zip(chunk, found, strict=True):
            if isinstance(result, str):
                corrupt[sample.path] = result
            else:
                kept.append(sample)
                results.append(result)
    return gather(results), kept


def _fingerprint_chunk(samples: Split) -> list[tuple[int, np.ndarray] | str]:
    """Returns a fingerprint or what is wrong for each sample, decoding each file once while all goes well."""
    faults = {path: file_fault(path) for path in {sample.path for sample in samples}}
    good = [sample for sample in samples if faults[sample.path] is None]
    try:
        images = iter(load_crops(good, _SMALL))
    except (OSError, ValueError) as error:
        if len(samples) == 1:
            return [str(error)]
        return [result for sample in samples for result in _fingerprint_chunk([sample])]
    return [fault if (fault := faults[sample.path]) else fingerprint(next(images)) for sample in samples]
