"""Time a frame against the number of people: update() of each tracker on crowds of 10 to 500 with 128-d features.

python benchmarks/tracking_crowd.py --out benchmarks/tracking_crowd.png

Processor time is taken, not the clock's, so that other work on the machine does not count.
"""

import argparse
import sys
import time
from pathlib import Path

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from reid.records import hardware
from tracking import TRACKERS, build_tracker
from tracking.detections import Detections

WARM_UP = 10  # frames until tracks are confirmed and galleries begin to fill
DIMENSION = 128


def crowd(people: int, frames: int, seed: int) -> list[Detections]:
    """Returns frames of people who walk about, nine of ten seen, on an area that grows with their number."""
    rng = np.random.default_rng(seed)
    side = 250 * np.sqrt(people)
    place, velocity = rng.uniform(0, side, (people, 2)), rng.normal(0, 2, (people, 2))
    looks = rng.normal(size=(people, DIMENSION))
    sequence = []
    for _ in range(frames):
        place += velocity
        seen = rng.random(people) < 0.9
        corner = (place + rng.normal(0, 2, place.shape))[seen]
        boxes = np.concatenate([corner, corner + rng.normal([50, 130], 2, corner.shape)], axis=1)
        features = looks[seen] + 0.5 * rng.normal(size=(int(seen.sum()), DIMENSION))
        sequence.append(Detections.from_xyxy(boxes, rng.uniform(0.7, 1, len(boxes)), features))
    return sequence


def milliseconds_a_frame(name: str, frames: list[Detections]) -> float:
    """Returns the processor time of update() after the first frames, in ms."""
    tracker = build_tracker(name, min_confidence=0.1)
    for detections in frames[:WARM_UP]:
        tracker.update(detections)
    start = time.process_time()
    for detections in frames[WARM_UP:]:
        tracker.update(detections)
    return 1e3 * (time.process_time() - start) / (len(frames) - WARM_UP)


def plot(path: Path, counts: list[int], results: dict[str, list[float]]) -> None:
    """Draws one line a tracker, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for name, values in results.items():
        axes.plot(counts, values, marker="o", markersize=3, label=name)
    axes.set(xscale="log", yscale="log", xlabel="people a frame", ylabel="ms a frame (processor time of update)")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.axhline(10, color="grey", linewidth=0.8, linestyle="--")
    axes.text(counts[0], 10.5, "100 frames/s", color="grey", fontsize=8)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Prints a markdown table and draws the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[10, 20, 50, 100, 200, 500])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--trackers", nargs="+", default=[name for name in TRACKERS if not name.endswith("++")])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the picture; none without it")
    arguments = parser.parse_args()
    results: dict[str, list[float]] = {name: [] for name in arguments.trackers}
    for people in arguments.people:
        frames = crowd(people, arguments.frames, arguments.seed)
        for name, values in results.items():
            values.append(milliseconds_a_frame(name, frames))
    print(f"ms a frame, {DIMENSION}-d features, nine of ten people seen, {hardware()}\n")
    print("| tracker | " + " | ".join(str(count) for count in arguments.people) + " |")
    print("|---" * (1 + len(arguments.people)) + "|")
    for name, values in results.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    if arguments.out is not None:
        plot(arguments.out, arguments.people, results)


if __name__ == "__main__":
    main()
