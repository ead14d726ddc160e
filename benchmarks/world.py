"""How many pictures of the procedural world one core makes a second.

python benchmarks/world.py --crops 200 --frames 20

Counts the process's own time, so that others on the machine disturb less; JPEG encoding is part of it. The cold time is
that of a first crop and a first frame whose pixel loops have to be compiled, import included, in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

CROPS = ((64, 128), (128, 256))
FRAMES = ((960, 540), (1920, 1080))


def crop_maker(size: tuple[int, int], level: str, folder: Path) -> Callable[[int], Any]:
    """Writes the n-th of many crops, mixed as in a data set."""
    import numpy as np

    from synthetic_world.crops import write_crop
    from synthetic_world.export import ReidOptions, plan_reid

    tasks = plan_reid(ReidOptions(pids=100, level=level, width=size[0], height=size[1]), folder)
    for name in {Path(task.file).parent for task in tasks}:
        (folder / name).mkdir(exist_ok=True)
    order = np.random.default_rng(0).permutation(len(tasks))
    return lambda n: write_crop(tasks[order[n % len(tasks)]])


def frame_maker(size: tuple[int, int], level: str, people: int) -> Callable[[int], Any]:
    """Makes frames of one sequence, two seconds apart, encoded as JPEG."""
    import cv2

    from synthetic_world.export import MotOptions
    from synthetic_world.frames import SequenceTask, render_frame

    options = MotOptions(frames=1000, people=people, level=level, width=size[0], height=size[1])
    task = SequenceTask(options.seed, level, 1, options.frames, people, 1, size, options.fps)
    return lambda n: cv2.imencode(".jpg", render_frame(task, 1 + 50 * n % options.frames, 0)[0])


def rate(make: Callable[[int], Any], count: int, warm: int) -> float:
    """Pictures a second of process time, after `warm` others."""
    for n in range(warm):
        make(n)
    start = time.process_time()
    for n in range(warm, warm + count):
        make(n)
    return count / (time.process_time() - start)


def cold_seconds(level: str) -> float:
    """Seconds of process time of a first crop and a first frame without compiled loops."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.world import *; import time\n"
        f"crop_maker((64, 128), {level!r}, Path(sys.argv[1]))(0); frame_maker((96, 64), {level!r}, 2)(0)\n"
        "print(time.process_time())"
    )
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        root = Path(__file__).resolve().parents[1]
        found = subprocess.run(
            [sys.executable, "-c", code, folder], cwd=root, env=environment, check=True, capture_output=True, text=True
        )
    return float(found.stdout)


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=200, help="crops of each size")
    parser.add_argument("--frames", type=int, default=20, help="frames of each size")
    parser.add_argument("--people", type=int, default=20, help="people in a frame")
    parser.add_argument("--level", default="medium")
    arguments = parser.parse_args()
    import cv2

    cv2.setNumThreads(1)
    print("| | size | a second and core |\n|---|---|---|")
    for size in CROPS:
        with tempfile.TemporaryDirectory() as folder:
            make = crop_maker(size, arguments.level, Path(folder))
            print(f"| crops | {size[0]}x{size[1]} | {rate(make, arguments.crops, 30):.1f} |", flush=True)
    for size in FRAMES:
        make = frame_maker(size, arguments.level, arguments.people)
        kind = f"frames, {arguments.people} people"
        print(f"| {kind} | {size[0]}x{size[1]} | {rate(make, arguments.frames, 2):.1f} |", flush=True)
    print(f"\nfirst crop and frame with compilation: {cold_seconds(arguments.level):.1f} s")


if __name__ == "__main__":
    main()
