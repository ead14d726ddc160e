"""The demo's results as tables and as one self-contained HTML page."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from reid.files import write_text
from reid.pictures import draw_cmc, draw_loss_curve
from reid.records import by_protocol, require_one_protocol
from reid.report.page import code, figure, heading, page, pair, paragraph, table
from tracking.drawing import draw_sequence

REID_COLUMNS = ("method", "distance", "protocol", "Rank-1", "mAP", "mINP")
TRACKING_COLUMNS = ("tracker", "HOTA", "IDF1", "MOTA", "IDSW", "frames/s")


@dataclasses.dataclass(frozen=True)
class Results:
    """What a demo run measured.

    Attributes:
        folder: The run's folder.
        sequences: The tracking world's folder.
        scores: Method to its score records, one a distance.
        tracking: Tracker to its score record.
        epochs: The rows of metrics.jsonl.
        commands: Title of each step to its command.
        seconds: Duration of the whole.
    """

    folder: Path
    sequences: Path
    scores: dict[str, list[dict[str, Any]]]
    tracking: dict[str, dict[str, Any]]
    epochs: list[dict[str, float]]
    commands: dict[str, str]
    seconds: float


def reid_records(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Returns protocol -> records, each with its method's name in the report: a table for each protocol."""
    records = [record | {"method": method} for method, group in results.scores.items() for record in group]
    return by_protocol(records, "report")


def reid_rows(records: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Returns the rows under `REID_COLUMNS`, ratios in percent.

    Raises:
        ValueError: When the records differ in their protocol.
    """
    protocol = require_one_protocol(records, "report")
    rows = []
    for record in records:
        ratios = (f"{100 * record['scores'][name]:.1f}" for name in ("Rank-1", "mAP", "mINP"))
        rows.append((record["method"], record["distance"], protocol, *ratios))
    return rows


def tracking_rows(results: Results) -> list[tuple[str, ...]]:
    """Returns the rows under `TRACKING_COLUMNS`, over all sequences together."""
    rows = []
    for tracker, record in results.tracking.items():
        scores = record["scores"]
        combined = scores["COMBINED"]
        ratios = (f"{100 * combined[name]:.1f}" for name in ("HOTA", "IDF1", "MOTA"))
        rows.append((tracker, *ratios, f"{combined['IDSW']:.0f}", f"{scores['frames_per_second']['COMBINED']:.0f}"))
    return rows


def print_table(results: Results, console: Console) -> None:
    """Prints the result table: re-identification above, tracking below."""
    title = f"{_world(results)} and {results.sequences.name}; frames/s is the tracker alone"
    table = Table(*REID_COLUMNS, title=title, title_justify="left", header_style="bold")
    for column in table.columns[3:]:
        column.justify = "right"
    for records in reid_records(results).values():
        for row in reid_rows(records):
            table.add_row(*row)
        table.add_section()
    table.add_row(*TRACKING_COLUMNS, style="bold", end_section=True)
    for row in tracking_rows(results):
        table.add_row(*row)
    console.print()
    console.print(table, soft_wrap=True)


def _world(results: Results) -> str:
    record = next(iter(results.scores.values()))[0]
    return f"{record['dataset']}, seed {record['seed']}"


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]], texts: int, decisive: int) -> str:
    return table(columns, rows, texts, max(range(len(rows)), key=lambda index: float(rows[index][decisive])))


def _frame_images(results: Results, folder: Path) -> list[str]:
    """Draws two moments of the first sequence, by the tracker with and without appearance."""
    sequences = sorted((results.sequences / "train").iterdir())
    sequence = next(path for path in sequences if (path / "seqinfo.ini").is_file())
    count = len(list((sequence / "img1").iterdir()))
    frames = sorted({max(1, count // 2), count})
    figures = []
    for run, name in (("track-reid", "with appearance"), ("track-motion", "without appearance")):
        result = results.folder / run / "strongsort" / f"{sequence.name}.txt"
        for frame, image in zip(frames, draw_sequence(sequence, result, frames), strict=True):
            path = folder / f"{run}-{frame}.jpg"
            cv2.imwrite(str(path), cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
            figures.append(figure(path, f"{sequence.name}, frame {frame}: StrongSORT {name}"))
    return figures


def _curves(results: Results, folder: Path) -> list[str]:
    draw_loss_curve(results.epochs, folder / "loss.png")
    curves = {
        f"{method}, {record['distance']}": record["cmc"]
        for method, records in results.scores.items()
        for record in records
    }
    draw_cmc(curves, folder / "cmc.png")
    return [
        figure(folder / "loss.png", "Training loss and learning rate, by epoch"),
        figure(folder / "cmc.png", "CMC: share of queries with a right match among the first k"),
    ]


def write_report(results: Results, path: Path) -> None:
    """Writes the page; every picture is inside it."""
    trained = results.folder / "score-trained"
    with tempfile.TemporaryDirectory() as temporary:
        curves = "".join(_curves(results, Path(temporary)))
        frames = _frame_images(results, Path(temporary))
    record = next(iter(results.scores.values()))[0]
    ranked = "".join(
        figure(trained / f"ranked_lists_{distance}.jpg", caption)
        for distance, caption in (
            ("euclidean", "Euclidean distance: each row a query and its first ten; green is right, orange is wrong"),
            ("jaccard", "After Jaccard re-ranking (transductive); best, random and worst queries are chosen anew"),
        )
    )
    body = heading("Who is it?") + paragraph(
        "Test identities were never seen in training. Inductive: a distance depends on its two images alone. "
        "Transductive: other test images take part, so the two are not to be compared as if they were alike."
    )
    for protocol, records in reid_records(results).items():
        body += heading(protocol.capitalize(), 3) + _table(REID_COLUMNS, reid_rows(records), 3, 4)
    body += heading("Where did they go?")
    body += paragraph(
        "Scored by TrackEval over all sequences; frames/s is the tracker alone, without detector and embedding."
    )
    body += _table(TRACKING_COLUMNS, tracking_rows(results), 1, 1)
    body += heading("Curves") + curves + heading("Ranked lists") + ranked + heading("Tracks") + pair(*frames)
    body += heading("Commands")
    body += "".join(paragraph(title) + code(command) for title, command in results.commands.items())
    facts = (record["commit"], record["date"], record["hardware"], f"{results.seconds:.0f} s in all")
    subtitle = " · ".join([f"{_world(results)} of the procedural pedestrian world", f"commit {facts[0]}", *facts[1:]])
    write_text(path, page("Re-identification, from training to tracking", subtitle, {}, body))
