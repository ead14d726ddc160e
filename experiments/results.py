"""Writes the score records of all runs into experiments/README.md: `make results`."""

import dataclasses
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

from reid.checkpoint import load_checkpoint  # noqa: E402
from reid.config import run_entry_point  # noqa: E402
from reid.files import write_text  # noqa: E402
from reid.records import by_protocol, require_one_protocol  # noqa: E402

BEGIN, END = "<!-- results of runs: begin -->", "<!-- results of runs: end -->"
RATIOS = ("Rank-1", "mAP", "mINP")


@dataclasses.dataclass(frozen=True)
class ResultsConfig:
    """Collects the cards of runs/**/model.safetensors and source.safetensors; the rest of the page stays."""

    runs: Path = Path("runs")
    """Folder of the runs, at any depth."""
    readme: Path = Path("experiments/README.md")
    """The page with the markers; where they are missing, the section is put at its end."""


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Returns the score records of all trained checkpoints below a folder, each with the name of its recipe.

    Runs of one recipe differ in their seed alone, which their folder carries as its last part (hard-ce-0).
    """
    records = []
    for path in sorted([*folder.rglob("model.safetensors"), *folder.rglob("source.safetensors")]):
        card = load_checkpoint(path)[1]
        if not card.config.get("epochs"):
            continue
        name = path.parent.name
        recipe, _, last = name.rpartition("-")
        recipe = recipe if last.isdigit() and recipe else name
        recipe += ", before continual training" if path.name.startswith("source") else ""
        records += [record | {"method": recipe} for record in card.scores]
    return records


def _cell(values: list[float]) -> str:
    if len(values) == 1:
        return f"{100 * values[0]:.1f}"
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def _world(dataset: str) -> str:
    """Returns the dataset without the seed of a world."""
    head, _, last = dataset.rpartition("-")
    return head if last.isdigit() and head else dataset


def table(records: list[dict[str, Any]]) -> str:
    """Returns one table of records of one protocol, a row for each recipe, mean and deviation over its seeds.

    Raises:
        ValueError: When the records differ in their protocol.
    """
    require_one_protocol(records, "results")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((_world(record["dataset"]), record["method"]), []).append(record)
    lines = ["| dataset | run | seeds | Rank-1 | mAP | mINP | date, commit |", "|---|---|---|---|---|---|---|"]
    for (dataset, method), group in sorted(groups.items()):
        cells = [_cell([record["scores"][name] for record in group]) for name in RATIOS]
        seeds = ", ".join(str(record["seed"]) for record in sorted(group, key=lambda record: str(record["seed"])))
        commits = ", ".join(sorted({f"{record['date']} {record['commit']}" for record in group}))
        lines.append(f"| {dataset} | {method} | {seeds} | {' | '.join(cells)} | {commits} |")
    machines = sorted({record["hardware"] for record in records})
    example = records[0]["command"]
    return "\n".join(lines) + f"\n\n{'; '.join(machines)}. One of the commands: `{example}`"


def section(records: list[dict[str, Any]]) -> str:
    """Returns the section between the markers: a table for each protocol."""
    parts = ["Euclidean distance; mean ± standard deviation over seeds, in percent."]
    notes = {
        "inductive": "no image of the test set took part in the training.",
        "transductive": "the network learnt from the test images without their labels; not comparable with the above.",
    }
    for protocol, group in by_protocol(records, "results").items():
        parts.append(f"### {protocol.capitalize()}: {notes[protocol]}\n\n{table(group)}")
    return "\n\n".join(parts) if records else "No runs yet."


def main(config: ResultsConfig) -> None:
    """Writes the section.

    Raises:
        ValueError: When one marker stands without the other.
    """
    text = config.readme.read_text(encoding="utf-8")
    new = f"{BEGIN}\n{section(read_records(config.runs))}\n{END}"
    if (BEGIN in text) != (END in text):
        raise ValueError(f"{config.readme}: got one of the markers {BEGIN} and {END}, allowed: both or none")
    if BEGIN in text:
        before, after = text.split(BEGIN, 1)[0], text.split(END, 1)[1]
        text = before + new + after
    else:
        text = f"{text.rstrip()}\n\n## Runs\n\n`make results` writes this section.\n\n{new}\n"
    write_text(config.readme, text)
    print(f"wrote {config.readme}")


if __name__ == "__main__":
    run_entry_point(main, ResultsConfig)
