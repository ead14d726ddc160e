"""Frames a second of update() alone, for each tracker, on DeepSORT .npy files.

python benchmarks/tracking.py --data FOLDER_OF_NPY
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reid.records import hardware
from tracking import TRACKERS, build_tracker
from tracking.runner import track_sequence
from tracking.sources import find_detections, read_source


def main() -> None:
    """Prints a markdown table with the best and the median of the repeats."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of DeepSORT .npy files")
    parser.add_argument("--min-confidence", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    sources = [read_source(path, name) for name, path in find_detections(arguments.data).items()]
    frames = sum(source.length for source in sources)
    boxes = sum(len(source.above(arguments.min_confidence).frame) for source in sources)
    print(f"{frames} frames, {boxes / frames:.1f} boxes a frame, {hardware()}\n")
    print("| tracker | frames/s, best | frames/s, median |\n|---|---|---|")
    for name in TRACKERS:
        tracker = build_tracker(name, min_confidence=arguments.min_confidence)
        seconds = []
        for _ in range(arguments.repeats):
            runs = [track_sequence(tracker, source, range(1, source.length + 1)) for source in sources]
            seconds.append(sum(run.seconds for run in runs))
        seconds.sort()
        print(f"| {name} | {frames / seconds[0]:.0f} | {frames / seconds[len(seconds) // 2]:.0f} |")


if __name__ == "__main__":
    main()
