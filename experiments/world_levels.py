"""How hard each level of the world is: the demo's recipe, a published network and a histogram, level by level."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

import tyro  # noqa: E402
from rich.console import Console  # noqa: E402

from experiments.demo import DemoConfig, Step, reid_data, reid_steps, world_steps  # noqa: E402
from reid.config import run_entry_point  # noqa: E402
from reid.files import write_text  # noqa: E402
from reid.records import require_one_protocol  # noqa: E402

COLUMNS = {
    "colour histogram": "score-histogram",
    "OSNet x0.25 (MSMT17)": "score-osnet",
    "cares18, untrained": "score-untrained",
    "cares18, trained": "score-trained",
}


@dataclasses.dataclass(frozen=True)
class LevelsConfig:
    """Scores four networks on worlds of several levels and seeds and writes the table.

    What exists already is not made again, so that an interrupted run continues.
    """

    out: Path = Path("runs/levels")
    """Folder of everything that is written."""
    levels: Annotated[tuple[str, ...], tyro.conf.arg(name="level")] = ("easy", "medium", "hard")
    """Levels of the world."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(name="seed")] = (0, 1)
    """Seeds of world and training."""
    osnet: Path | None = None
    """A published network as ONNX, e.g. osnet_x0_25_msmt17.onnx; without it its column stays empty."""
    pids: int = DemoConfig.pids
    """Identities of a world."""
    epochs: int = DemoConfig.epochs
    """Passes over the training split."""
    processes: int = DemoConfig.processes
    """Processes that render the world."""


def _run(step: Step, console: Console) -> None:
    console.print(f"\n[bold]{step.title}[/bold]", soft_wrap=True)
    done = subprocess.run([sys.executable, *step.arguments], cwd=ROOT)
    if done.returncode != 0:
        raise ValueError(f"{step.title}: failed with status {done.returncode}; see above")


def _score_world(config: LevelsConfig, level: str, seed: int, console: Console) -> Path:
    """Runs what is missing for one world and returns its folder."""
    out = (config.out / f"{level}-{seed}").resolve()
    demo = DemoConfig(
        out=out,
        level=level,
        seed=seed,
        pids=config.pids,
        epochs=config.epochs,
        processes=config.processes,  # type: ignore[arg-type]
    )
    render, steps = world_steps(demo)[0], reid_steps(demo)[:-1]
    if not reid_data(demo).is_dir():
        _run(render, console)
    if config.osnet is not None:
        score = ["reid/image_reid_inference.py", "--root", str(reid_data(demo)), "--out", str(out / "score-osnet")]
        score += ["--ckpt", str(config.osnet.resolve()), "--no-pictures"]
        steps.append(Step("scores of the published network", score))
    for step in steps:
        target = Path(step.arguments[step.arguments.index("--out") + 1])
        if not any((target / name).exists() for name in ("result.json", "model.safetensors")):
            _run(Step(f"{level}, seed {seed}: {step.title}", step.arguments), console)
    return out


def _cell(folder: Path) -> str:
    path = folder / "result.json"
    if not path.exists():
        return "-"
    records = {record["distance"]: record for record in json.loads(path.read_text(encoding="utf-8"))}
    euclidean = records["Euclidean"]
    if require_one_protocol([euclidean], str(path)) != "inductive":
        raise ValueError(f"{path}: got a {euclidean['protocol']} score, allowed in this table: inductive")
    return f"{100 * euclidean['scores']['Rank-1']:.1f}, {100 * euclidean['scores']['mAP']:.1f}"


def main(config: LevelsConfig) -> None:
    """Runs all worlds, prints and writes the table (Rank-1, mAP; Euclidean distance, inductive)."""
    if config.osnet is not None and not config.osnet.is_file():
        raise ValueError(f"--osnet: got {config.osnet}, which is no file")
    console = Console(highlight=False)
    lines = ["| level | seed | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for level in config.levels:
        for seed in config.seeds:
            out = _score_world(config, level, seed, console)
            cells = [_cell(out / folder) for folder in COLUMNS.values()]
            lines.append(f"| {level} | {seed} | " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    write_text(config.out / "levels.md", table + "\n")
    print(table)


if __name__ == "__main__":
    run_entry_point(main, LevelsConfig)
