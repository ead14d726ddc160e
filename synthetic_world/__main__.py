"""Command line: `python -m synthetic_world reid|mot|judge|sheet ...`."""

import argparse
import sys
import time
from pathlib import Path

import cv2

from . import judge, sheet
from .export import VIEWS, MotOptions, ReidOptions, write_mot, write_reid
from .levels import LEVELS
from .match import CROWDS, STREET

OTHERS = {"judge": judge.run, "sheet": sheet.run}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m synthetic_world", description="A procedural pedestrian world.")
    commands = parser.add_subparsers(dest="command", required=True)
    reid = commands.add_parser("reid", help="write a Market-1501 folder")
    reid.add_argument("--pids", type=int, default=ReidOptions.pids, help="identities, train and test together")
    reid.add_argument("--cameras", type=int, default=ReidOptions.cameras)
    reid.add_argument("--images-per-camera", type=int, default=ReidOptions.images_per_camera)
    reid.add_argument("--width", type=int, default=ReidOptions.width)
    reid.add_argument("--height", type=int, default=ReidOptions.height)
    reid.add_argument("--train-fraction", type=float, default=ReidOptions.train_fraction)
    mot = commands.add_parser("mot", help="write MOT16 folders")
    mot.add_argument("--sequences", type=int, default=MotOptions.sequences)
    mot.add_argument("--frames", type=int, default=MotOptions.frames, help="of each sequence")
    mot.add_argument("--people", type=int, default=MotOptions.people, help="of each sequence")
    mot.add_argument("--cameras", type=int, default=MotOptions.cameras, help="that see each scene at the same time")
    mot.add_argument("--width", type=int, default=MotOptions.width)
    mot.add_argument("--height", type=int, default=MotOptions.height)
    mot.add_argument("--fps", type=float, default=MotOptions.fps)
    mot.add_argument("--camera-motion", action="store_true", help="cameras pan and shake in somebody's hands")
    mot.add_argument("--views", choices=VIEWS, default=MotOptions.views, help="of the cameras of one scene")
    for command in (reid, mot):
        command.add_argument("--clothes-change", action="store_true", help="people come back in other clothes")
        command.add_argument(
            "--crowd",
            choices=CROWDS,
            default=STREET,
            help="of a street, or of a match: teams, referees, coaches",
        )
        command.add_argument("--out", type=Path, required=True, help="folder to write; it appears when it is complete")
        command.add_argument("--level", choices=list(LEVELS), default="medium")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument(
            "--processes", type=int, default=1, help="work in that many processes; the bytes stay the same"
        )
        command.add_argument("--overwrite", action="store_true", help="replace a folder that is not empty")
        command.add_argument(
            "--clean", action="store_true", help="delete what runs of other options or other code left unfinished"
        )
    judge.add_arguments(commands.add_parser("judge", help="say how real and how hard the world is, by real networks"))
    sheet.add_arguments(commands.add_parser("sheet", help="draw a level: one row a person, one column a camera"))
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    cv2.setNumThreads(1)  # work is spread over processes, not threads
    try:
        if parsed.command in OTHERS:
            OTHERS[parsed.command](parsed)
            return 0
        options = vars(parsed)
        command, out = options.pop("command"), options.pop("out")
        run = {name: options.pop(name) for name in ("processes", "overwrite", "clean")}
        started = time.monotonic()
        if command == "reid":
            count = write_reid(ReidOptions(**options), out, **run)
            print(f"{out}: {count} images in {time.monotonic() - started:.1f} s")
        else:
            names = write_mot(MotOptions(**options), out, **run)
            print(f"{out}: {', '.join(names)} in {time.monotonic() - started:.1f} s")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
