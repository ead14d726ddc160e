"""Scores as tables for the terminal, one for each protocol: scores of two protocols never stand side by side."""

from collections.abc import Mapping

from rich.table import Table

from reid.evaluation import Ranking
from reid.records import PROTOCOLS
from reid.uncertainty import Interval

RATIOS = ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")
Intervals = Mapping[str, Mapping[str, Interval]]


def score_tables(
    title: str, rankings: Mapping[str, Ranking], intervals: Intervals, confidence: float, cameras_known: bool
) -> list[Table]:
    """Returns a table for each protocol that occurs, inductive first.

    Args:
        title: What was scored on what.
        rankings: Name of the distance to its ranking.
        intervals: Name of the distance to the intervals of its metrics; where one is missing, none is shown.
        confidence: Share of the draws inside the intervals, for the caption.
        cameras_known: For the caption.
    """
    tables = []
    for protocol in PROTOCOLS:
        group = {name: ranking for name, ranking in rankings.items() if ranking.protocol == protocol}
        if not group:
            continue
        caption = _caption(next(iter(group.values())), cameras_known)
        if any(intervals.get(name) for name in group):
            caption += f"; in brackets: {100 * confidence:g} % intervals over identities"
        table = _empty(f"{title}: {protocol}", caption, RATIOS)
        for name, ranking in group.items():
            scores, own = ranking.result.scores(), intervals.get(name, {})
            table.add_row(name, *(cell(scores.get(ratio), own.get(ratio)) for ratio in RATIOS))
        tables.append(table)
        if any(ranking.single_shot is not None for ranking in group.values()):
            tables.append(_single_shot_table(f"{title}: {protocol}, one random gallery image a person", group))
    return tables


def cell(value: float | None, interval: Interval | None = None, sign: str = "") -> str:
    """Returns a ratio in percent with its interval behind it; "-" where there is none."""
    if value is None:
        return "-"
    text = f"{100 * value:{sign}.1f}"
    return text if interval is None else f"{text} [{100 * interval.low:{sign}.1f}, {100 * interval.high:{sign}.1f}]"


def _single_shot_table(title: str, group: Mapping[str, Ranking]) -> Table:
    ranks = (1, 5, 10, 20)
    table = _empty(title, "CUHK03's old protocol; not comparable with the table above", [f"Rank-{k}" for k in ranks])
    for name, ranking in group.items():
        if ranking.single_shot is not None:
            cmc = ranking.single_shot
            table.add_row(name, *(cell(float(cmc[k - 1]) if k <= len(cmc) else None) for k in ranks))
    return table


def _empty(title: str, caption: str, ratios: tuple[str, ...] | list[str]) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("distance")
    for ratio in ratios:
        table.add_column(ratio, justify="right")
    return table


def _caption(ranking: Ranking, cameras_known: bool) -> str:
    where = "in another camera" if cameras_known else "in the gallery; cameras are unknown, so none is left out"
    return f"{ranking.result.num_valid} queries, {ranking.result.num_skipped} more skipped: no match {where}"
