"""The ablation's results: a table a level, differences paired by seed, and bars."""

import io
import json
import math
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from reid.files import atomic_path
from reid.pictures import COLOURS, INK
from reid.records import require_one_protocol

# Row to its name in tables; each adds to the one above.
ROWS = {
    "ce": "cross entropy",
    "triplet": "+ triplet",
    "center": "+ center",
    "renorm": "+ batch renormalisation",
    "continual": "+ continual training",
}
SIZES = ("labelled", "unlabelled", "tested", "cameras", "images_per_camera")
RATIOS = ("Rank-1", "mAP", "mINP")
# level -> row -> seed -> score record
Ablation = dict[str, dict[str, dict[int, dict[str, Any]]]]


def read_ablation(folder: Path) -> Ablation:
    """Reads the results that are there, levels and rows in their order.

    The row before continual training is scored in the same run, whose source.json holds its record.
    """
    found: Ablation = {}
    # Continual runs come last, so that the row before them is the one that they went on from.
    for path in sorted(folder.glob("seed-*/*/result.json"), key=lambda path: path.parent.name.endswith("-continual")):
        level, _, row = path.parent.name.partition("-")
        if row not in ROWS:
            continue
        _keep(found, level, row, json.loads(path.read_text(encoding="utf-8")))
        if row == "continual":
            card = json.loads((path.parent / "source.json").read_text(encoding="utf-8"))
            _keep(found, level, "renorm", card["scores"])
    order = {level: number for number, level in enumerate(("easy", "medium", "hard"))}
    return {
        level: {row: found[level][row] for row in ROWS if row in found[level]}
        for level in sorted(found, key=lambda level: order.get(level, len(order)))
    }


def _keep(found: Ablation, level: str, row: str, records: list[dict[str, Any]]) -> None:
    for record in records:
        found.setdefault(level, {}).setdefault(row, {})[record["seed"]] = record


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and the standard deviation (of a sample, n - 1); None for the latter of one value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def cell(values: Sequence[float], sign: str = "") -> str:
    """Returns mean ± standard deviation in percent of ratios in 0..1."""
    mean, spread = mean_and_spread(values)
    return f"{100 * mean:{sign}.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def paired_differences(
    row: dict[int, dict[str, Any]], above: dict[int, dict[str, Any]], metric: str = "mAP"
) -> list[float]:
    """Returns row minus above, seed by seed, over the seeds that both have."""
    return [row[seed]["scores"][metric] - above[seed]["scores"][metric] for seed in sorted(row.keys() & above.keys())]


def verdict(differences: Sequence[float]) -> str:
    """Says what paired differences show: a mean beyond twice its standard error, or nothing."""
    mean, spread = mean_and_spread(differences)
    if spread is None:
        return "one seed cannot tell"
    if abs(mean) <= 2 * spread / math.sqrt(len(differences)):
        return "no clear difference"
    return "helps" if mean > 0 else "**harms**"


def level_table(rows: dict[str, dict[int, dict[str, Any]]]) -> str:
    """Returns the table of a level.

    Raises:
        ValueError: When the rows differ in their protocol.
    """
    protocol = require_one_protocol([record for row in rows.values() for record in row.values()], "ablation")
    lines = ["| row | protocol | seeds | Rank-1 | mAP | mINP | mAP, paired with the row above | |", "|---" * 8 + "|"]
    above: dict[int, dict[str, Any]] | None = None
    for name, row in rows.items():
        seeds = sorted(row)
        cells = [cell([row[seed]["scores"][metric] for seed in seeds]) for metric in RATIOS]
        differences = [] if above is None else paired_differences(row, above)
        cells += [cell(differences, "+"), verdict(differences)] if differences else ["", ""]
        lines.append(f"| {ROWS[name]} | {protocol} | {', '.join(map(str, seeds))} | {' | '.join(cells)} |")
        above = row
    return "\n".join(lines)


def ablation_section(folder: Path) -> str:
    """Returns the tables of an ablation with all that belongs to them, as Markdown.

    Raises:
        ValueError: When there is no result, or protocols are mixed.
    """
    ablation = read_ablation(folder)
    everything = [record for rows in ablation.values() for row in rows.values() for record in row.values()]
    require_one_protocol(everything, str(folder))
    sizes = json.loads((folder / "ablation.json").read_text(encoding="utf-8"))
    parts = [
        f"Worlds of {sizes['labelled']} training and {sizes['tested']} test identities, {sizes['cameras']} cameras, "
        f"{sizes['images_per_camera']} images an identity and camera; the seed is that of world and training. Each "
        "row adds to the one above. Euclidean distance, percent, mean ± standard deviation over the seeds. The last "
        "but one column is the difference to the row above on the same world, seed by seed; the last says whether "
        "its mean lies beyond twice its standard error (few seeds: a hint, no proof).",
        f"Protocol: no row has seen a test image. Continual training begins with the network of the row above and adds "
        f"clusters of the images of {sizes['unlabelled']} other identities of the same world, without their labels. It "
        "also trains longer on the labelled images than the row above, which is part of its difference.",
    ]
    parts += [f"**{level}**\n\n{level_table(rows)}" for level, rows in ablation.items()]
    clusters = [_clusters(level, rows["continual"]) for level, rows in ablation.items() if "continual" in rows]
    if clusters:
        parts.append("Pseudo labels: " + "; ".join(clusters) + ".")
    parts.append(_origins(ablation))
    return "\n\n".join(parts)


def _clusters(level: str, row: dict[int, dict[str, Any]]) -> str:
    facts = [row[seed]["continual"] for seed in sorted(row)]
    purities = [f"{fact['purity']:.2f}" if fact["purity"] is not None else "unknown" for fact in facts]
    clusters, outliers = (", ".join(str(fact[name]) for fact in facts) for name in ("clusters", "outliers"))
    return f"{level}: {clusters} clusters, {outliers} outliers, purity {', '.join(purities)}"


def _origins(ablation: Ablation) -> str:
    lines = []
    for name, title in ROWS.items():
        records = [record for rows in ablation.values() for record in rows.get(name, {}).values()]
        if records:
            lines.append(f"- {title}: {origin(records)}")
    return "One of the commands of each row:\n\n" + "\n".join(lines)


def origin(records: Sequence[dict[str, Any]]) -> str:
    """Returns the first record's command, and the dates, commits and machines of all."""
    places = sorted({f"{record['date']}, {record['commit']}, {record['hardware']}" for record in records})
    return f"`{records[0]['command']}` ({'; '.join(places)})"


def draw_ablation(ablation: Ablation, path: Path) -> None:
    """Draws a bar of mean mAP for each row and level, with its standard deviation and the seeds as dots.

    Args:
        ablation: What `read_ablation` returned, one level or more.
        path: The picture, .png.
    """
    figure = Figure(figsize=(1.5 + 4 * len(ablation), 4), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(ablation), squeeze=False, sharey=True)[0]
    for axes, (level, rows) in zip(panels, ablation.items(), strict=True):
        for number, (name, row) in enumerate(rows.items()):
            values = [100 * record["scores"]["mAP"] for record in row.values()]
            mean, spread = mean_and_spread(values)
            error = {} if spread is None else {"yerr": spread, "capsize": 4}
            axes.bar(number, mean, 0.7, color=COLOURS[list(ROWS).index(name)], ecolor=INK, alpha=0.85, **error)
            axes.plot([number] * len(values), values, "o", color=INK, markersize=3)
        axes.set_xticks(range(len(rows)), [textwrap.fill(ROWS[name], 14) for name in rows], fontsize=8)
        axes.set_title(level, fontsize=12, color=INK, loc="left")
        axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mAP  [%], inductive")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
