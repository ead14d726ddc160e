"""Frames a second of update() alone, and scores, of each tracker and those of other libraries, on DeepSORT .npy files.

python benchmarks/tracking.py --data FOLDER_OF_NPY                                      this project's trackers
python benchmarks/tracking.py --data FOLDER_OF_NPY --gt MOT16/train --peers boxmot trackers

Each library runs in a process of its own, one at a time. In every repeat all trackers take their turn, all get the same
boxes and features, and one evaluation scores them. The others keep the options they come with, but for the motion of
the camera, which is off.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.side_by_side import DEFAULT_FOLDER, peer_python
from benchmarks.tracking_sides import BOXMOT, ROBOFLOW
from reid.records import hardware
from tracking import TRACKERS
from tracking.evaluation import evaluate_mot
from tracking.sources import find_detections, read_source

PEERS = ("boxmot==25.0.0", "trackers==2.6.1")
NEEDED = ("lapx",)  # of what boxmot asks for, all that its trackers import and this project lacks
SIDES: dict[str, tuple[str, ...]] = {
    "ours": tuple(name for name in TRACKERS if not name.endswith("++")),  # which differs offline only
    "boxmot": tuple(BOXMOT),
    "trackers": tuple(ROBOFLOW),
}
SCORES = ("HOTA", "AssA", "MOTA", "IDF1")


@dataclass
class Measured:
    """Seconds inside update() in each repeat, of the clock and of the processor."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of DeepSORT .npy files")
    parser.add_argument(
        "--gt", type=Path, help="folder of sequence folders with gt/gt.txt; left out, nothing is scored"
    )
    parser.add_argument("--trackers", nargs="+", choices=SIDES["ours"], default=SIDES["ours"], metavar="NAME")
    parser.add_argument(
        "--peers", nargs="+", choices=("boxmot", "trackers"), default=(), help="they are installed once"
    )
    parser.add_argument("--min-confidence", type=float, default=0.1, help="of this project's trackers")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--build", type=Path, default=DEFAULT_FOLDER, help="where the others' environment goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(arguments, Path(folder))
        scores = {} if arguments.gt is None else score(arguments.gt, Path(folder), list(measured))
    sources = [read_source(path, name) for name, path in find_detections(arguments.data).items()]
    frames = sum(source.length for source in sources)
    boxes = sum(len(source.above(arguments.min_confidence).frame) for source in sources)
    threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
    print(f"{frames} frames, {boxes / frames:.1f} boxes a frame, {hardware()}, threads of libraries: {threads}\n")
    print_table(measured, scores, frames)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[tuple[str, str], Measured]:
    """Runs every tracker in every repeat; returns (library, tracker) to its times."""
    python = str(peer_python(arguments.build, "trackers", PEERS, NEEDED)) if arguments.peers else ""
    wanted = [("ours", name) for name in arguments.trackers]
    wanted += [(side, name) for side in arguments.peers for name in SIDES[side]]
    measured = {key: Measured() for key in wanted}
    with ExitStack() as stack:
        workers: dict[str, subprocess.Popen[str]] = {}
        for side in dict.fromkeys(side for side, _ in wanted):
            command = [sys.executable if side == "ours" else python, "-W", "ignore"]
            command += [str(Path(__file__).with_name("tracking_worker.py")), "--side", side]
            command += ["--data", str(arguments.data), "--out", str(folder)]
            command += ["--min-confidence", str(arguments.min_confidence)]
            workers[side] = stack.enter_context(worker(command))
        for _ in range(arguments.repeats):
            for (side, name), times in measured.items():
                answer = ask(workers[side], name)
                times.seconds.append(answer["seconds"])
                times.processor.append(answer["processor"])
    return measured


@contextmanager
def worker(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Starts a worker and ends it with the block."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def ask(process: "subprocess.Popen[str]", name: str) -> dict[str, float]:
    """Lets a worker run a tracker and returns its answer.

    Raises:
        RuntimeError: When it ended instead; what it said stands on the error stream.
    """
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{name}: its process ended with status {process.wait()}; see above")
    answer: dict[str, float] = json.loads(line)
    return answer


def score(gt: Path, folder: Path, keys: list[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns the combined scores of each tracker's last results."""
    return {key: evaluate_mot(gt, folder / " ".join(key))["COMBINED"] for key in keys}


def print_table(
    measured: dict[tuple[str, str], Measured], scores: dict[tuple[str, str], dict[str, Any]], frames: int
) -> None:
    """Prints markdown: medians of the repeats, and ratios of processor time, which other work disturbs less."""
    names = (*SCORES, "IDSW") if scores else ()
    columns = ("tracker", *names, "frames/s", "frames/processor s", "ours is so many times as fast")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for (side, name), times in measured.items():
        found = scores.get((side, name), {})
        cells = [f"{100 * found[key]:.2f}" for key in SCORES if found]
        cells += [str(found["IDSW"])] if found else []
        cells += [f"{frames / np.median(value):.0f}" for value in (times.seconds, times.processor)]
        ours = measured.get(("ours", name))
        cells.append(
            f"{np.median(times.processor) / np.median(ours.processor):.1f}" if side != "ours" and ours else "-"
        )
        print(f"| {name if side == 'ours' else f'{side} {name}'} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
