"""`python -m tracking.evaluation explain RESULT`: oracles, identity switches with their costs, closest calls."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from reid.data.mot import read_results
from reid.files import write_json, write_text
from reid.records import hardware, repository_commit
from tracking import TRACKERS, build_tracker
from tracking.crop_strips import as_data_url, choose_shots, draw_strip
from tracking.explain_page import explain_page
from tracking.explanation import COLUMNS, Explanation, Subject, as_record, explain, oracle_scores
from tracking.offline import OFFLINE_DEFAULTS, OfflineOptions
from tracking.run_record import SUFFIX, RunRecord, read_run
from tracking.sequences import Sequence, find_sequences, match_sequences, read_sequence
from tracking.sources import find_detections, read_source
from tracking.tracker_flags import TrackerFlags
from tracking.trackeval_scores import read_scored_result, read_scored_truth


@dataclass(frozen=True)
class ExplainConfig:
    """Tells what a result loses where, and why identities switch: explain.html, for people, and explain.json.

    With ground truth: scores as if one part of tracking were perfect, and every identity switch. With the tracker's run
    (a .run.npz beside the result, or --detections): the costs that decided, and where the tracker was least sure.

    Attributes:
        result: A result file, or a folder of them.
        gt: Folder of sequence folders with ground truth.
        images: Folder of images named by frame number, or of sequence folders; the ground truth's own when left out.
        out: Folder for the page; "explained" beside the result when left out.
        detections: What the tracker was given, as for the benchmark: folder of sequence folders with det/det.txt,
            folder of DeepSORT .npy files, or one such file. Its options are taken from result.json.
        tracking_method: The tracker, with the benchmark's default options, where there is no result.json.
        detection_columns: 7 or 10, for .npy files that do not tell.
        sequence_map: Pairs of result name and ground-truth name, where they cannot be guessed.
        benchmark: Whose rules: MOT20 drops boxes on vehicles too; MOT15 is told by its ten columns.
        switches: Most switches a sequence on the page; explain.json has all.
    """

    result: Annotated[Path, tyro.conf.Positional]
    gt: Path | None = None
    images: Path | None = None
    out: Path | None = None
    detections: Path | None = None
    tracking_method: str | None = None
    detection_columns: int | None = None
    sequence_map: dict[str, str] | None = None
    benchmark: Literal["MOT15", "MOT16", "MOT17", "MOT20"] = "MOT16"
    switches: int = 50


def explain_results(config: ExplainConfig) -> tuple[Path, dict[str, Explanation], dict[str, Any]]:
    """Explains results, writes page and record.

    Returns:
        The page, sequence to explanation, and the scores of the oracles.

    Raises:
        ValueError: When files are missing or wrong, or there is nothing to explain by.
    """
    subjects = load_subjects(config)
    explained = {subject.name: explain(subject) for subject in subjects}
    scores = oracle_scores(explained)
    folder = config.result if config.result.is_dir() else config.result.parent
    out = config.out or folder / "explained"
    record = {**as_record(explained, scores), "result": str(config.result), "commit": repository_commit()}
    write_json(out / "explain.json", record)
    strips = {name: _strips(explanation, config.switches) for name, explanation in explained.items()}
    facts = {"result": str(config.result), "commit": repository_commit(), "hardware": hardware()}
    for subject in subjects:
        if subject.run is not None:
            facts[f"{subject.name}, tracker"] = subject.run.method
    title = f"{folder.resolve().name}: what is lost, and why"
    write_text(out / "explain.html", explain_page(title, facts, explained, scores, strips, config.switches))
    return out / "explain.html", explained, scores


def load_subjects(config: ExplainConfig) -> list[Subject]:
    """Reads results and all that is at hand for them.

    Raises:
        ValueError: When files are missing or wrong, or there is nothing to explain by.
    """
    path = config.result
    files = [path] if path.is_file() else sorted(path.glob("*.txt"))
    if not files:
        raise ValueError(f"{path}: no result; give a file, or a folder with one <sequence>.txt a sequence")
    results = {file.stem: file for file in files}
    folders: dict[str, Path] = {}
    if config.gt is not None:
        ground_truth = find_sequences(config.gt)
        matched = match_sequences(results, ground_truth, config.sequence_map)
        folders = {name: ground_truth[target] for name, target in matched.items()}
        if not folders:
            names = f"results: {', '.join(results)}; ground truth: {', '.join(ground_truth)}"
            raise ValueError(f"{config.gt}: no result belongs to a ground truth; {names}; pass --sequence-map")
        results = {name: results[name] for name in folders}
    elif config.sequence_map is not None:
        raise ValueError("--sequence-map: used with --gt only")
    return [_subject(config, name, file, folders.get(name)) for name, file in results.items()]


def _subject(config: ExplainConfig, name: str, file: Path, folder: Path | None) -> Subject:
    sequence = None if folder is None else read_sequence(folder)
    rows = read_results(file) if sequence is None else read_scored_result(file, sequence)
    run = _find_run(config, name, file, sequence)
    if sequence is None and run is None:
        hint = f"give --gt, or --detections, or track with --log-costs, which writes {name}{SUFFIX}"
        raise ValueError(f"{file}: nothing to explain it by; {hint}")
    truth = None if sequence is None else read_scored_truth(sequence)
    images = _images(config.images, name) if config.images else ({} if sequence is None else sequence.images)
    return Subject(name, rows, sequence, truth, run, images, config.benchmark)


def _find_run(config: ExplainConfig, name: str, file: Path, sequence: Sequence | None) -> RunRecord | None:
    """Returns the run beside the result, or the one that --detections and result.json tell, or None."""
    if config.detections is None:
        for option in ("tracking_method", "detection_columns"):
            if getattr(config, option) is not None:
                raise ValueError(f"--{option.replace('_', '-')}: used with --detections only")
        beside = file.with_name(name + SUFFIX)
        return read_run(beside) if beside.is_file() else None
    sources = find_detections(config.detections)
    matched = match_sequences([name], sources)
    if name not in matched:
        raise ValueError(f"{config.detections}: no detections of {name}; there are {', '.join(sources)}")
    length = None if sequence is None else sequence.info.length
    source = read_source(sources[matched[name]], name, length, config.detection_columns)
    frames = np.arange(1, source.length + 1) if sequence is None else sequence.frames
    method, options, offline = _settings(config, file)
    return RunRecord(method, options, offline, source.only(frames), frames)


def _settings(config: ExplainConfig, file: Path) -> tuple[str, dict[str, Any], OfflineOptions]:
    """Returns tracker, options and offline steps: of result.json, or the benchmark's defaults."""
    if config.tracking_method is not None:
        method = config.tracking_method
        options = vars(build_tracker(method, min_confidence=TrackerFlags.min_confidence).options)
        return method, dict(options), OfflineOptions(**OFFLINE_DEFAULTS.get(method, {}))
    for folder in (file.parent, file.parent.parent):
        path = folder / "result.json"
        if path.is_file():
            return _recorded(path, file.resolve().parent.name)
    raise ValueError(f"{file}: no result.json beside it tells the tracker's options; pass --tracking-method")


def _recorded(path: Path, label: str) -> tuple[str, dict[str, Any], OfflineOptions]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if label not in record:
            raise ValueError(f"it has no record of {label}; there are {', '.join(record)}")
        scores = record[label]["scores"]
        offline = dict(scores["offline"])
        if offline.get("aflink_weights") is not None:
            offline["aflink_weights"] = Path(offline["aflink_weights"])
        # strongsort++@net and strongsort-no-ema are runs of strongsort++ and of strongsort.
        methods = [method for method in TRACKERS if re.match(rf"{re.escape(method)}(?![a-z+])", label)]
        if not methods:
            raise ValueError(f"{label} begins with no tracker's name")
        return max(methods, key=len), dict(scores["options"]), OfflineOptions(**offline)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: tells no options ({error}); pass --tracking-method") from error


def _images(root: Path, name: str) -> dict[int, Path]:
    """Returns frame to image, of the first place that has any."""
    for folder in (root / name / "img1", root / name, root / "img1", root):
        if folder.is_dir():
            found = {int(path.stem): path for path in sorted(folder.iterdir()) if _is_image(path)}
            if found:
                return found
    raise ValueError(f"{root}: no images named by frame number for {name}, such as {name}/img1/000001.jpg")


def _is_image(path: Path) -> bool:
    return path.stem.isdigit() and path.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp")


def _strips(explanation: Explanation, most: int) -> dict[int, str]:
    """Returns number of the switch to its picture, where there are images."""
    subject, following = explanation.subject, explanation.following
    if following is None or subject.truth is None or not subject.images:
        return {}
    strips = {}
    for place, story in enumerate(explanation.stories[:most]):
        shots = choose_shots(story.switch, following, subject.rows, subject.truth)
        strip = draw_strip(shots, subject.images)
        if strip is not None:
            strips[place] = as_data_url(strip)
    return strips


def print_summary(explained: Mapping[str, Explanation], scores: Mapping[str, Any]) -> None:
    """Prints the oracles, and the switches by cause."""
    from rich.console import Console
    from rich.table import Table

    from tracking.evaluation import format_row

    console = Console(width=None if sys.stdout.isatty() else 160)
    if scores:
        table = Table(title="if one part were perfect (COMBINED)")
        for column in ("", *COLUMNS):
            table.add_column(column, justify="right" if column else "left")
        for oracle, value in scores.items():
            table.add_row(oracle, *format_row(value["COMBINED"], COLUMNS))
        console.print(table)
    for name, explanation in explained.items():
        causes = [story.cause for story in explanation.stories]
        counts = ", ".join(f"{causes.count(cause)} {cause}" for cause in dict.fromkeys(causes))
        console.print(f"{name}: {len(causes)} switches{': ' if counts else ''}{counts}", highlight=False)
    for note in dict.fromkeys(note for explanation in explained.values() for note in explanation.notes):
        console.print(f"note: {note}", highlight=False)


def main(arguments: list[str]) -> int:
    """Runs the command line; returns the exit status."""
    config = tyro.cli(ExplainConfig, args=arguments, prog="python -m tracking.evaluation explain")
    try:
        if config.switches < 0:
            raise ValueError(f"--switches: got {config.switches}, allowed: 0 or more")
        page, explained, scores = explain_results(config)
        print_summary(explained, scores)
        print(f"{page}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
