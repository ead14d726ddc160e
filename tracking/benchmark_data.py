"""What the benchmark command tracks: sequences, their ground truth, and where their detections come from."""

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tracking.benchmark_options import PUBLIC, TRUTH, Mot16BenchmarkConfig
from tracking.ground_truth_copies import counts_from_zero, cut_sequence, half_range
from tracking.image_listing import remember_images
from tracking.layouts import HALVES, LAYOUTS, find_split, footage
from tracking.sequences import Sequence, find_sequences, match_sequences, read_sequence
from tracking.sources import find_detections
from tracking.tracks import Tracker


@dataclass(frozen=True)
class SequenceWork:
    """One sequence to track.

    Attributes:
        name: Of the result: that of the detections, or of the sequence.
        sequence: The frames and images to track; of a half, numbered from 1.
        first: The frame of the whole sequence that is frame 1 here.
        whole: Number of frames of the whole sequence.
        detections: File of detections, numbered as the whole, or None.
        stamps: What the caches know each image by.
        also: Names under which the result counts too: the other copies of the footage in MOT17.
    """

    name: str
    sequence: Sequence
    first: int
    whole: int
    detections: Path | None
    stamps: dict[Path, str]
    also: tuple[str, ...] = ()

    @property
    def has_truth(self) -> bool:
        """Whether it can be scored."""
        return (self.sequence.folder / "gt" / "gt.txt").is_file()


@dataclass(frozen=True)
class Workload:
    """All sequences of a run.

    Attributes:
        works: By their name.
        truth: Folder of sequence folders with ground truth.
        dataset: What is tracked, for the record.
        split: Which part of it.
        form: Preprocessing by TrackEval, as `tracking.evaluation.evaluate_mot` takes it.
        archive_folder: Folder inside the archive for the server.
    """

    works: dict[str, SequenceWork]
    truth: Path
    dataset: str
    split: str
    form: str
    archive_folder: str = ""

    @property
    def truth_names(self) -> dict[str, str]:
        """Name of a result to name of its ground truth, of those that have one."""
        return {name: work.sequence.name for name, work in self.works.items() if work.has_truth}

    @property
    def archive_names(self) -> dict[str, tuple[str, ...]]:
        """Name of a result to the names in the archive: the sequences', as far as these tell results apart."""
        times = Counter(work.sequence.name for work in self.works.values())
        return {
            name: (work.sequence.name if times[work.sequence.name] == 1 else name, *work.also)
            for name, work in self.works.items()
        }


def load_workload(config: Mot16BenchmarkConfig, needs_images: bool) -> Workload:
    """Finds the sequences and their detections.

    Args:
        config: The options.
        needs_images: Whether detectors, checkpoints or trackers look at images, so that the cache should remember them.

    Raises:
        ValueError: When something is missing or unknown; the message says what to do.
    """
    folders = sequence_folders(config)
    files, matched, also = _detections(config, folders)
    matched = _chosen(config, matched)
    works = {}
    for name, target in matched.items():
        sequence = read_sequence(folders[target])
        stamps: dict[Path, str] = {}
        if needs_images:
            sequence, stamps = remember_images(sequence, config.cache_folder)
        length = sequence.info.length
        works[name] = SequenceWork(name, sequence, 1, length, files.get(name), stamps, also.get(name, ()))
    if config.benchmark is None:
        assert config.gt is not None
        gt = config.gt.resolve()
        form = "MOT20" if all(work.sequence.name.startswith("MOT20-") for work in works.values()) else "MOT16"
        return _without_lost_frames(Workload(works, config.gt, gt.parent.name, gt.name, form), config.out)
    layout, split = LAYOUTS[config.benchmark], config.split or "train"
    zero = any(counts_from_zero(work.sequence) for work in works.values())
    whole = Workload(works, next(iter(folders.values())).parent, config.benchmark, split, layout.form)
    whole = replace(whole, archive_folder=layout.archive_folder)
    return _with_copies(whole, config.out) if split in HALVES or zero else _without_lost_frames(whole, config.out)


def sequence_folders(config: Mot16BenchmarkConfig) -> dict[str, Path]:
    """Returns name to folder of the sequences that the options name."""
    if config.benchmark is None:
        assert config.gt is not None
        return find_sequences(config.gt)
    assert config.root is not None
    return find_split(config.benchmark, config.split or "train", config.root)


def _detections(
    config: Mot16BenchmarkConfig, folders: dict[str, Path]
) -> tuple[dict[str, Path], dict[str, str], dict[str, tuple[str, ...]]]:
    """Returns files by name, name to sequence folder, and the other names of the same footage."""
    source = config.file_source
    if source is None:
        # MOT17 has each video three times, for three public detectors; another detector finds the same in each.
        copies: dict[str, list[str]] = {}
        for name in folders:
            copies.setdefault(footage(name)[0], []).append(name)
        if len(copies) < len(folders):
            print("note: each video is tracked once, for all copies of it in the benchmark", file=sys.stderr)
        also = {names[0]: tuple(names[1:]) for names in copies.values()}
        return {}, {name: name for name in also}, also
    if source == PUBLIC and config.benchmark is not None:
        missing = [name for name, folder in folders.items() if not (folder / "det" / "det.txt").is_file()]
        if missing:
            raise ValueError(
                f"{folders[missing[0]]}: no det/det.txt; {config.benchmark} may have no public detections: "
                "pass --detector or --detections"
            )
        return {name: folder / "det" / "det.txt" for name, folder in folders.items()}, {n: n for n in folders}, {}
    files = find_detections(source if source != PUBLIC else config.gt or "")
    matched = match_sequences(files, folders, config.sequence_map)
    if not matched:
        raise ValueError(
            f"no detections belong to a ground truth; detections: {', '.join(files)}; "
            f"ground truth: {', '.join(folders)}; name them alike or pass --sequence-map"
        )
    return files, matched, {}


def _chosen(config: Mot16BenchmarkConfig, matched: dict[str, str]) -> dict[str, str]:
    if config.sequences is None:
        return matched
    for wanted in config.sequences:
        if wanted not in matched and wanted not in matched.values():
            names = sorted(set(matched) | set(matched.values()))
            raise ValueError(f"--sequences: got {wanted!r}, allowed: {', '.join(names)}")
    return {k: v for k, v in matched.items() if k in config.sequences or v in config.sequences}


def _without_lost_frames(workload: Workload, out: Path) -> Workload:
    """Returns copies of the ground truth where images that are gone told which frames of it count."""
    for work in workload.works.values():
        lost = bool(work.sequence.images) and not any(path.is_file() for path in work.sequence.images.values())
        if lost and len(work.sequence.frames) < work.whole:
            return _with_copies(workload, out)
    return workload


def _with_copies(workload: Workload, out: Path) -> Workload:
    """Returns the workload with ground truth written below `out`, cut where the split is a half."""
    truth = out / f"{workload.dataset}-{workload.split}-ground-truth"
    works = {name: _copy(work, workload.split, truth) for name, work in workload.works.items()}
    return replace(workload, works=works, truth=truth)


def _copy(work: SequenceWork, split: str, truth: Path) -> SequenceWork:
    """Returns a half, or the whole, with ground truth of its own."""
    if split in HALVES and not work.has_truth:
        raise ValueError(f"{work.sequence.folder}: no gt/gt.txt to cut for {split}")
    first, last = half_range(work.whole, split) if split in HALVES else (1, work.whole)
    return replace(work, sequence=cut_sequence(work.sequence, first, last, truth), first=first)


def uses_images(config: Mot16BenchmarkConfig, trackers: Iterable[Tracker]) -> bool:
    """Returns whether detections, embeddings or the camera's motion are computed from images."""
    moving = config.ablate is not None or any(getattr(tracker.options, "camera_motion", False) for tracker in trackers)
    return bool(config.reid) or moving or (config.file_source is None and config.detector != TRUTH)
