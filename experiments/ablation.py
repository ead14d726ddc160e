"""What each part of the recipe is worth, on worlds of people: `python experiments/ablation.py`, then `make results`."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

import tyro  # noqa: E402

from reid.config import run_entry_point  # noqa: E402

RECIPES = ("ce", "triplet", "center", "renorm", "continual")


@dataclasses.dataclass(frozen=True)
class AblationConfig:
    """Trains every recipe on every level with every seed; runs whose result.json exists are not run again."""

    out: Path = Path("runs/ablation")
    """Folder of the worlds and of the runs."""
    levels: Annotated[tuple[str, ...], tyro.conf.arg(name="level")] = ("medium", "hard")
    """Levels of the world."""
    recipes: Annotated[tuple[str, ...], tyro.conf.arg(name="recipe")] = RECIPES
    """Names of experiments/recipes/world-NAME.yaml."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(name="seed")] = (0, 1, 2)
    """Seeds of the training, and of the world with it."""
    pids: int = 150
    """Identities of a world."""
    cameras: int = 6
    """Cameras of a world."""
    options: tuple[str, ...] = ()
    """Given to each training, behind the recipe: epochs=3 height=32 and so on."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: Of its folder.
        world: The folder of its images.
        command: After the interpreter.
    """

    name: str
    world: Path
    command: list[str]


def runs(config: AblationConfig) -> list[Run]:
    """Returns all trainings, seed by seed, so that an interrupted ablation has whole columns.

    Raises:
        ValueError: When a recipe is unknown, or an option is no NAME=VALUE.
    """
    for recipe in config.recipes:
        if not (ROOT / "experiments" / "recipes" / f"world-{recipe}.yaml").is_file():
            raise ValueError(f"recipe: got {recipe!r}, allowed: {', '.join(RECIPES)}")
    more = []
    for option in config.options:
        name, sign, value = option.partition("=")
        if not sign:
            raise ValueError(f"options: got {option!r}, allowed: NAME=VALUE")
        more += [f"--{name.replace('_', '-')}", value]
    found = []
    for seed in config.seeds:
        for level in config.levels:
            world = config.out / f"world-{level}-{seed}"
            for recipe in config.recipes:
                name = f"{level}-{recipe}-{seed}"
                command = ["reid/image_reid_train.py", "--config", f"experiments/recipes/world-{recipe}.yaml"]
                command += ["--root", str(world), "--out", str(config.out / name), "--seed", str(seed), *more]
                found.append(Run(name, world, command))
    return found


def _run(command: list[str], what: str) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT)
    if done.returncode != 0:
        raise ValueError(f"{what}: failed with status {done.returncode}; see above")


def main(config: AblationConfig) -> None:
    """Runs what is missing."""
    out = config.out.resolve()
    config = dataclasses.replace(config, out=out.relative_to(ROOT) if out.is_relative_to(ROOT) else out)
    everything = runs(config)
    left = [run for run in everything if not (ROOT / config.out / run.name / "result.json").is_file()]
    print(f"{len(everything)} runs, {len(everything) - len(left)} of them done", flush=True)
    start = time.perf_counter()
    for number, run in enumerate(left):
        if not (ROOT / run.world).is_dir():
            level, seed = run.world.name.split("-")[1:]
            size = ["--pids", str(config.pids), "--cameras", str(config.cameras), "--level", level, "--seed", seed]
            _run(["-m", "synthetic_world", "reid", "--out", str(run.world), *size, "--processes", "2"], run.world.name)
        print(f"\n{number + 1}/{len(left)} {run.name}", flush=True)
        _run(run.command, run.name)
        seconds = (time.perf_counter() - start) / (number + 1) * (len(left) - number - 1)
        print(f"about {seconds / 60:.0f} minutes left", flush=True)


if __name__ == "__main__":
    run_entry_point(main, AblationConfig)
