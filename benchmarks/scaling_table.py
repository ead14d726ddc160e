"""The table and the picture of `benchmarks/scaling.py` from the rows that it has measured."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from reid.files import atomic_path, write_text

Row = dict[str, Any]
_UNITS = {"seconds": "s", "cpu_seconds": "processor s", "gigabytes": "GB"}
_COLOURS = ("#4d4d4d", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#e69f00")  # told apart by everybody
_MARKERS = "xosd^vP"


def write_tables(out: Path, titles: dict[str, str]) -> None:
    """Prints the table of all rows below a folder and writes it to scaling.md, and the picture to scaling.png.

    Args:
        out: The folder with rows/*.json.
        titles: What the works are called, by name, in the order of the columns.
    """
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "rows").glob("*.json"))]
    works = [work for work in titles if any(row["work"] == work for row in rows)]
    text = "\n\n".join([conditions(rows), *(table(rows, works, titles, value) for value in _UNITS)])
    print(text)
    write_text(out / "scaling.md", text + "\n")
    draw(out / "scaling.png", rows, {work: titles[work] for work in works})


def conditions(rows: list[Row]) -> str:
    """Says under which conditions the rows were measured: a line for each kind, with its commits and days."""
    origins: dict[str, list[set[str]]] = {}
    for row in rows:
        search = f"{row['dim']}-d, top {row['top_k']}, neighbours {row['neighbours']} on {row['device']}"
        commits, days = origins.setdefault(f"{search}; {row['cores']} of {row['hardware']}", [set(), set()])
        commits.add(row["commit"])
        days.add(row["date"])
    return "\n".join(
        f"{kind}; {', '.join(sorted(commits))}; {', '.join(sorted(days))}" for kind, (commits, days) in origins.items()
    )


def table(rows: list[Row], works: list[str], titles: dict[str, str], value: str) -> str:
    """Returns markdown, a line for each size; a dash where nothing was measured."""
    cells = {(row["items"], row["queries"], row["work"]): row[value] for row in rows}
    lines = ["| items | of them queries | " + " | ".join(f"{titles[work]}, {_UNITS[value]}" for work in works) + " |"]
    lines.append("|---" * (len(works) + 2) + "|")
    for items, queries in sorted({key[:2] for key in cells}):
        found = (cells.get((items, queries, work)) for work in works)
        numbers = " | ".join("-" if number is None else f"{number:.2f}" for number in found)
        lines.append(f"| {items:,} | {queries:,} | {numbers} |")
    return "\n".join(lines)


def draw(path: Path, rows: list[Row], titles: dict[str, str]) -> None:
    """Draws seconds and memory over the number of items, both logarithmic, a line for each work."""
    figure = Figure(figsize=(9, 3.8), dpi=110, layout="constrained")
    for axes, (value, label) in zip(
        figure.subplots(1, 2), (("seconds", "time [s]"), ("gigabytes", "memory beyond the features [GB]")), strict=True
    ):
        for place, work in enumerate(titles):
            points = sorted((row["items"], row[value]) for row in rows if row["work"] == work and row[value] > 0)
            style = {
                "color": _COLOURS[place % len(_COLOURS)],
                "marker": _MARKERS[place % len(_MARKERS)],
                "markersize": 4,
            }
            axes.plot(*zip(*points, strict=True), label=titles[work], linewidth=1.2, **style) if points else None
        axes.set_xscale("log")
        axes.set_yscale("log")
        sizes = sorted({row["items"] for row in rows})
        axes.set_xticks(sizes, [f"{size / 1000:g}k" for size in sizes], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlabel("items")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
