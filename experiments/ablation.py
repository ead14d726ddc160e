"""What each part of the recipe is worth, on worlds of people: `python experiments/ablation.py`, then `make results`."""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

import tyro  # noqa: E402

from experiments.ablation_table import ROWS, SIZES, ablation_section, draw_ablation, read_ablation  # noqa: E402
from experiments.precision import native_precision  # noqa: E402
from experiments.runs import Run, is_done, run_command  # noqa: E402
from reid.config import run_entry_point  # noqa: E402
from reid.files import write_json, write_text  # noqa: E402


@dataclasses.dataclass(frozen=True)
class AblationConfig:
    """Trains every row of the ablation on every level with every seed, and writes its table and picture.

    Runs whose result exists are not run again, so that an interrupted ablation continues. A world is written once a
    level and seed. `renorm` is scored in the middle of the run of `continual`, which begins with that very training.
    """

    out: Path = Path("runs/ablation")
    """Folder of the worlds, the runs, ablation.md and ablation.png."""
    levels: Annotated[tuple[Literal["easy", "medium", "hard"], ...], tyro.conf.arg(name="level")] = ("medium", "hard")
    """Levels of the world."""
    rows: Annotated[tuple[str, ...], tyro.conf.arg(name="row")] = tuple(ROWS)
    """Rows of the table: names of experiments/recipes/world-NAME.yaml."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(name="seed")] = (0, 1, 2)
    """Seeds of world and training."""
    labelled: int = 120
    """Identities of a world that are trained on."""
    unlabelled: int = 80
    """Identities that continual training sees without labels; they are in no other split."""
    tested: int = 100
    """Identities of query and gallery."""
    cameras: int = 6
    """Cameras of a world."""
    images_per_camera: int = 2
    """Images an identity and camera."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """Of the training; auto takes bf16 where the processor multiplies it natively."""
    processes: int = 2
    """Processes that render a world."""
    options: tuple[str, ...] = ()
    """Given to each training, behind the recipe: epochs=3 height=32 and so on."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in ROWS:
                raise ValueError(f"row: got {row!r}, allowed: {', '.join(ROWS)}")
        for name in SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: 1 or more")


def _world(config: AblationConfig, level: str, seed: int) -> Path:
    # A world's name is in the score records, where it shall be the same for all seeds.
    return config.out / f"seed-{seed}" / f"world-{level}"


def _unlabelled(world: Path) -> Path:
    return world.with_name(f"{world.name}-unlabelled")


def planned_runs(config: AblationConfig, level: str, seed: int) -> list[Run]:
    """Returns the trainings of one world.

    Raises:
        ValueError: When an option is no NAME=VALUE.
    """
    more = []
    for option in config.options:
        name, sign, value = option.partition("=")
        if not sign:
            raise ValueError(f"options: got {option!r}, allowed: NAME=VALUE")
        more += [f"--{name.replace('_', '-')}", value]
    world = _world(config, level, seed)
    precision = native_precision() if config.precision == "auto" else config.precision
    found = []
    for row in config.rows:
        if row == "renorm" and "continual" in config.rows:
            continue
        folder = world.with_name(f"{level}-{row}")
        command = ["reid/image_reid_train.py", "--config", f"experiments/recipes/world-{row}.yaml"]
        command += ["--root", str(world), "--out", str(folder), "--seed", str(seed), "--precision", precision]
        command += ["--unlabelled", str(_unlabelled(world))] if row == "continual" else []
        found.append(Run(f"{level}, seed {seed}: {row}", folder, command + more))
    return found


def write_world(config: AblationConfig, level: str, seed: int) -> None:
    """Writes a world, with the images of some training identities put aside in a folder without labels.

    Raises:
        ValueError: When the world cannot be rendered.
    """
    world = _world(config, level, seed)
    if world.is_dir():
        return
    rendered, aside = world.with_name(f"rendered-{level}"), _unlabelled(world)
    if not rendered.is_dir():
        trained = config.labelled + config.unlabelled
        pids = trained + config.tested
        options = {"pids": pids, "train-fraction": trained / pids, "cameras": config.cameras, "level": level}
        options |= {"images-per-camera": config.images_per_camera, "seed": seed, "processes": config.processes}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        run_command(["-m", "synthetic_world", "reid", "--out", str(rendered), *words], f"world {level}, seed {seed}")
    # Each step can be done again after an interruption; the world appears when all is done.
    aside.mkdir(exist_ok=True)
    for path in sorted((rendered / "bounding_box_train").glob("*.jpg")):
        if int(path.name.split("_")[0]) > config.labelled:
            path.rename(aside / path.name)
    # It names the images that are no longer there.
    (rendered / "annotations.json").unlink(missing_ok=True)
    rendered.rename(world)


def _check_sizes(config: AblationConfig) -> None:
    """Refuses to mix worlds of several sizes in one table."""
    path = config.out / "ablation.json"
    sizes = {name: getattr(config, name) for name in SIZES}
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found != sizes:
            raise ValueError(f"{path}: its worlds have {found}, got {sizes}; give the same, or another --out")
    write_json(path, sizes)


def write_report(out: Path) -> str:
    """Writes ablation.md and ablation.png from the results so far and returns the text."""
    text = ablation_section(out)
    write_text(out / "ablation.md", text + "\n")
    draw_ablation(read_ablation(out), out / "ablation.png")
    return text


def main(config: AblationConfig) -> None:
    """Runs what is missing, seed by seed, so that an interrupted ablation has whole columns."""
    out = config.out.resolve()
    # Runs start in the repository's root; paths below it stay short in what they record.
    config = dataclasses.replace(config, out=out.relative_to(ROOT) if out.is_relative_to(ROOT) else out)
    os.chdir(ROOT)
    _check_sizes(config)
    worlds = [(level, seed) for seed in config.seeds for level in config.levels]
    plans = {world: planned_runs(config, *world) for world in worlds}
    left = {world: [run for run in runs if not is_done(run)] for world, runs in plans.items()}
    number, count = 0, sum(map(len, left.values()))
    print(f"{sum(map(len, plans.values()))} runs, {sum(map(len, plans.values())) - count} of them done", flush=True)
    start = time.perf_counter()
    for world, runs in left.items():
        if runs:
            write_world(config, *world)
        for run in runs:
            run_command(run.command, f"{number + 1}/{count} {run.name}")
            number += 1
            seconds = (time.perf_counter() - start) / number * (count - number)
            print(f"{number}/{count} done, about {seconds / 60:.1f} minutes left", flush=True)
            write_report(config.out)
    print("\n" + write_report(config.out))


if __name__ == "__main__":
    run_entry_point(main, AblationConfig)
