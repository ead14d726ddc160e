"""Where the public benchmarks keep their sequences, and what is particular to each."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

HALVES = ("train-half", "val-half")


@dataclass(frozen=True)
class Benchmark:
    """A public benchmark.

    Attributes:
        splits: Its folders of sequences.
        folders: What the folder that holds them may be called, in lower case.
        halves: Whether the training sequences are customarily cut into a first half for training and a second for
            validation, since there is no validation split.
        form: What TrackEval calls the preprocessing, as `tracking.evaluation.BENCHMARKS`.
        archive_folder: Folder inside the archive that the benchmark's server takes, "" for none.
    """

    splits: tuple[str, ...]
    folders: tuple[str, ...]
    halves: bool
    form: str
    archive_folder: str = ""

    @property
    def all_splits(self) -> tuple[str, ...]:
        """All that `--split` may be."""
        return (*self.splits, *(HALVES if self.halves else ()))


# DanceTrack (2111.14690) and SportsMOT (2304.05170) annotate people only, in the columns of MOT17.
LAYOUTS: dict[str, Benchmark] = {
    "MOT15": Benchmark(("train", "test"), ("mot15", "2dmot2015"), True, "MOT15"),
    "MOT16": Benchmark(("train", "test"), ("mot16",), True, "MOT16"),
    "MOT17": Benchmark(("train", "test"), ("mot17",), True, "MOT17"),
    "MOT20": Benchmark(("train", "test"), ("mot20",), True, "MOT20"),
    "DanceTrack": Benchmark(("train", "val", "test"), ("dancetrack",), False, "MOT17", "tracker"),
    "SportsMOT": Benchmark(("train", "val", "test"), ("sportsmot", "sportsmot_publish", "dataset"), False, "MOT17"),
}


def find_split(benchmark: str, split: str, root: str | os.PathLike[str]) -> dict[str, Path]:
    """Returns name to folder of the sequences of a split, sorted; for a half those of the training split.

    Args:
        benchmark: One of `LAYOUTS`.
        split: One of its `all_splits`.
        root: The benchmark's folder, or one above it.

    Raises:
        ValueError: When a name is unknown, the split is not there, or the sequences are those of another benchmark.
    """
    if benchmark not in LAYOUTS:
        raise ValueError(f"benchmark: got {benchmark!r}, allowed: {', '.join(LAYOUTS)}")
    layout = LAYOUTS[benchmark]
    if split not in layout.all_splits:
        raise ValueError(f"split: got {split!r}, allowed for {benchmark}: {', '.join(layout.all_splits)}")
    name = "train" if split in HALVES else split
    tried = _candidates(Path(root), layout)
    for folder in tried:
        found = {path.parent.name: path.parent for path in sorted((folder / name).glob("*/seqinfo.ini"))}
        if found:
            _refuse_others(benchmark, found, folder / name)
            return found
    places = ", ".join(str(folder / name) for folder in tried)
    raise ValueError(f"{root}: no {name} split of {benchmark}; no sequence folders with seqinfo.ini in {places}")


def _candidates(root: Path, layout: Benchmark) -> list[Path]:
    """Returns the root and the folders below it that bear one of the benchmark's names, two levels down at most."""
    found = [root]
    for _ in range(2):
        for parent in list(found):
            if parent.is_dir():
                below = sorted(path for path in parent.iterdir() if path.name.lower() in layout.folders)
                found += [path for path in below if path.is_dir() and path not in found]
    return found


def _refuse_others(benchmark: str, names: dict[str, Path], folder: Path) -> None:
    for name in names:
        year = re.match(r"(MOT\d\d)-\d\d", name)
        if year and year.group(1) != benchmark:
            raise ValueError(f"{folder}: {name} is a sequence of {year.group(1)}, not of {benchmark}")


def footage(name: str) -> tuple[str, str]:
    """Returns the footage of a sequence and its public detector: MOT17-02-FRCNN is ("MOT17-02", "FRCNN").

    MOT17 has each of its videos three times, once for each public detector; other names have no detector, "".
    """
    match = re.fullmatch(r"(MOT17-\d\d)-(DPM|FRCNN|SDP)", name)
    return (match.group(1), match.group(2)) if match else (name, "")
