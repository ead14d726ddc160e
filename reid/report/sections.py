"""The parts of the report: each draws its pictures, returns its HTML and the numbers for report.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.data.base import Sample
from reid.pictures import draw_cmc, draw_ranked_lists
from reid.records import by_protocol
from reid.report.camera_picture import draw_camera_pairs
from reid.report.confusion import draw_confused_pairs, draw_confusion, most_confused
from reid.report.distance_pictures import draw_distances, draw_errors
from reid.report.embedding_map import choose_points, draw_embedding_map, project, umap_is_installed
from reid.report.options import ReportOptions
from reid.report.page import Bar, Cell, figure, heading, pair, paragraph, source, table
from reid.report.precision_recall import draw_precision_recall, precision_at_recall
from reid.report.subject import Subject

Record = dict[str, Any]
_METRICS = ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")
_RATES = ("fmr", "fnmr", "known_identified", "known_mistaken", "known_rejected", "unknown_rejected")
_KINDS = {
    "best": "The best queries by average precision",
    "random": "Queries drawn at random",
    "worst": "The worst queries",
}
_TITLES = {
    "visibility": "visible share of the person",
    "size": "height of the person's box, in pixels of the camera",
    "direction": "side that the camera sees",
    "body": "parts that are visible",
    "stride": "pose of the legs",
}


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        html: Without its heading.
        numbers: For report.json.
    """

    html: str
    numbers: dict[str, Any]


def score_section(records: Sequence[Record]) -> Section:
    """Scores, a table for each protocol."""
    parts = []
    for protocol, group in by_protocol(records, "report").items():
        rows = []
        for record in group:
            scores, intervals = record["scores"], record.get("intervals", {})
            cells = [_score(scores.get(name), intervals.get(name)) for name in _METRICS]
            counts = [str(scores.get("num_valid", "–")), str(scores.get("num_skipped", "–"))]
            rows.append([str(record.get("distance", "")), *cells, *counts])
        parts += [heading(protocol.capitalize(), 3), table(("distance", *_METRICS, "queries", "skipped"), rows)]
        if any(record.get("intervals") for record in group):
            confidence = next(record["intervals"]["confidence"] for record in group if record.get("intervals"))
            parts.append(paragraph(f"In brackets: {100 * confidence:g} % intervals over identities (bootstrap)."))
        parts += [source(record, str(record.get("distance", ""))) for record in group]
    return Section("".join(parts), {"records": list(records)})


def _score(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "–"
    text = f"{100 * value:.1f}"
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def curve_section(subjects: Sequence[Subject], folder: Path) -> Section:
    """CMC and precision over recall, all rankings together."""
    draw_cmc({subject.title: subject.ranking.result.cmc for subject in subjects}, folder / "cmc.png")
    curves = {subject.title: precision_at_recall(*subject.matrix_and_ids) for subject in subjects}
    draw_precision_recall(curves, folder / "precision_recall.png")
    text = "Share of queries with a right match among the first k."
    second = "Precision when so much of a person has been found; the area is mAP."
    numbers = {name: [float(value) for value in curve] for name, curve in curves.items()}
    both = figure(folder / "cmc.png", text), figure(folder / "precision_recall.png", second + subset_note(subjects[0]))
    return Section(pair(*both), {"precision_at_recall": numbers})


def subset_note(subject: Subject) -> str:
    """Returns a sentence on queries that are left out of what needs distances, or nothing."""
    if subject.ranking.queries is None:
        return ""
    total = len(subject.ranking.result.ap)
    return f" Of {len(subject.ranking.queries)} queries drawn from {total}, because the distances of all take too much."


def open_set_section(subject: Subject, record: Record, options: ReportOptions, folder: Path) -> Section:
    """Errors of thresholds, for known people and for strangers."""
    try:
        rows = subject.open_set(options.fmr)
    except ValueError as error:
        return Section(paragraph(f"Left out: {error}"), {"open_set": None})
    cells = [[row["threshold at"], f"{row['threshold']:.4g}", *(Bar(row[name]) for name in _RATES)] for row in rows]
    columns = ["threshold", "distance", "FMR", "FNMR"]
    columns += ["known, right", "known, wrong", "known, rejected", "unknown, rejected"]
    suggested = rows[0]["threshold"]
    level = options.fmr[len(options.fmr) // 2]
    marks = {"suggested": suggested, f"FMR {100 * level:g} %": subject.pairs.threshold_at(level)}
    draw_distances(subject.pairs, marks, folder / "distances.png")
    draw_errors(subject.pairs, subject.nearest, suggested, folder / "errors.png")
    words = (
        "All in %. FMR: pairs of different people that are accepted; FNMR: pairs of one person in two cameras that are "
        "rejected. Known: the query's person is in the gallery; it gets the right name, a wrong one, or is rejected. "
        "Unknown, rejected: the unknown-person rate, queries that are called unknown when their person is taken out of "
        "the gallery. The suggested threshold has the largest mean of 'known, right' and 'unknown, rejected'; it was "
        "chosen on these very images, so that new ones will do a little worse." + subset_note(subject)
    )
    body = table(columns, cells) + paragraph(words) + source(record, subject.name)
    body += figure(folder / "errors.png", "Errors of each threshold: ROC, DET, and queries by name.", wide=True)
    body += figure(folder / "distances.png", "Distances of pairs of one person and of different people.")
    return Section(body, {"open_set": rows, "suggested_threshold": suggested})


def confusion_section(subject: Subject, options: ReportOptions, folder: Path) -> Section:
    """Who is taken for whom."""
    found = most_confused(*subject.matrix_and_ids, people=options.confused)
    numbers = {"confused": [asdict(pair) for pair in found.pairs]}
    if not found.pairs or not found.pids:
        return Section(paragraph("Nobody is taken for anybody else."), numbers)
    query, gallery = subject.query, subject.gallery
    draw_confusion(found, query, folder / "confusion.png")
    draw_confused_pairs(found, query, gallery, folder / "confused_pairs.jpg")
    words = "Of the first R places of a query, R being the number of its matches: whose they should be (rows) and "
    words += "who takes them (columns), in %. The people who are mixed up most." + subset_note(subject)
    second = "The pairs that are mixed up most: a person, and who is taken for them."
    return Section(
        figure(folder / "confusion.png", words, wide=True) + figure(folder / "confused_pairs.jpg", second), numbers
    )


def breakdown_section(subject: Subject, record: Record, options: ReportOptions, folder: Path) -> Section:
    """Scores by camera, pair of cameras and attribute."""
    groups, parts = subject.breakdown(), []
    numbers: dict[str, Any] = {"breakdown": groups}
    for name, rows in groups.items():
        cells: list[list[Cell]] = [
            [str(row["group"]), Bar(row["rank1"]), Bar(row["mAP"]), str(row["num_valid"]), str(row["num_skipped"])]
            for row in rows
        ]
        parts += [
            heading(f"By {_TITLES.get(name, name)}", 3),
            table(("queries", "Rank-1", "mAP", "valid", "skipped"), cells),
        ]
        parts.append(source(record, subject.name))
    cameras = subject.cameras
    if cameras is not None and cameras.num_valid.any():
        draw_camera_pairs(cameras, folder / "camera_pairs.png")
        words = "Queries of one camera in the gallery of another alone, which is smaller than the whole one: pairs are "
        words += "to be compared with each other, not with the scores above." + subset_note(subject)
        parts += [heading("By pair of cameras", 3), figure(folder / "camera_pairs.png", words, wide=True)]
        parts.append(source(record, subject.name))
        numbers["camera_pairs"] = _plain(asdict(cameras))
    level = options.fmr[len(options.fmr) // 2]
    threshold = _threshold(subject, level)
    turns = [] if threshold is None else subject.turns(threshold)
    if turns:
        columns = ("turn, degrees", "pairs", "median distance", "missed")
        parts += [heading("By turn of the body", 3), table(columns, [_turn(row) for row in turns])]
        words = f"Pairs of one person in two cameras; missed: farther apart than at FMR {100 * level:g} %."
        parts.append(paragraph(words + subset_note(subject)))
        parts.append(source(record, subject.name))
        numbers["turns"] = {"fmr": level, "threshold": threshold, "rows": turns}
    return Section("".join(parts) or paragraph("Neither cameras nor annotations are known."), numbers)


def _threshold(subject: Subject, level: float) -> float | None:
    try:
        return subject.pairs.threshold_at(level)
    except ValueError:
        return None  # said in the part on open sets


def _turn(row: Mapping[str, Any]) -> list[Cell]:
    median = "–" if row["median"] is None else f"{row['median']:.4g}"
    return [str(row["group"]), str(row["count"]), median, Bar(row["missed"])]


def _plain(value: Any) -> Any:
    """Returns arrays as lists, NaN as None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def ranked_section(subject: Subject, options: ReportOptions, folder: Path) -> Section:
    """Three sheets of ranked lists."""
    parts = []
    for kind, caption in _KINDS.items():
        path = folder / f"ranked_{kind}.jpg"
        numbers = {"top": options.top, "num_queries": options.num_queries, "seed": options.seed}
        draw_ranked_lists(subject.ranking.distmat, subject.query, subject.gallery, path, kind=kind, **numbers)  # type: ignore[arg-type]
        parts.append(figure(path, f"{caption}.{subset_note(subject)}", wide=True))
    return Section("".join(parts), {})


def map_section(
    features: NDArray[np.float32], samples: Sequence[Sample], options: ReportOptions, folder: Path
) -> Section:
    """Embeddings in the plane."""
    points = choose_points(samples, options.map_points, options.map_people, options.seed)
    if len(points.indices) < 3:
        return Section(paragraph("Left out: fewer than three images."), {})
    camids = np.array([samples[index].camid for index in points.indices])
    parts = []
    for method in ("t-SNE", "UMAP") if umap_is_installed() else ("t-SNE",):
        places = project(features[points.indices], method, options.seed)
        path = folder / f"map_{method.lower().replace('-', '')}.png"
        draw_embedding_map(places, points.pids, camids, method, path)
        words = (
            f"{len(places)} of {len(samples)} test images (seed {options.seed}). People should be islands, cameras not."
        )
        parts.append(figure(path, words, wide=True))
    return Section("".join(parts), {"map_points": len(points.indices)})
