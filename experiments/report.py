"""The demo's results as tables and as one self-contained HTML page."""

import base64
import dataclasses
import html
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
from tracking.drawing import draw_sequence

REID_COLUMNS = ("method", "distance", "protocol", "Rank-1", "mAP", "mINP")
TRACKING_COLUMNS = ("tracker", "HOTA", "IDF1", "MOTA", "IDSW", "frames/s")
_STYLE = """
:root { color-scheme: light; --ink: #1f2937; --soft: #6b7280; --line: #e5e7eb; --accent: #2563eb; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 32px 20px 80px; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 30px; margin: 0 0 4px; } h2 { font-size: 21px; margin: 44px 0 10px; }
h3 { font-size: 16px; margin: 18px 0 4px; }
p, figcaption { color: var(--soft); margin: 4px 0 14px; max-width: 75ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } td.text, th.text { text-align: left; }
tr.best td { font-weight: 600; color: var(--accent); }
figure { margin: 0 0 22px; } img { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 8px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 18px; }
pre { background: #f8fafc; border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: 13px; margin: 4px 0 12px; }
"""


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
    best = max(range(len(rows)), key=lambda index: float(rows[index][decisive]))

    def cells(tag: str, row: tuple[str, ...]) -> str:
        kinds = (' class="text"' if position < texts else "" for position in range(len(row)))
        return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(
        f"<tr{' class=' + chr(34) + 'best' + chr(34) if index == best else ''}>{cells('td', row)}</tr>"
        for index, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><tr>{cells("th", columns)}</tr>{body}</table></div>'


def _image(path: Path, caption: str) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    data = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/{kind};base64,{data}"><figcaption>{text}</figcaption></figure>'


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
            figures.append(_image(path, f"{sequence.name}, frame {frame}: StrongSORT {name}"))
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
        _image(folder / "loss.png", "Training loss and learning rate, by epoch"),
        _image(folder / "cmc.png", "CMC: share of queries with a right match among the first k"),
    ]


def write_report(results: Results, path: Path) -> None:
    """Writes the page; every picture is inside it."""
    trained = results.folder / "score-trained"
    with tempfile.TemporaryDirectory() as temporary:
        curves = "".join(_curves(results, Path(temporary)))
        frames = "".join(_frame_images(results, Path(temporary)))
    record = next(iter(results.scores.values()))[0]
    ranked = "".join(
        _image(trained / f"ranked_lists_{distance}.jpg", caption)
        for distance, caption in (
            ("euclidean", "Euclidean distance: each row a query and its first ten; green is right, red is wrong"),
            ("jaccard", "After Jaccard re-ranking (transductive); best, random and worst queries are chosen anew"),
        )
    )
    tables = "".join(
        f"<h3>{protocol.capitalize()}</h3>{_table(REID_COLUMNS, reid_rows(records), 3, 4)}"
        for protocol, records in reid_records(results).items()
    )
    commands = "".join(
        f"<p>{html.escape(title)}</p><pre>{html.escape(command)}</pre>" for title, command in results.commands.items()
    )
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Re-identification demo</title><style>{_STYLE}</style></head><body>
<h1>Re-identification, from training to tracking</h1>
<p>{html.escape(_world(results))} of the procedural pedestrian world · commit {html.escape(record["commit"])} ·
{html.escape(record["date"])} · {html.escape(record["hardware"])} · {results.seconds:.0f} s in all</p>
<h2>Who is it?</h2>
<p>Test identities were never seen in training. Inductive: a distance depends on its two images alone. Transductive:
other test images take part, so the two are not to be compared as if they were alike.</p>
{tables}
<h2>Where did they go?</h2>
<p>Scored by TrackEval over all sequences; frames/s is the tracker alone, without detector and embedding.</p>
{_table(TRACKING_COLUMNS, tracking_rows(results), 1, 1)}
<h2>Curves</h2>{curves}
<h2>Ranked lists</h2>{ranked}
<h2>Tracks</h2><div class="pair">{frames}</div>
<h2>Commands</h2>{commands}
</body></html>
"""
    write_text(path, page)
