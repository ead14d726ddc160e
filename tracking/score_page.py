"""Scores of runs as one HTML file that loads nothing: tables, and curves over the localisation threshold."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from tracking.evaluation import ALPHAS
from tracking.line_chart import legend, line_chart
from tracking.score_tables import ScoredRun, TextTable, run_table

CHARTS = ("HOTA", "DetA", "AssA")
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1240px; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
.wide { overflow-x: auto; } th, td { padding: .25rem .55rem; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #444; } td { border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } tr.combined td { font-weight: 600; border-top: 1px solid #444; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } svg text { font: 11px system-ui, sans-serif; }
.legend span { margin-right: 1.2rem; white-space: nowrap; }
.note { color: #555; font-size: 13px; } code { font-size: 13px; }
"""


def score_page(title: str, facts: Mapping[str, str], tables: Sequence[TextTable], runs: Sequence[ScoredRun]) -> str:
    """Returns the page.

    Args:
        title: Its heading.
        facts: What the reader should know first: name to text.
        tables: The tables above the curves.
        runs: Their curves, and one table each below.
    """
    lines = [f"<dt>{html.escape(name)}</dt><dd><code>{html.escape(text)}</code></dd>" for name, text in facts.items()]
    body = [f"<h1>{html.escape(title)}</h1>", f"<dl>{''.join(lines)}</dl>"]
    body += [table_html(table) for table in tables]
    scored = {run.label: run.evaluation for run in runs if run.evaluation is not None}
    if scored:
        body.append(_curves(scored))
    body += [table_html(run_table(run)) for run in runs]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def table_html(table: TextTable) -> str:
    """Returns a table with its title and notes."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.header)
    rows = []
    for row in table.rows:
        kind = ' class="combined"' if row[0] == "COMBINED" else ""
        rows.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    return (
        f'<h2>{html.escape(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def _curves(scored: Mapping[str, Mapping[str, Any]]) -> str:
    charts = []
    for score in CHARTS:
        curves = {label: evaluation["curves"]["COMBINED"][score] for label, evaluation in scored.items()}
        charts.append(line_chart(f"{score} (%)", ALPHAS, curves, "α, the IoU from which a box counts as found"))
    return (
        "<h2>Over the localisation threshold</h2>"
        f'<div class="charts">{"".join(charts)}</div>{legend(list(scored))}'
        '<p class="note">COMBINED. The scores in the tables are the means of these curves.</p>'
    )
