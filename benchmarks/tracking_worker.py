"""One library's trackers in a process of its own, which waits for the name of a tracker and then runs it.

Started by benchmarks/tracking.py; it reads names from standard input and answers each with a line of JSON.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

if __package__ in (
    None,
    "",
):  # imports start at the repository root; this file's folder would hide `tracking` otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.tracking_sides import BUILDERS
from reid.data.mot import write_results
from tracking.boxes import xyxy_to_xywh
from tracking.sources import SequenceDetections, find_detections, read_source


def main() -> None:
    """Answers until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=sorted(BUILDERS), required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of DeepSORT .npy files")
    parser.add_argument("--out", type=Path, required=True, help="results go to OUT/SIDE TRACKER/SEQUENCE.txt")
    parser.add_argument("--min-confidence", type=float, required=True, help="of this project's trackers")
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    sources = [read_source(path, name) for name, path in find_detections(arguments.data).items()]
    for line in sys.stdin:
        name = line.strip()
        out = arguments.out / f"{arguments.side} {name}"
        times = np.zeros(2)
        for source in sources:
            times += run(arguments.side, name, source, arguments.min_confidence, out)
        print(json.dumps({"seconds": times[0], "processor": times[1]}), file=answers, flush=True)


def run(side: str, name: str, source: SequenceDetections, min_confidence: float, out: Path) -> np.ndarray:
    """Runs a new tracker over a sequence, writes its result, and returns the time inside update() alone.

    Returns:
        float64 (2,): seconds of the clock, and of the processor, those of all threads together.
    """
    tracker = BUILDERS[side](name, min_confidence)
    frames = [tracker.prepare(number, detections) for number, detections in source]
    outputs = []
    times = np.zeros(2)
    for frame in frames:
        start = time.perf_counter(), time.process_time()
        found = tracker.update(frame)
        times += time.perf_counter() - start[0], time.process_time() - start[1]
        outputs.append(tracker.rows(found))
    boxes, identities, confidences = (np.concatenate(parts) for parts in zip(*outputs))
    numbers = np.repeat(np.arange(1, len(outputs) + 1), [len(rows[1]) for rows in outputs])
    xywh = xyxy_to_xywh(boxes.astype(np.float64))
    keep = np.all(xywh[:, 2:] >= 0.01, axis=1)  # a box that rounds to no area makes a result file invalid
    write_results(out / f"{source.name}.txt", numbers[keep], identities[keep], xywh[keep], confidences[keep])
    return times


if __name__ == "__main__":
    main()
