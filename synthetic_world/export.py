"""Data sets of the world in public folder formats: Market-1501 and MOT16."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from .crops import BACKGROUND, CUT, PERSON, CropTask, write_crop
from .crowd import outfit_at
from .folders import Journal, JsonList, fingerprint, new_folder
from .frames import OVERLAPPING, SEPARATE, FrameTask, SequenceTask, write_frame
from .levels import get_level
from .match import CROWDS, STREET
from .progress import run_all
from .seeds import rng_for
from .sequence_files import SequenceFiles

TRAIN, QUERY, TEST = "bounding_box_train", "query", "bounding_box_test"
MOST_PIDS = 9999  # four digits in the file name
STRANGERS = 20000  # numbers of distractors begin here
DISTRACTORS = 0.2  # share of gallery images added as pid 0
JUNK = 0.12  # share of gallery images added as pid -1
TIMES_OF_DAY = 4
VIEWS = (OVERLAPPING, SEPARATE)
JOURNAL = "unfinished.jsonl"  # what a run has done so far


def _check(name: str, got: float, low: float, high: float) -> None:
    if not low <= got <= high:
        raise ValueError(f"{name}: got {got:g}, allowed is {low:g} to {high:g}")


def _check_crowd(crowd: str) -> None:
    if crowd not in CROWDS:
        raise ValueError(f"crowd: got {crowd!r}, allowed are {', '.join(CROWDS)}")


@dataclass(frozen=True)
class ReidOptions:
    """A re-identification data set.

    Attributes:
        pids: identities, those for training and those for testing together.
        cameras: each of them sees everybody.
        level: a name of `levels.LEVELS`.
        seed: of the world.
        images_per_camera: of each identity; the first of a test identity is its query.
        width: of the crops.
        height: of the crops.
        train_fraction: share of the identities for training.
        clothes_change: people wear other clothes at other times of the day; in a match all change together.
        crowd: STREET, or MATCH: teams, referees and coaches on a pitch.
    """

    pids: int = 200
    cameras: int = 6
    level: str = "medium"
    seed: int = 0
    images_per_camera: int = 2
    width: int = 64
    height: int = 128
    train_fraction: float = 0.5
    clothes_change: bool = False
    crowd: str = STREET

    def __post_init__(self) -> None:
        get_level(self.level)
        _check_crowd(self.crowd)
        _check("pids", self.pids, 2, MOST_PIDS)
        _check("cameras", self.cameras, 2, 99)
        _check("seed", self.seed, 0, 2**32 - 1)
        _check("images_per_camera", self.images_per_camera, 2, 99)
        _check("width", self.width, 16, 1024)
        _check("height", self.height, 32, 2048)
        _check("train_fraction", self.train_fraction, 0.0, 1.0)
        if not 1 <= self.train_pids <= self.pids - 1:
            raise ValueError(
                f"train_fraction: got {self.train_fraction:g}, which of {self.pids} identities leaves "
                f"{self.train_pids} for training; allowed is what leaves at least one on either side"
            )

    @property
    def train_pids(self) -> int:
        """Identities 1 to this number are for training, the rest for testing."""
        return round(self.pids * self.train_fraction)


@dataclass(frozen=True)
class MotOptions:
    """A tracking data set.

    Attributes:
        sequences: how many scenes.
        frames: of each.
        people: of each.
        cameras: that see the same scene at the same time; each gives a sequence folder.
        level: a name of `levels.LEVELS`.
        seed: of the world.
        width: of the images.
        height: of the images.
        fps: frames a second.
        camera_motion: cameras pan and shake in somebody's hands.
        views: OVERLAPPING, or SEPARATE: no place is seen by two cameras.
        clothes_change: who leaves comes back in other clothes; in a match all change between sequences instead.
        crowd: STREET, or MATCH: two teams of a match for each 32 people, referees and coaches on a pitch.
    """

    sequences: int = 2
    frames: int = 300
    people: int = 20
    cameras: int = 1
    level: str = "medium"
    seed: int = 0
    width: int = 960
    height: int = 540
    fps: float = 25.0
    camera_motion: bool = False
    views: str = OVERLAPPING
    clothes_change: bool = False
    crowd: str = STREET

    def __post_init__(self) -> None:
        get_level(self.level)
        _check_crowd(self.crowd)
        _check("sequences", self.sequences, 1, 99)
        _check("frames", self.frames, 1, 999999)
        _check("people", self.people, 1, 200)
        _check("cameras", self.cameras, 1, 9)
        _check("seed", self.seed, 0, 2**32 - 1)
        _check("width", self.width, 64, 3840)
        _check("height", self.height, 64, 2160)
        _check("fps", self.fps, 1.0, 120.0)
        if self.views not in VIEWS:
            raise ValueError(f"views: got {self.views!r}, allowed are {', '.join(VIEWS)}")


def plan_reid(options: ReidOptions, root: Path) -> list[CropTask]:
    """Every crop of the data set, with its file name."""
    found: list[tuple[str, int, int, str, int, int]] = []  # folder, pid, number, kind, camera, index
    for pid in range(1, options.pids + 1):
        for camera in range(1, options.cameras + 1):
            for index in range(options.images_per_camera):
                folder = TRAIN if pid <= options.train_pids else QUERY if index == 0 else TEST
                found.append((folder, pid, pid, PERSON, camera, index))
    gallery = sum(entry[0] == TEST for entry in found)
    rng = rng_for(options.seed, "extras")
    for extra in range(math.ceil(DISTRACTORS * gallery)):
        kind = PERSON if rng.random() < 0.7 else BACKGROUND
        # Strangers come back: about four images of each.
        number = STRANGERS + int(rng.integers(1 + gallery // 20))
        found.append((TEST, 0, number, kind, int(rng.integers(1, options.cameras + 1)), 1000 + extra))
    for extra in range(math.ceil(JUNK * gallery)):
        number = int(rng.integers(options.train_pids + 1, options.pids + 1))
        found.append((TEST, -1, number, CUT, int(rng.integers(1, options.cameras + 1)), 5000000 + extra))
    tasks = []
    for camera in range(1, options.cameras + 1):
        mine = [entry for entry in found if entry[4] == camera]
        order = rng_for(options.seed, "frames", camera).permutation(len(mine))
        gap = max(1, min(25, 999998 // max(len(mine), 1)))
        for rank, (folder, pid, number, kind, _, index) in zip(order, mine):
            visit = rng_for(options.seed, "time", number, camera)
            sequence, box = int(visit.integers(1, TIMES_OF_DAY + 1)), int(visit.integers(1, 10))
            frame = 1 + int(rank) * gap
            name = (
                f"-1_c{camera}s{sequence}_{frame:06d}_{box:02d}.jpg"
                if pid < 0
                else f"{pid:04d}_c{camera}s{sequence}_{frame:06d}_{box:02d}.jpg"
            )
            size, file = (options.width, options.height), f"{folder}/{name}"
            outfit = 0
            if options.clothes_change:
                outfit = outfit_at(options.seed, number, sequence, options.crowd)
            tasks.append(CropTask(options.seed, options.level, size, root, file, pid, number, kind, camera,
                                  options.cameras, sequence, frame, index, outfit, options.crowd))  # fmt: skip
    return sorted(tasks, key=lambda task: task.file)


def write_reid(
    options: ReidOptions, out: Path, *, processes: int = 1, overwrite: bool = False, clean: bool = False
) -> int:
    """Write a Market-1501 folder and `annotations.json` beside its image folders; the number of images.

    The folder appears when it is complete; what was interrupted is continued, see `new_folder`. Bytes depend on the
    options only, not on `processes`. `clean` deletes what other runs for this folder left unfinished.

    Raises:
        FileExistsError: when `out` is not empty and `overwrite` is not set, or another run is writing the same.
    """
    _check("processes", processes, 1, 256)
    with new_folder(out, fingerprint({"reid": asdict(options)}), overwrite, clean) as root:
        for folder in (TRAIN, QUERY, TEST):
            (root / folder).mkdir(exist_ok=True)
        tasks = plan_reid(options, root)
        journal = Journal(root / JOURNAL)
        rest = islice(tasks, journal.done, None)
        journal.extend(run_all(write_crop, rest, processes, "crops", len(tasks), journal.done))
        world = {"level": options.level, "seed": options.seed, "cameras": options.cameras,
                 "train_pids": options.train_pids, "pids": options.pids, "crowd": options.crowd}  # fmt: skip
        with contextlib.closing(JsonList(root / "annotations.json", {"world": world}, "images")) as images:
            for note in journal:
                images.add(note)
        journal.remove()
    return len(tasks)


def _sequence_names(options: MotOptions) -> list[list[str]]:
    cameras = range(1, options.cameras + 1)
    return [
        [f"WORLD-{number:02d}" + (f"-c{camera}" if options.cameras > 1 else "") for camera in cameras]
        for number in range(1, options.sequences + 1)
    ]


def write_mot(
    options: MotOptions, out: Path, *, processes: int = 1, overwrite: bool = False, clean: bool = False
) -> list[str]:
    """Write MOT16 folders under `out/train`, each with its `annotations.json`; the names of the sequences.

    The folder appears when it is complete; what was interrupted is continued, see `new_folder`. Bytes depend on the
    options only, not on `processes`. `clean` deletes what other runs for this folder left unfinished.

    Raises:
        FileExistsError: when `out` is not empty and `overwrite` is not set, or another run is writing the same.
    """
    _check("processes", processes, 1, 256)
    names = _sequence_names(options)
    with new_folder(out, fingerprint({"mot": asdict(options)}), overwrite, clean) as root:
        scenes = []
        for number, cameras in enumerate(names, 1):
            folders = tuple(root / "train" / name for name in cameras)
            for folder in folders:
                for part in ("img1", "gt", "det"):
                    (folder / part).mkdir(parents=True, exist_ok=True)
            scenes.append((_sequence(options, number), folders))
        total = options.sequences * options.frames
        journal = Journal(root / JOURNAL)
        rest = islice(
            (FrameTask(scene, frame, folders) for scene, folders in scenes for frame in range(1, options.frames + 1)),
            journal.done,
            None,
        )
        journal.extend(run_all(write_frame, rest, processes, "frames", total, journal.done))
        records = iter(journal)
        for scene, folders in scenes:
            _write_sequence(scene, folders, islice(records, options.frames))
        journal.remove()
    return [name for cameras in names for name in cameras]


def _sequence(options: MotOptions, number: int) -> SequenceTask:
    return SequenceTask(
        options.seed, options.level, number, options.frames, options.people, options.cameras,
        (options.width, options.height), options.fps, options.camera_motion, options.views, options.clothes_change,
        options.crowd,
    )  # fmt: skip


def _write_sequence(sequence: SequenceTask, folders: tuple[Path, ...], frames: Iterator[list[dict[str, Any]]]) -> None:
    """Write the text files of all cameras of a scene, frame by frame."""
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(contextlib.closing(SequenceFiles(sequence, *pair))) for pair in enumerate(folders)
        ]
        for number, views in enumerate(frames, 1):
            for writer, view in zip(writers, views):
                writer.add(number, view)
