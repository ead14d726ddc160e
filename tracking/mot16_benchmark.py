"""Tracks MOT15/16/17-style sequences, writes MOT results and scores them with TrackEval.

python tracking/mot16_benchmark.py --gt DIR --detections DIR --tracking-method strongsort sort --reid CKPT --out DIR
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: the repository root, not this folder, is where imports start
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reid.files import write_json
from reid.records import file_sha256, score_record
from tracking import build_tracker, tracker_options
from tracking.appearance_gate import Gate, find_gate
from tracking.embedding_cache import embed_detections
from tracking.evaluation import evaluate_mot, print_scores
from tracking.offline import OfflineFlags, OfflineOptions, offline_options, refine
from tracking.runner import track_sequence
from tracking.sequences import Sequence, find_sequences, match_sequences, read_sequence
from tracking.sources import SequenceDetections, find_detections, read_source
from tracking.tracker_flags import TrackerFlags
from tracking.tracks import Tracker


@dataclass(frozen=True, kw_only=True)
class Mot16BenchmarkConfig(TrackerFlags, OfflineFlags):
    """Tracks the sequences below --gt with one or more trackers, and scores each against the ground truth.

    Options of trackers come first, then the benchmark's own.

    Attributes:
        gt: Folder of sequence folders (gt/gt.txt, seqinfo.ini, and img1 where crops are embedded).
        out: Folder for <method>/<sequence>.txt, result.json and the cached embeddings.
        detections: Folder of sequence folders with det/det.txt, folder of DeepSORT .npy files, or one such file; the
            ground truth's own det/det.txt when left out.
        tracking_method: Trackers, one or more: botsort, bytetrack, deepocsort, deepsort, ocsort, reidsort, sort,
            strongsort, strongsort++.
        reid: Checkpoint (.safetensors or .onnx) that embeds the crops; features in .npy files give way to it.
        gate_fmr: False match rate at which the card of --reid tells the highest appearance distance (max_cosine of
            botsort, deepsort, strongsort); 0.03 unless told, where the card has it. See python -m reid.calibrate.
        sequences: Only these sequences, by the name of their detections or ground truth.
        sequence_map: Pairs of detection name and ground-truth name, where neither name nor number tells them.
        detection_columns: 7 or 10, for .npy files that do not tell.
        cache: Folder of the embedding cache; <out>/embeddings when left out.
        device: Device of the checkpoint.
        precision: Precision of the checkpoint.
    """

    gt: Path
    out: Path
    detections: Path | None = None
    tracking_method: tuple[str, ...] = ("strongsort",)
    reid: Path | None = None
    gate_fmr: float | None = None
    sequences: tuple[str, ...] | None = None
    sequence_map: dict[str, str] | None = None
    detection_columns: int | None = None
    cache: Path | None = None
    device: str = "auto"
    precision: str = "fp32"


def build_trackers(config: Mot16BenchmarkConfig) -> dict[str, Tracker]:
    """Builds the chosen trackers with the options that concern each.

    Raises:
        ValueError: When a tracker or a value is unknown, when an option concerns none of the trackers, or when
            options contradict each other.
    """
    if not config.tracking_method:
        raise ValueError("tracking_method: got none, allowed: one or more trackers")
    if len(set(config.tracking_method)) < len(config.tracking_method):
        raise ValueError(f"tracking_method: got {' '.join(config.tracking_method)}, allowed: each tracker once")
    allowed = {method: tracker_options(method) for method in config.tracking_method}
    given = {field.name: getattr(config, field.name) for field in fields(TrackerFlags)}
    given = {key: value for key, value in given.items() if value is not None}
    if config.appearance:
        del given["appearance"]  # the default, which says nothing about trackers that have no appearance
    for option in given:
        if not any(option in names for names in allowed.values()):
            flag = "--no-appearance" if option == "appearance" else f"--{option.replace('_', '-')}"
            raise ValueError(f"{flag}: not an option of {', '.join(config.tracking_method)}")
    if config.reid is not None and not config.appearance:
        raise ValueError("--reid with --no-appearance: the checkpoint would not be used; give one of them")
    if config.reid is not None and not any("appearance" in names for names in allowed.values()):
        raise ValueError(f"--reid: none of {', '.join(config.tracking_method)} uses appearance")
    return {
        method: build_tracker(method, **{key: value for key, value in given.items() if key in names})
        for method, names in allowed.items()
    }


def run_benchmark(config: Mot16BenchmarkConfig) -> dict[str, Any]:
    """Tracks, writes the results, prints a table a tracker and writes result.json.

    Returns:
        Tracker to score record; its "scores" are those of `evaluate_mot` plus "frames_per_second", update() alone,
        the tracker's "options" and its "offline" steps.

    Raises:
        ValueError: When the options, a file or the data are wrong; the message says what to do.
    """
    build_trackers(config)  # what is wrong with the options is said before anything is read
    gate = _gate(config)
    if gate is not None:
        print(f"appearance limit: {gate}")
        config = replace(config, max_cosine=gate.max_cosine, gate_fmr=None)
    trackers = build_trackers(config)
    offline = {method: offline_options(method, config) for method in trackers}
    sequences, sources = _load(config)
    if config.appearance and any("appearance" in tracker_options(method) for method in trackers):
        sources = _with_embeddings(config, sequences, sources)
    records = {}
    for method, tracker in trackers.items():
        folder = config.out / method
        for stale in folder.glob("*.txt"):
            stale.unlink()  # a result of an earlier run over other sequences would be scored along
        speed = _track(tracker, method, sequences, sources, folder, offline[method])
        mapping = {name: sequence.name for name, sequence in sequences.items()}
        evaluation = evaluate_mot(config.gt, folder, mapping)
        print_scores(evaluation, method, {"frames/s": {name: f"{rate:.0f}" for name, rate in speed.items()}})
        scores = {**evaluation, "frames_per_second": speed, "options": vars(tracker.options)}
        scores["offline"] = {
            key: str(value) if isinstance(value, Path) else value for key, value in vars(offline[method]).items()
        }
        if gate is not None and "max_cosine" in scores["options"]:
            scores["gate"] = str(gate)
        gt = config.gt.resolve()
        records[method] = score_record(
            scores, protocol="inductive", dataset=gt.parent.name, split=gt.name, seed=None, checkpoint=config.reid
        )
    write_json(config.out / "result.json", records)
    return records


def _gate(config: Mot16BenchmarkConfig) -> Gate | None:
    """Returns where the highest appearance distance comes from, None where there is none."""
    options = [tracker_options(method) for method in config.tracking_method] if config.appearance else []
    return find_gate(options, reid=config.reid, max_cosine=config.max_cosine, gate_fmr=config.gate_fmr)


def _load(config: Mot16BenchmarkConfig) -> tuple[dict[str, Sequence], dict[str, SequenceDetections]]:
    """Returns the sequences and their detections, by the name of the detections."""
    ground_truth = find_sequences(config.gt)
    files = find_detections(config.detections or config.gt)
    matched = match_sequences(files, ground_truth, config.sequence_map)
    if config.sequences is not None:
        for wanted in config.sequences:
            if wanted not in matched and wanted not in matched.values():
                names = sorted(set(matched) | set(matched.values()))
                raise ValueError(f"--sequences: got {wanted!r}, allowed: {', '.join(names)}")
        matched = {k: v for k, v in matched.items() if k in config.sequences or v in config.sequences}
    if not matched:
        raise ValueError(
            f"no detections belong to a ground truth; detections: {', '.join(files)}; "
            f"ground truth: {', '.join(ground_truth)}; name them alike or pass --sequence-map"
        )
    sequences = {name: read_sequence(ground_truth[target]) for name, target in matched.items()}
    sources = {}
    for name, sequence in sequences.items():
        source = read_source(files[name], name, sequence.info.length, config.detection_columns)
        used = source.only(sequence.frames)
        left_out = len(source.frame) - len(used.frame)
        if source.skipped or left_out:
            counts = f"{source.skipped} detections without area and {left_out} in frames not used"
            print(f"note: {name}: {counts} are left out", file=sys.stderr)
        sources[name] = used
    return sequences, sources


def _with_embeddings(
    config: Mot16BenchmarkConfig, sequences: Mapping[str, Sequence], sources: Mapping[str, SequenceDetections]
) -> dict[str, SequenceDetections]:
    """Returns the detections with embeddings: those of the checkpoint, or those that came with them."""
    if config.reid is None:
        for source in sources.values():
            if source.embeddings is None:
                raise ValueError(
                    f"{source.name}: the tracker needs appearance and the detections have no features; "
                    "pass --reid CHECKPOINT, or --no-appearance, or .npy files with features"
                )
        return dict(sources)
    for name, sequence in sequences.items():
        if not sequence.images:
            raise ValueError(f"{sequence.folder / sequence.info.image_dir}: no images to embed for {name}")
    from reid.embedder import Embedder  # torch is loaded only where a network runs

    embedder = Embedder(config.reid, device=config.device, precision=config.precision)
    model = f"{file_sha256(config.reid)} {config.precision}"
    embedded = {}
    for name, source in sources.items():
        # Detections that no tracker will look at need no embedding.
        source = source.above(config.min_confidence)
        with _progress(f"embed {name}", len(source.frame)) as advance:
            cache = config.cache or config.out / "embeddings"
            embedded[name] = embed_detections(source, sequences[name].images, embedder, model, cache, advance)
    return embedded


def _track(
    tracker: Tracker,
    method: str,
    sequences: Mapping[str, Sequence],
    sources: Mapping[str, SequenceDetections],
    folder: Path,
    offline: OfflineOptions,
) -> dict[str, float]:
    """Writes one result a sequence; returns frames a second by sequence and "COMBINED"."""
    seconds, frames = {}, {}
    uses_frames = getattr(tracker.options, "camera_motion", False)
    for name, sequence in sequences.items():
        if uses_frames and not sequence.images:
            raise ValueError(f"{sequence.folder / sequence.info.image_dir}: no images, which camera_motion needs")
        with _progress(f"{method} {name}", len(sequence.frames)) as advance:
            images = sequence.images if uses_frames else None
            tracked = track_sequence(tracker, sources[name], sequence.frames.tolist(), images, advance)
        refine(tracked, sources[name].embeddings, offline).write(folder / f"{name}.txt")
        seconds[name], frames[name] = tracked.seconds, tracked.frames
    speed = {name: frames[name] / max(seconds[name], 1e-9) for name in frames}
    speed["COMBINED"] = sum(frames.values()) / max(sum(seconds.values()), 1e-9)
    return speed


@contextmanager
def _progress(title: str, total: int) -> Iterator[Any]:
    """Shows a bar on the error stream and yields the function that advances it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    import tyro

    config = tyro.cli(Mot16BenchmarkConfig, args=arguments)
    try:
        run_benchmark(config)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
