"""Walks of made-up worlds, no image drawn, for the training of AFLink: ground truth in MOT16 folders.

python experiments/aflink_world.py --out runs/aflink-worlds
python experiments/aflink_world.py --out runs/aflink-judge --seeds 720 721 722 723 724 725 --frames 400
python -m tracking.aflink --gt runs/aflink-worlds --judge runs/aflink-judge --pairs 3000 --epochs 12 \
    --out checkpoints/aflink_world.safetensors
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

import numpy as np  # noqa: E402

from reid.config import run_entry_point  # noqa: E402
from reid.files import write_text  # noqa: E402
from synthetic_world.frames import SequenceTask, frame_camera, sequence_scene  # noqa: E402
from synthetic_world.levels import get_level  # noqa: E402
from synthetic_world.render import person_boxes  # noqa: E402
from synthetic_world.scene import gather  # noqa: E402

# Image sizes and frame rates of MOT16's sequences, and the world's own.
VIEWS = (((960, 540), 25.0), ((1920, 1080), 30.0), ((640, 480), 14.0))
PEOPLE = (12, 24, 40)


@dataclasses.dataclass(frozen=True)
class AfLinkWorldConfig:
    """Writes gt/gt.txt and seqinfo.ini of people who walk, one folder a seed.

    Image size and frame rate, number of people, and whether the camera moves change from seed to seed. Nothing is
    drawn: boxes are exact, and visibility, which needs pixels, is written as 1.
    """

    out: Path
    """Folder of the sequence folders."""
    seeds: tuple[int, ...] = tuple(range(700, 712))
    """One world each; the worlds of demos, tests and the zoo have seeds below 100."""
    frames: int = 600
    """Of each."""
    level: str = "medium"
    """Of the worlds."""

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: got {self.seeds}, allowed: each once")
        if self.frames < 1:
            raise ValueError(f"frames: got {self.frames}, allowed: 1 or more")


def world_task(seed: int, frames: int, level: str) -> SequenceTask:
    """Returns the sequence of a seed: view, crowd and camera motion follow from it."""
    size, rate = VIEWS[seed % len(VIEWS)]
    people = PEOPLE[seed // len(VIEWS) % len(PEOPLE)]
    return SequenceTask(seed, level, 1, frames, people, 1, size, rate, camera_motion=seed % 2 == 1)


def walk_rows(task: SequenceTask) -> Iterator[str]:
    """Yields the lines of gt.txt: everybody whose box has its centre in the image."""
    crowd, level = sequence_scene(task).crowd, get_level(task.level)
    size = np.array(task.size)
    for frame in range(1, task.frames + 1):
        stands = crowd.at(frame - 1)
        if not stands:
            continue
        group = gather(task.seed, level, stands, task.crowd)
        boxes = person_boxes(frame_camera(task, frame, 0), group.primitives, len(stands))
        boxes[boxes[:, 2] < boxes[:, 0]] = -1  # behind the camera
        centres = 0.5 * (boxes[:, :2] + boxes[:, 2:])
        seen = ((centres >= 0) & (centres <= size)).all(axis=1)
        for index in np.flatnonzero(seen):
            left, top, right, bottom = boxes[index]
            box = f"{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f}"
            yield f"{frame},{stands[index].track + 1},{box},1,1,1\n"


def write_worlds(config: AfLinkWorldConfig) -> None:
    """Writes the folders; those that are there already are left as they are.

    Raises:
        ValueError: When the level is unknown.
    """
    for seed in config.seeds:
        task = world_task(seed, config.frames, config.level)
        folder = config.out / f"WORLD-{seed}"
        if (folder / "gt" / "gt.txt").is_file():
            continue
        width, height = task.size
        write_text(
            folder / "seqinfo.ini",
            f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate={task.fps:g}\nseqLength={task.frames}\n"
            f"imWidth={width}\nimHeight={height}\nimExt=.jpg\n",
        )
        write_text(folder / "gt" / "gt.txt", "".join(walk_rows(task)))
        print(f"{folder}: {task.people} people, {task.frames} frames", flush=True)


if __name__ == "__main__":
    run_entry_point(write_worlds, AfLinkWorldConfig)
