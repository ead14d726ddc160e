"""Building blocks of pages that load nothing: one style, tables, facts, the frame around them; text is escaped."""

import html
from collections.abc import Collection, Mapping, Sequence

STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #5b6472; --line: #d9dde3; --back: #fff; --box: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #a3adbb; --line: #3a4555; --back: #111827;
  --box: #1b2433; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 28px 18px 70px; color: var(--ink); background: var(--back);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 27px; margin: 0 0 6px; overflow-wrap: anywhere; } h2 { font-size: 20px; margin: 40px 0 8px; }
h3 { font-size: 16px; margin: 0 0 4px; } .soft { color: var(--soft); }
p { margin: 4px 0 10px; max-width: 78ch; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 5px 11px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); } th.text, td.text { text-align: left; } tr.all td { font-weight: 600; }
dt { font-weight: 600; } dd { margin: 0 0 8px; max-width: 78ch; color: var(--soft); overflow-wrap: anywhere; }
details { margin: 6px 0; } summary { cursor: pointer; color: var(--soft); }
"""


def page(title: str, facts: Mapping[str, str], body: Sequence[str], style: str = "") -> str:
    """Returns the whole page.

    Args:
        title: Its name and heading.
        facts: Name to text, below the heading.
        body: HTML of its parts.
        style: CSS beyond `STYLE`.
    """
    name = html.escape(title)
    told = [note(f"{fact}: {text}") for fact, text in facts.items()]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{STYLE}{style}</style></head><body>\n"
        + "\n".join([f"<h1>{name}</h1>", *told, *body])
        + "\n</body></html>\n"
    )


def heading(text: str, anchor: str | None = None) -> str:
    """Returns a heading of a part, with the anchor that links may name."""
    place = "" if anchor is None else f' id="{html.escape(anchor)}"'
    return f"<h2{place}>{html.escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Returns a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def note(text: str) -> str:
    """Returns a paragraph that stands back."""
    return f'<p class="soft">{html.escape(text)}</p>'


def definitions(entries: Mapping[str, str]) -> str:
    """Returns a list of words and what they mean."""
    lines = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in entries.items())
    return f"<dl>{lines}</dl>"


def folded(summary: str, content: str) -> str:
    """Returns HTML that a click on its summary opens."""
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>"


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[int] = (0,), total: int | None = None
) -> str:
    """Returns a table that scrolls by itself on narrow screens.

    Args:
        columns: Its head.
        rows: As many cells each.
        texts: Places of the columns that are words, on the left; the others are numbers.
        total: The row that is set apart.

    Raises:
        ValueError: When a row has another number of cells.
    """

    def cells(tag: str, row: Sequence[str]) -> str:
        if len(row) != len(columns):
            raise ValueError(f"rows: got {len(row)} cells, allowed: {len(columns)}, as the head has it")
        kinds = [' class="text"' if place in texts else "" for place in range(len(row))]
        return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, row))

    lines = "".join(
        f"<tr{' class=all' if number == total else ''}>{cells('td', row)}</tr>" for number, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><tr>{cells("th", columns)}</tr>{lines}</table></div>'
