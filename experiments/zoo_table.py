"""One table, a row a checkpoint, of the zoo or one's own: `python experiments/zoo_table.py --ckpt A B zoo:NAME`."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

from experiments.zoo_measure import PARTS, measure  # noqa: E402
from experiments.zoo_plan import SEQUENCES, UNSEEN, WORLD, Budget, read_plan  # noqa: E402
from reid.config import run_entry_point  # noqa: E402
from reid.models.table import update  # noqa: E402
from reid.zoo_entries import resolve_source  # noqa: E402

BEGIN = "<!-- zoo: written by python experiments/zoo_table.py -->"
END = "<!-- end of zoo -->"
Part = Literal["size", "speed", "world", "unseen", "tracking", "real"]
Row = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class ZooTableConfig:
    """Measures checkpoints side by side: size, speed, scores on worlds, tracking, and people on real images.

    What was measured is kept, by the checkpoint's content, and not measured again.
    """

    ckpt: tuple[str, ...]
    """Checkpoints: .safetensors, .onnx or zoo:NAME, a row each."""
    budget: Literal["cpu", "gpu"] = "cpu"
    """Whose worlds are taken, see experiments/zoo_world.yaml."""
    parts: tuple[Part, ...] = PARTS  # type: ignore[assignment]
    """What is measured; other columns stay empty."""
    real: Path | None = None
    """Folder of real people: mot17-mini/train and video/one-by-one-person-detection.mp4, either or both."""
    zoo: Path = Path("runs/zoo")
    """Folder of the worlds; experiments/zoo_world.py writes them there too."""
    plan: Path = ROOT / "experiments" / "zoo_world.yaml"
    """What the worlds are."""
    out: Path = Path("runs/zoo-table")
    """Folder of what was measured."""
    readme: Path | None = None
    """Writes the table between its marks in this file, checkpoints/README.md, as well."""

    def __post_init__(self) -> None:
        if not self.ckpt:
            raise ValueError("ckpt: got none, allowed: one or more checkpoints")
        if self.real is not None and not self.real.is_dir():
            raise ValueError(f"real: got {self.real}, which is no folder")


def _cells(row: Row) -> list[str]:
    size, speed, tracking, real = row["size"], row["speed"], row["tracking"], row["real"]

    def million(name: str) -> str:
        return f"{size[name] / 1e6:,.2f}" if name in size else ""

    def crops(library: str) -> str:
        found = [speed.get(f"{library} {batch}") for batch in (1, 32)]
        return ", ".join("-" if value is None else f"{value:.0f}" for value in found) if any(found) else ""

    def scores(part: str, distance: str, *names: str) -> str:
        record = row[part].get("records", {}).get(distance)
        return "" if record is None else ", ".join(f"{100 * record['scores'][name]:.1f}" for name in names)

    def auc(name: str) -> str:
        return f"{real[name]['auc']:.4f}" if name in real else ""

    return [
        size.get("input", ""),
        million("parameters"),
        million("multiply_adds"),
        crops("torch"),
        crops("onnxruntime"),
        scores("world", "Euclidean", "Rank-1", "mAP"),
        scores("world", "Jaccard", "Rank-1", "mAP"),
        scores("unseen", "Euclidean", "mAP"),
        f"{100 * tracking['HOTA']:.1f}, {100 * tracking['IDF1']:.1f}" if "HOTA" in tracking else "",
        auc("frames"),
        auc("video"),
    ]


def _described(budget: Budget, part: str) -> str:
    world = budget.worlds[part]
    people = world.get("pids", 0) - round(world.get("pids", 0) * world.get("train-fraction", 0.5))
    return f"level `{world['level']}`, seed {world['seed']}, {people} people in {world.get('cameras')} cameras"


def _notes(rows: dict[str, Row], budget: Budget) -> list[str]:
    """Returns what the columns mean, and a command of each with its origin."""
    scene = budget.worlds[SEQUENCES]
    meaning = {
        "size": "Parameters and multiply-adds in millions, at the input's size, without a classifier.",
        "speed": "Crops a second of the network alone, float32, batch 1 and batch 32, on the CPU.",
        "world": f"Trained world's other people ({_described(budget, WORLD)}): Rank-1, mAP; Euclidean is inductive, "
        "Jaccard (k-reciprocal re-ranking) transductive. A synthetic world, no public benchmark.",
        "unseen": f"An unseen world ({_described(budget, UNSEEN)}): mAP, Euclidean, inductive.",
        "tracking": f"StrongSORT on {scene['sequences']} sequences of {scene['frames']} frames with {scene['people']} "
        f"people (level `{scene['level']}`, seed {scene['seed']}): HOTA, IDF1, COMBINED; options as by default.",
        "real": "Real people: probability that two crops of one person are nearer than crops of two people (area under "
        "the ROC curve), on frames of MOT17-02 and -04, a thirtieth of a second apart, and on a video of people who "
        "come one by one, where crops of one person are two seconds apart or more.",
    }
    lines = []
    for part, text in meaning.items():
        found = [row[part] for row in rows.values() if row[part]]
        if not found:
            continue
        if part == "speed":
            text += f" Threads: {', '.join(sorted({str(row['threads']) for row in found}))}."
        if part == "real":
            pairs = {name: found[0][name] for name in ("frames", "video") if name in found[0]}
            counts = [
                f"{name}: {of['people']} people, {of['same']} and {of['different']} pairs" for name, of in pairs.items()
            ]
            text += f" {'; '.join(counts)}."
        origins = sorted({", ".join(row["origin"].values()) for row in found})
        lines.append(f"- {text} `{found[0]['command']}` ({'; '.join(origins)})")
    return lines


def table(rows: dict[str, Row], budget: Budget) -> str:
    """Returns the table in Markdown with its notes.

    Args:
        rows: Name of a checkpoint to part to what was measured, empty where nothing was.
        budget: Whose worlds were taken.
    """
    heads = ["checkpoint", "input", "parameters", "multiply-adds", "torch", "onnxruntime", f"{WORLD}, Euclidean"]
    heads += [f"{WORLD}, Jaccard", f"{UNSEEN}, mAP", "HOTA, IDF1", "AUC, frames", "AUC, video"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join([name, *_cells(row)]) + " |" for name, row in rows.items()]
    trained = {name: row["size"].get("training") for name, row in rows.items() if row["size"].get("training")}
    notes = [f"- {name}: {text}." for name, text in trained.items()]
    return "\n".join([*lines, "", *_notes(rows, budget), *notes])


def main(config: ZooTableConfig) -> None:
    """Measures what is missing, prints the table and writes it where told."""
    paths = {name: resolve_source(name).resolve() for name in config.ckpt}
    for name, path in paths.items():
        if not path.is_file():
            raise ValueError(f"ckpt: got {name}, which is no file")
    real, out, zoo = (path if path is None else path.resolve() for path in (config.real, config.out, config.zoo))
    plan, readme = config.plan.resolve(), None if config.readme is None else config.readme.resolve()
    assert out is not None and zoo is not None
    # Commands start in the repository's root; paths below it stay short in what they record.
    os.chdir(ROOT)
    budget = read_plan(plan, config.budget, _short(zoo))
    rows: dict[str, Row] = {}
    for name, path in paths.items():
        shown = name if name.startswith("zoo:") else path.stem if path.stem != "model" else path.parent.name
        rows[shown if shown not in rows else str(_short(path))] = {
            part: measure(_short(path), part, budget, _short(out), real) if part in config.parts else {}
            for part in PARTS
        }
    text = table(rows, budget)
    if config.real is None and "real" in config.parts:
        print("note: no --real DIR, the columns of real people stay empty")
    print(text)
    if readme is not None:
        update(readme, text, BEGIN, END, "Checkpoints side by side")


def _short(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    run_entry_point(main, ZooTableConfig)
