"""The page of a robustness run, and its records in the forms that tables and pictures take."""

from pathlib import Path
from typing import Any

from reid.corruptions import CORRUPTIONS
from reid.records import by_protocol
from reid.report.page import Bar, Cell, figure, heading, page, paragraph, source, table
from reid.report.robustness_picture import Curve

Record = dict[str, Any]


def curves_of(records: list[Record]) -> dict[str, dict[str, Curve]]:
    """Returns network to corruption to curve, from records of `reid.robustness`.

    Each curve starts with the undamaged images.
    """
    curves: dict[str, dict[str, Curve]] = {}
    for method in dict.fromkeys(record["method"] for record in records):
        own = [record for record in records if record["method"] == method]
        clean = next(record for record in own if record["corruption"] is None)
        names = dict.fromkeys(record["corruption"]["name"] for record in own if record["corruption"] is not None)
        # One picture holds all networks; what has learnt from test images must say so in it.
        label = method if clean["protocol"] == "inductive" else f"{method} ({clean['protocol']})"
        curves[label] = {}
        for name in names:
            part = [clean, *(r for r in own if r["corruption"] is not None and r["corruption"]["name"] == name)]
            strengths = [0.0 if record["corruption"] is None else record["corruption"]["strength"] for record in part]
            scores = [record["scores"] for record in part]
            curves[label][name] = Curve(strengths, [s["mAP"] for s in scores], [s["Rank-1"] for s in scores])
    return curves


def rows_of(records: list[Record]) -> tuple[list[str], list[tuple[str, list[Record]]]]:
    """Returns the networks, and a row a condition with the record of each network."""
    methods = list(dict.fromkeys(record["method"] for record in records))
    rows: dict[str, list[Record]] = {}
    for record in records:
        corruption = record["corruption"]
        name = (
            "as it is" if corruption is None else f"{corruption['name'].replace('_', ' ')} {corruption['strength']:g}"
        )
        rows.setdefault(name, []).append(record)
    return methods, list(rows.items())


def robustness_page(records: list[Record], what: str, picture: Path) -> str:
    """Returns the page: the picture, a table for each protocol, and where the numbers come from.

    Args:
        records: All of a run.
        what: Which images are damaged.
        picture: Of `draw_robustness`.
    """
    parts = [figure(picture, f"mAP under damage of the {what} images, by its strength.", wide=True)]
    for protocol, group in by_protocol(records).items():
        methods, rows = rows_of(group)
        columns = ["images", *(f"{method}, {metric}" for method in methods for metric in ("Rank-1", "mAP"))]
        cells: list[list[Cell]] = [
            [name, *(Bar(record["scores"][metric]) for record in own for metric in ("Rank-1", "mAP"))]
            for name, own in rows
        ]
        parts += [heading(protocol.capitalize(), 2, protocol), table(columns, cells)]
        parts += [source(record, record["method"]) for record in group if record["corruption"] is None]
    names = next(iter(curves_of(records).values()))
    units = "; ".join(f"{name.replace('_', ' ')}: {CORRUPTIONS[name].unit}" for name in names)
    parts.append(paragraph(f"Strengths are in these units. {units}."))
    title = f"Robustness on {records[0]['dataset']}"
    subtitle = (
        f"{records[0]['split']} · {records[0]['date']} · commit {records[0]['commit']} · {records[0]['hardware']}"
    )
    return page(title, subtitle, {protocol: protocol for protocol in by_protocol(records)}, "".join(parts))
