"""Scores of runs as one HTML file that loads nothing: tables, and curves over the localisation threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

from tracking.evaluation import ALPHAS
from tracking.html_page import heading, note, page, table
from tracking.line_chart import legend, line_chart
from tracking.score_tables import ScoredRun, TextTable, run_table

CHARTS = ("HOTA", "DetA", "AssA")
STYLE = """
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } svg { background: #fff; border-radius: 6px; }
svg text { font: 11px system-ui, sans-serif; } .legend span { margin-right: 1.2rem; white-space: nowrap; }
"""


def score_page(title: str, facts: Mapping[str, str], tables: Sequence[TextTable], runs: Sequence[ScoredRun]) -> str:
    """Returns the page.

    Args:
        title: Its heading.
        facts: What the reader should know first: name to text.
        tables: The tables above the curves.
        runs: Their curves, and one table each below.
    """
    body = [_titled_table(table) for table in tables]
    scored = {run.label: run.evaluation for run in runs if run.evaluation is not None}
    if scored:
        body.append(_curves(scored))
    body += [_titled_table(run_table(run)) for run in runs]
    return page(title, facts, body, STYLE)


def _titled_table(found: TextTable) -> str:
    """Returns a table with its title and notes."""
    combined = [number for number, row in enumerate(found.rows) if row[0] == "COMBINED"]
    parts = [heading(found.title), table(found.header, found.rows, total=combined[0] if combined else None)]
    return "".join([*parts, *map(note, found.notes)])


def _curves(scored: Mapping[str, Mapping[str, Any]]) -> str:
    charts = []
    for score in CHARTS:
        curves = {label: evaluation["curves"]["COMBINED"][score] for label, evaluation in scored.items()}
        charts.append(line_chart(f"{score} (%)", ALPHAS, curves, "α, the IoU from which a box counts as found"))
    words = "COMBINED. The scores in the tables are the means of these curves."
    pictures = f'<div class="charts">{"".join(charts)}</div>{legend(list(scored))}'
    return heading("Over the localisation threshold") + pictures + note(words)
