"""Writes the score records of all runs into experiments/README.md: `make results`."""

import dataclasses
import json
import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

from experiments.ablation_table import RATIOS, ablation_section, cell, origin, read_ablation  # noqa: E402
from reid.config import run_entry_point  # noqa: E402
from reid.files import atomic_path, write_text  # noqa: E402
from reid.records import by_protocol, require_one_protocol  # noqa: E402

BEGIN, END = "<!-- results of runs: begin -->", "<!-- results of runs: end -->"
NOTES = {
    "inductive": "an image's result depends on no other test image, nor has the network seen one.",
    "transductive": "other test images took part, in re-ranking or in training (without labels); not comparable with "
    "inductive scores.",
    "inductive tracklets": "all frames of a tracklet count together; not comparable with scores of images.",
    "transductive tracklets": "the same, and other test tracklets took part; comparable with no other table.",
}
# Options whose values tell runs of one recipe apart.
_PLACES = ("--seed", "--out", "--root", "--unlabelled", "--cross-domain", "--ckpt")


@dataclasses.dataclass(frozen=True)
class ResultsConfig:
    """Collects the score records of all runs below a folder; the rest of the page stays as it is.

    A run's records are in its result.json, those from before continual training in its source.json.
    """

    runs: Path = ROOT / "runs"
    """Folder of the runs, at any depth; ablations are found by their ablation.json."""
    readme: Path = ROOT / "experiments" / "README.md"
    """The page with the markers; where they are missing, the section is put at its end."""


def read_records(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the re-identification records below a folder, each with the name of its run, and what was left out.

    Ablations and the study of generated images have tables of their own; files of other kinds (tracking) are left
    alone.
    """
    studies = ("ablation.json", "generated_images.json")
    ablations = {path.parent for name in studies for path in folder.rglob(name)}
    records, faults = [], []
    for path in sorted([*folder.rglob("result.json"), *folder.rglob("source.json")]):
        if ablations & set(path.parents):
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            before = path.name == "source.json"
            found = content["scores"] if before else content
            if not isinstance(found, list):
                continue
            run = path.parent.relative_to(folder).as_posix() + (", before continual training" if before else "")
            records += [_named(record, run) for record in found]
        except (ValueError, KeyError, TypeError) as error:
            faults.append(f"{path}: no score records of this project ({error!r})")
    return records, faults


def _named(record: dict[str, Any], run: str) -> dict[str, Any]:
    """Returns a record with its run, or fails where a record lacks something that a row needs."""
    for metric in RATIOS:
        float(record["scores"][metric])
    needed = ("protocol", "dataset", "seed", "command", "date", "commit", "hardware")
    return {name: record[name] for name in needed} | {
        "scores": record["scores"],
        "distance": "; ".join([record.get("distance", "unknown"), *map(_step, record.get("steps", ()))]),
        "items": record.get("items", "images"),
        # What a run scored beside its own network, for comparison, has a row of its own.
        "method": f"{run}, {record['method']}" if record.get("baseline") else run,
    }


def _step(step: dict[str, Any]) -> str:
    """Returns a step on the features in words: its name and its numbers."""
    numbers = (f"{name} {value}" for name, value in step.items() if name not in ("step", "protocol"))
    return " ".join([step["step"], *numbers])


def group_by_recipe(records: list[dict[str, Any]]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Returns (dataset, distance, run) -> records that differ in their seed alone.

    Runs belong together when their commands are the same but for seed and folders, and their folders are named alike
    but for the seed (hard-ce-0, hard-ce-1), which stands as * then. Otherwise each has a row of its own.
    """
    alike: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for record in records:
        name = re.sub(rf"(?<![0-9]){record['seed']}(?![0-9])", "*", record["method"])
        key = (record["dataset"], record["distance"], name, _recipe(record["command"]))
        alike.setdefault(key, []).append(record)
    names = Counter(key[:3] for key in alike)
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for key, group in alike.items():
        seeds = {record["seed"] for record in group}
        if names[key[:3]] == 1 and 1 < len(group) == len(seeds):
            groups[key[0], key[1], key[2]] = group
        else:
            groups |= {(key[0], key[1], record["method"]): [record] for record in group}
    return groups


def _recipe(command: str) -> str:
    words = shlex.split(command.replace("=", " "))
    return " ".join("" if before in _PLACES else word for before, word in zip(["", *words], words))


def table(records: list[dict[str, Any]]) -> str:
    """Returns one table of records of one protocol, a row for each recipe, mean and deviation over its seeds.

    Raises:
        ValueError: When the records differ in their protocol, or some are of images and some of tracklets.
    """
    require_one_protocol(records, "results")
    lines = ["| | dataset | run | distance; steps | seeds | Rank-1 | mAP | mINP |", "|---" * 8 + "|"]
    origins = []
    for number, ((dataset, distance, run), group) in enumerate(sorted(group_by_recipe(records).items()), 1):
        cells = [cell([record["scores"][name] for record in group]) for name in RATIOS]
        seeds = ", ".join(sorted(str(record["seed"]) for record in group))
        lines.append(f"| {number} | {dataset} | {run} | {distance} | {seeds} | {' | '.join(cells)} |")
        origins.append(f"{number}. {origin(group)}")
    return "\n".join(lines) + "\n\n" + "\n".join(origins)


def section(records: list[dict[str, Any]]) -> str:
    """Returns the tables of single runs, one for each protocol; those of tracklets are apart."""
    parts = ["Percent; mean ± standard deviation over seeds where there are several. Commands stand below each table."]
    for protocol, group in by_protocol(records, "results").items():
        parts.append(f"### {protocol.capitalize()}: {NOTES[protocol]}\n\n{table(group)}")
    return "\n\n".join(parts) if records else ""


def ablation_parts(runs: Path, page: Path) -> list[str]:
    """Returns the sections of all ablations below a folder; their pictures are put beside the page."""
    parts = []
    for path in sorted(runs.rglob("ablation.json")):
        folder = path.parent
        if not read_ablation(folder):
            continue
        picture = page.with_name(f"{folder.name}.png")
        with atomic_path(picture) as temporary:
            shutil.copyfile(folder / "ablation.png", temporary)
        name = folder.relative_to(runs).as_posix()
        parts.append(f"### Ablation ({name})\n\n![mean mAP of each row]({picture.name})\n\n{ablation_section(folder)}")
    return parts


def main(config: ResultsConfig) -> None:
    """Writes the section.

    Raises:
        ValueError: When one marker stands without the other, or they are in the wrong order.
    """
    text = config.readme.read_text(encoding="utf-8")
    records, faults = read_records(config.runs)
    parts = [part for part in (*ablation_parts(config.runs, config.readme), section(records)) if part]
    new = "\n".join([BEGIN, "\n\n".join(parts) or "No runs yet.", END])
    if (text.count(BEGIN), text.count(END)) not in ((0, 0), (1, 1)) or text.find(BEGIN) > text.find(END):
        raise ValueError(f"{config.readme}: got one of the markers {BEGIN} and {END}, allowed: both once, or none")
    if BEGIN in text:
        before, after = text.split(BEGIN, 1)[0], text.split(END, 1)[1]
        text = before + new + after
    else:
        text = f"{text.rstrip()}\n\n## Runs\n\n`make results` writes this section.\n\n{new}\n"
    write_text(config.readme, text)
    for fault in faults:
        print(f"left out: {fault}")
    print(f"wrote {config.readme}: {len(records)} records of runs below {config.runs}")


if __name__ == "__main__":
    run_entry_point(main, ResultsConfig)
