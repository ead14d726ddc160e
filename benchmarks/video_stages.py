"""Where the time of a video goes: track_video with ready detections, stage by stage, one row a network.

python benchmarks/video_stages.py --source VIDEO --reid zoo:reidlite_distilled_world runs/distilled.onnx none

As many people as --people walk to and fro across the image on made-up paths, so that every frame has as many crops to
embed and tracks to keep, and no detector takes a share of the processor. Each network has a process of its own in each
of --rounds rounds, and they take turns; a cell is the median of the rounds in milliseconds a frame. "none" is the
tracker without looks.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("reading", "detector", "crops", "reid", "tracker", "drawing", "writing")


def walking_boxes(frames: int, people: int, width: int, height: int) -> np.ndarray:
    """Returns rows of a MOT det.txt: people of two fifths of the image's height who walk to and fro.

    Args:
        frames: Of the video.
        people: In each frame.
        width: Of the image, in pixels.
        height: Of the image, in pixels.

    Returns:
        float64 (frames * people, 7): frame from 1, -1, left, top, width, height, confidence 0.9, inside the image.
    """
    tall = 0.4 * height
    wide = 0.4 * tall
    frame = np.repeat(np.arange(frames), people)
    who = np.tile(np.arange(people), frames)
    reach, speed = width - wide, (1 + who % 4) * width / 400
    way = (who / people * 2 * reach + speed * frame) % (2 * reach)
    left = np.where(way < reach, way, 2 * reach - way)
    top = (height - tall) * (who + 0.5) / people
    size = np.full((len(frame), 2), (wide, tall))
    columns = (frame + 1, np.full(len(frame), -1), left, top, size, np.full(len(frame), 0.9))
    return np.column_stack(columns)


def run(source: Path, detections: Path, reid: str, options: Sequence[str], folder: Path) -> dict[str, Any]:
    """Tracks the video once in a process of its own; returns what its summary says of speed."""
    looks = ["--no-appearance"] if reid == "none" else ["--reid", reid]
    summary = folder / "summary.json"
    targets = ["--save", str(folder / "tracks.mp4"), "--save-txt", str(folder / "tracks.txt")]
    command = [sys.executable, str(ROOT / "tracking" / "track_video.py"), "--source", str(source), *looks, *options]
    command += ["--detector", str(detections), *targets, "--save-summary", str(summary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{reid}: track_video ended with {done.returncode}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(summary.read_text())["speed"]
    return found


def cells(speeds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns medians over the rounds: each stage in milliseconds a frame, their sum, and frames a second."""
    stages = [
        statistics.median(speed["milliseconds_per_frame"].get(stage, 0.0) for speed in speeds) for stage in STAGES
    ]
    rate = statistics.median(speed["frames_per_second"] for speed in speeds)
    return [*(f"{value:.2f}" for value in stages), f"{sum(stages):.2f}", f"{rate:.0f}"]


def measure_all(arguments: argparse.Namespace) -> None:
    """Prints the table in Markdown, and on which machine it was measured."""
    import cv2

    video = cv2.VideoCapture(str(arguments.source))
    numbers = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    frames, width, height = (int(video.get(number)) for number in numbers)
    video.release()
    if frames < 1:
        raise ValueError(f"{arguments.source}: no video that tells how many frames it has")
    frames = min(frames, arguments.frames or frames)
    options = [*arguments.options.split(), "--max-frames", str(frames)]
    with tempfile.TemporaryDirectory() as name:
        detections = Path(name) / "det.txt"
        rows = walking_boxes(frames, arguments.people, width, height)
        np.savetxt(detections, rows, fmt=["%d", "%d", "%.2f", "%.2f", "%.2f", "%.2f", "%.2f"], delimiter=",")
        found: dict[str, list[dict[str, Any]]] = {reid: [] for reid in arguments.reid}
        for _ in range(arguments.rounds):
            for reid, speeds in found.items():
                speeds.append(run(arguments.source, detections, reid, options, Path(name)))
    first = found[arguments.reid[0]][0]
    print(
        f"{frames} frames of {width} x {height}, {arguments.people} people each; {first['hardware']}, {first['commit']}"
    )
    header = ["network", *STAGES, "sum, ms a frame", "frames/s"]
    table = [
        header,
        ["---"] * len(header),
        *([f"`{Path(reid).name}`", *cells(speeds)] for reid, speeds in found.items()),
    ]
    print("\n".join(f"| {' | '.join(line)} |" for line in table))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="a video file")
    parser.add_argument("--reid", nargs="+", default=["zoo:reidlite_distilled_world", "none"])
    parser.add_argument("--people", type=int, default=8, help="detections of each frame")
    parser.add_argument("--frames", type=int, help="of the video; all unless told")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", default="", help="more options of track_video, in one string")
    arguments = parser.parse_args()
    try:
        measure_all(arguments)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
