"""Building blocks of a self-contained page: style, tables with bars, pictures, sources of numbers; text is escaped."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #5b6472; --line: #e5e7eb; --accent: #0072b2;
  --back: #fff; --box: #f8fafc; --bar: #cfe3f1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #a3adbb; --line: #374151; --accent: #56b4e9;
  --back: #111827; --box: #1b2433; --bar: #1f4a66; } img { filter: brightness(0.9); } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 32px 20px 80px; color: var(--ink); background: var(--back);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 44px 0 10px; } h3 { font-size: 16px; margin: 22px 0 4px; }
p, figcaption { color: var(--soft); margin: 4px 0 14px; max-width: 75ch; }
a { color: var(--accent); } nav { margin: 12px 0; } nav a { margin-right: 14px; white-space: nowrap; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; } td.text, th.text { text-align: left; }
td.bar { min-width: 92px;
  background: linear-gradient(var(--bar), var(--bar)) no-repeat left center / var(--share) 70%; }
tr.best td { font-weight: 600; color: var(--accent); }
figure { margin: 0 0 22px; }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; font-size: 13px;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: 4px 0 12px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 0 18px; }
img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 8px; }
details { margin: 4px 0 18px; color: var(--soft); font-size: 14px; } summary { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; background: var(--box); margin: 6px 0;
  border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; }
@media (min-width: 641px) { td.text { min-width: 220px; } }
@media (max-width: 640px) { body { padding: 20px 12px 60px; } h1 { font-size: 24px; } th, td { padding: 6px 8px; }
  img.wide { max-width: none; width: 860px; } dl { grid-template-columns: 1fr; } dt { margin-top: 4px; } }
"""
# What a source of numbers shows, in this order.
_SOURCE = (
    ("dataset", "dataset"),
    ("split", "split"),
    ("protocol", "protocol"),
    ("cameras", "cameras"),
    ("method", "method"),
    ("checkpoint_sha256", "checkpoint SHA-256"),
    ("command", "command"),
    ("commit", "commit"),
    ("seed", "seed"),
    ("hardware", "hardware"),
    ("date", "date"),
)


@dataclass(frozen=True)
class Bar:
    """A table cell with a bar behind its number.

    Attributes:
        share: 0..1; None is a cell without a number.
    """

    share: float | None


Cell = str | Bar


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], texts: int = 1, best: int | None = None) -> str:
    """Returns a table that scrolls by itself on narrow screens.

    Args:
        columns: Its head.
        rows: As many cells each.
        texts: So many columns at the left are words, the others numbers.
        best: The row that stands out.

    Raises:
        ValueError: When a row has another number of cells.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"rows: got {len(row)} cells, allowed: {len(columns)}, as the head has it")
    head = "".join(_cell("th", name, place < texts) for place, name in enumerate(columns))
    body = "".join(
        ('<tr class="best">' if number == best else "<tr>")
        + "".join(_cell("td", cell, place < texts) for place, cell in enumerate(row))
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _cell(tag: str, cell: Cell, is_text: bool) -> str:
    if isinstance(cell, Bar):
        if cell.share is None:
            return f"<{tag}>–</{tag}>"
        percent = 100 * cell.share
        text = f"{percent:.1f}" if percent == 0 or percent >= 0.1 else f"{percent:.2g}"  # rare errors are not none
        return f'<{tag} class="bar" style="--share: {percent:.1f}%">{text}</{tag}>'
    kind = ' class="text"' if is_text else ""
    words = html.escape(cell)
    # Long names of columns break where they say so, and nowhere else.
    return f"<{tag}{kind}>{words.replace(', ', ',<br>') if tag == 'th' else words}</{tag}>"


def figure(path: Path, caption: str, wide: bool = False) -> str:
    """Returns a picture with its bytes inside the page.

    Args:
        path: .png, .jpg or .jpeg.
        caption: Under it, and in its place where it cannot be shown.
        wide: Keeps its size on narrow screens, where it scrolls.
    """
    kind = "png" if path.suffix.lower() == ".png" else "jpeg"
    data = base64.b64encode(path.read_bytes()).decode()
    text, name = html.escape(caption), ' class="wide"' if wide else ""
    picture = f'<div class="scroll"><img{name} alt="{text}" src="data:image/{kind};base64,{data}"></div>'
    return f"<figure>{picture}<figcaption>{text}</figcaption></figure>"


def pair(*blocks: str) -> str:
    """Returns blocks side by side where there is room, else one below the other."""
    return '<div class="pair">' + "".join(f"<div>{block}</div>" for block in blocks) + "</div>"


def code(text: str) -> str:
    """Returns text that is shown as it is, as commands are."""
    return f"<pre>{html.escape(text)}</pre>"


def paragraph(text: str) -> str:
    """Returns a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def heading(text: str, level: int = 2, anchor: str | None = None) -> str:
    """Returns a heading, with the anchor that links may name."""
    name = "" if anchor is None else f' id="{html.escape(anchor)}"'
    return f"<h{level}{name}>{html.escape(text)}</h{level}>"


def source(record: Mapping[str, Any], note: str = "") -> str:
    """Returns where numbers come from: a line that opens to everything the record says of it.

    Args:
        record: A score record.
        note: What these numbers are of, e.g. which distance.
    """
    words = [note, str(record.get("protocol")), f"commit {record.get('commit')}", f"seed {record.get('seed')}"]
    summary = html.escape(" · ".join(word for word in words if word))
    entries = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(record[key]))}</dd>"
        for key, name in _SOURCE
        if record.get(key) is not None
    )
    return f"<details><summary>{summary}</summary><dl>{entries}</dl></details>"


def page(title: str, subtitle: str, links: Mapping[str, str], body: str) -> str:
    """Returns the whole page.

    Args:
        title: Its name.
        subtitle: A line below.
        links: Anchor to name of the parts.
        body: HTML of the blocks above.
    """
    name = html.escape(title)
    items = "".join(f'<a href="#{html.escape(anchor)}">{html.escape(text)}</a> ' for anchor, text in links.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title><style>{STYLE}</style></head><body>
<h1>{name}</h1>
<p>{html.escape(subtitle)}</p>
<nav>{items}</nav>
{body}
</body></html>
"""
