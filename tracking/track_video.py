"""Tracks the people of a video and writes an annotated video, MOT results, crops and a summary.

python tracking/track_video.py --source street.mp4 --detector hog --save tracks.mp4 --save-txt tracks.txt
python tracking/track_video.py --source 0 --detector yolo:WEIGHTS --reid CKPT --tracker strongsort --save tracks.mp4
"""

import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: the repository root, not this folder, is where imports start
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from reid.command_flags import spelt_out
from reid.files import write_json
from reid.records import hardware, repository_commit
from tracking.benchmark_runs import Run, plan_runs
from tracking.blas_threads import blas_limiter
from tracking.boxes import xyxy_to_xywh
from tracking.checkpoints import open_checkpoints
from tracking.default_network import DEFAULT_REID, default_network
from tracking.detections import Detections
from tracking.detectors import Detector, build_detector
from tracking.frame_rate_line import frame_rate_line
from tracking.frame_source import DEFAULT_RATE, FrameSource, open_source
from tracking.images import crop_box
from tracking.intake import select_detections
from tracking.track_summary import TrackSummary
from tracking.track_video_options import BORDER, TrackVideoConfig
from tracking.tracks import Tracks
from tracking.video_outputs import VideoOutputs, open_outputs

__all__ = ["TrackVideoConfig", "main", "track_video"]

BROKEN_OFF = 3  # exit status
LOADED_BY_FIRST_CALL = ("yolo:", "torchvision:")


def track_video(config: TrackVideoConfig) -> dict[str, Any]:
    """Tracks a video and writes what the options tell.

    Returns:
        What --save-summary holds: "complete", "notes", "tracks" and more. "complete" is false when something could not
        be read, or the run was stopped before the end of a video. All but "speed" is the same in every run over the
        same frames.

    Raises:
        OSError: When a file cannot be written.
        ValueError: When an option, the source, or a file is wrong; the message says what to do.
    """
    config.check()
    source = open_source(config.source)
    detector = build_detector(config.detector, config.detector_options)
    run = _plan(config)
    rate = config.fps or source.rate or DEFAULT_RATE
    summary = TrackSummary(rate)
    pipeline = _Pipeline(detector, run, config)
    pipeline.load(config.detector.startswith(LOADED_BY_FIRST_CALL))
    paths: dict[str, Any] = {"video": config.save, "text": config.save_txt, "crops": config.save_crops}
    with open_outputs(**paths, crop_step=config.crop_step, rate=rate) as outputs, _stop_signals() as stopped:
        frames, size = _run(config, source, pipeline, outputs, summary, stopped)
        if not frames:
            raise ValueError("; ".join([f"{config.source}: no frame could be read", *source.notes]))
    notes = list(source.notes)
    if stopped() and not source.live:
        notes.append(f"{config.source}: stopped after {frames} frames")
    if outputs.video is not None and outputs.video.fitted:
        print(f"note: {outputs.video.fitted} frames of another size were scaled to the first one's", file=sys.stderr)
    result = {
        "source": config.source,
        "complete": not notes,
        "notes": notes,
        "frames": frames,
        "frame_rate": rate,
        "size": list(size),
        "detector": config.detector,
        "reid": None if run.checkpoint is None else str(config.reid or DEFAULT_REID),
        "tracker": run.method,
        "options": vars(run.tracker.options),
        **({} if run.gate is None else {"gate": str(run.gate)}),
        "tracks": summary.rows(),
        "speed": pipeline.speed(frames),
    }
    if config.save_summary is not None:
        write_json(config.save_summary, result)
    return result


def _plan(config: TrackVideoConfig) -> Run:
    """Builds the tracker and opens the network, as the benchmark would."""
    benchmark = config.as_benchmark(default_network() if config.wants_looks else config.reid)
    run = plan_runs(benchmark, open_checkpoints(benchmark.reid, config.device, config.precision))[0]
    if run.gate is not None:
        print(f"appearance limit: {run.gate}")
    return run


class _Pipeline:
    """Takes frames to tracks and measures where the time goes."""

    def __init__(self, detector: Detector, run: Run, config: TrackVideoConfig) -> None:
        self._detector, self._run = detector, run
        self._min_confidence = config.min_confidence
        self._border = BORDER if config.border is None else config.border
        self.seconds: dict[str, float] = defaultdict(float)
        self._one_thread = blas_limiter()  # for the tracker; networks on the CPU keep all of theirs
        self._loading = 0.0
        run.tracker.reset()

    def load(self, detector: bool) -> None:
        """Lets the networks load ahead of the first frame; their first calls get a black image.

        Args:
            detector: Whether the detector has a network.
        """
        start = time.perf_counter()
        black = np.zeros((64, 64, 3), np.uint8)
        if detector:
            self._detector(black, 0)
        if self._run.checkpoint is not None:
            self._run.checkpoint([black])
        self._loading = time.perf_counter() - start

    def __call__(self, number: int, image: np.ndarray) -> Tracks:
        found = self.timed("detector", self._detector, image, number)
        found, _ = select_detections(found, self._min_confidence)
        if self._run.checkpoint is not None:
            found = self._embedded(found, image)
        with self._one_thread():
            tracks: Tracks = self.timed("tracker", self._run.tracker.update, found, image)
        return tracks

    def _embedded(self, found: Detections, image: np.ndarray) -> Detections:
        if not len(found):
            return found
        assert self._run.checkpoint is not None
        looks = self.timed("reid", self._run.checkpoint, self.timed("crops", _crops, image, found))
        if self._border > 0:
            height, width = image.shape[:2]
            looks[is_cut_off(found.xyxy, height, width, self._border)] = 0  # which trackers take for unknown
        return Detections(found.xyxy, found.confidence, found.class_id, looks)

    def timed(self, stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Returns what `work` returns, its time counted under `stage`."""
        start = time.perf_counter()
        try:
            return work(*arguments)
        finally:
            self.seconds[stage] += time.perf_counter() - start

    def speed(self, frames: int) -> dict[str, Any]:
        """Returns frames a second without loading, the time of each part, and on which machine and commit."""
        total = sum(self.seconds.values())
        return {
            "frames_per_second": round(frames / max(total, 1e-9), 2),
            "loading_seconds": round(self._loading, 3),
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
            "milliseconds_per_frame": {
                stage: round(1000 * value / max(frames, 1), 2) for stage, value in self.seconds.items()
            },
            "hardware": hardware(),
            "commit": repository_commit(),
        }


def is_cut_off(xyxy: np.ndarray, height: int, width: int, border: float) -> np.ndarray:
    """Returns bool (N,), which boxes (N, 4) come near to the left, right or lower border of an image.

    Heads and shoulders of two people look more alike than they do as a whole. The upper border does not count: people
    whom it cuts are seen but for their heads, and detectors place the heads of others there.

    Args:
        xyxy: Boxes in pixels.
        height: Of the image.
        width: Of the image.
        border: How near, as a share of the height.
    """
    near = border * height
    cut: np.ndarray = (xyxy[:, 0] <= near) | (xyxy[:, 2] >= width - near) | (xyxy[:, 3] >= height - near)
    return cut


def _crops(image: np.ndarray, found: Detections) -> list[np.ndarray]:
    return [crop_box(image, xywh) for xywh in xyxy_to_xywh(found.xyxy)]


def _run(
    config: TrackVideoConfig,
    source: FrameSource,
    pipeline: _Pipeline,
    outputs: VideoOutputs,
    summary: TrackSummary,
    stopped: Callable[[], bool],
) -> tuple[int, tuple[int, int]]:
    """Goes through the frames; returns how many, and width and height of the first."""
    expected = [number for number in (source.length, config.max_frames) if number is not None]
    frames, size = 0, (0, 0)
    images = islice(source.frames(), config.max_frames)
    with frame_rate_line(min(expected, default=None)) as advance:
        while not stopped():
            item = pipeline.timed("reading", next, images, None)
            if item is None:
                break
            number, image = item
            tracks = pipeline(number, image)
            summary.add(number, tracks)
            drawn = None if outputs.video is None else pipeline.timed("drawing", outputs.draw, image, tracks)
            pipeline.timed("writing", outputs.write, number, image, tracks, drawn)
            size = size if frames else (image.shape[1], image.shape[0])
            frames += 1
            advance(len(tracks))
    return frames, size


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Yields what tells whether the user wants an end: a first Ctrl-C ends after the frame, a second at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # signals reach the main thread only
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def ask(*_: object) -> None:
        asked.set()
        for kind in kinds:
            signal.signal(kind, before[kind])

    try:
        for kind in kinds:
            signal.signal(kind, ask)
        yield asked.is_set
    finally:
        for kind in kinds:
            signal.signal(kind, before[kind])


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    import tyro

    config = tyro.cli(TrackVideoConfig, args=spelt_out(arguments, TrackVideoConfig))
    try:
        result = track_video(config)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for note in result["notes"]:
        print(f"note: {note}", file=sys.stderr)
    speed = result["speed"]
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in speed["milliseconds_per_frame"].items())
    frames, people = result["frames"], len(result["tracks"])
    print(f"{frames} frames, {people} identities, {speed['frames_per_second']:.1f} frames/s; ms a frame: {stages}")
    for path in (config.save, config.save_txt, config.save_crops, config.save_summary):
        if path is not None:
            print(f"wrote {path}")
    return 0 if result["complete"] else BROKEN_OFF


if __name__ == "__main__":
    sys.exit(main())
