"""What the zoo is trained with: experiments/zoo_world.yaml, read and checked."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from experiments.precision import native_precision
from experiments.runs import Run
from reid.data.world import read_world
from reid.data.world_folder import ensure_world

WORLD, UNSEEN, SEQUENCES = "world", "unseen", "sequences"
_PARTS = {"description", WORLD, UNSEEN, SEQUENCES, "options", "networks"}
# What a world that exists already can be asked for.
_CHECKED = ("level", "seed", "pids", "cameras", "width", "height")


@dataclasses.dataclass(frozen=True)
class Budget:
    """One budget of the plan.

    Attributes:
        name: "cpu" or "gpu".
        description: For people, and for the cards.
        worlds: "world", which is trained on and whose other people are tested on, and "unseen", of other people and
            cameras, each with the options of `python -m synthetic_world reid`; "sequences", to track people in, with
            those of `mot`.
        options: Of every training.
        networks: What each network is told on top.
        folder: Where worlds and trainings go.
    """

    name: str
    description: str
    worlds: dict[str, dict[str, Any]]
    options: dict[str, Any]
    networks: dict[str, dict[str, Any]]
    folder: Path

    def world_folder(self, part: str) -> Path:
        """Returns the folder of a world; its name, with the level, stands in score records."""
        return self.folder / f"world-{self.worlds[part]['level']}{'-mot' if part == SEQUENCES else ''}"

    def write_world(self, part: str) -> Path:
        """Writes a world when it is missing and returns its folder.

        Raises:
            ValueError: When it cannot be written, or another one lies there.
        """
        folder, options = self.world_folder(part), self.worlds[part]
        if not ensure_world(folder, "mot" if part == SEQUENCES else "reid", options) and part != SEQUENCES:
            read_world(folder, **{name: options[name] for name in _CHECKED if name in options})
        return folder

    def checkpoint(self, network: str) -> Path:
        """Returns where the training of a network leaves it."""
        return self.folder / network / "model.safetensors"

    def run(self, network: str) -> Run:
        """Returns the training of a network, which goes on where an earlier one was interrupted."""
        told = {"backbone": network} | self.options | self.networks[network]
        if told.get("teacher") in self.networks:
            told["teacher"] = self.checkpoint(told["teacher"])
        told.setdefault("precision", native_precision())
        command = ["reid/image_reid_train.py", "--dataset", "world", "--root", str(self.world_folder(WORLD))]
        command += ["--out", str(self.folder / network), "--resume"]
        command += [word for name, value in told.items() for word in _words(name, value)]
        return Run(f"{self.name}: {network}", self.folder / network, command)


def _words(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{name.replace('_', '-')}"]
    return [flag, *map(str, value if isinstance(value, list) else [value])]


def read_plan(path: Path, budget: str, out: Path) -> Budget:
    """Reads one budget.

    Args:
        path: The YAML file.
        budget: Its name there.
        out: Worlds and trainings go to a folder of the budget's name below it.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is no such plan; the message begins with the path.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such plan")
    try:
        plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(plan, Mapping) or budget not in plan:
        known = ", ".join(plan) if isinstance(plan, Mapping) else "none"
        raise ValueError(f"{path}: budget: got {budget!r}, allowed: {known}")
    parts = plan[budget]
    if not isinstance(parts, Mapping) or set(parts) != _PARTS:
        found = ", ".join(parts) if isinstance(parts, Mapping) else repr(parts)
        raise ValueError(f"{path}: {budget}: got {found}, allowed: {', '.join(sorted(_PARTS))}, all of them")
    worlds = {name: dict(parts[name]) for name in (WORLD, UNSEEN, SEQUENCES)}
    levels = [world.get("level") for world in worlds.values()]
    if None in levels or levels[0] == levels[1]:
        raise ValueError(f"{path}: {budget}: level: allowed: one for each world, another for {UNSEEN} than for {WORLD}")
    networks = {name: dict(told or {}) for name, told in parts["networks"].items()}
    return Budget(budget, parts["description"], worlds, dict(parts["options"]), networks, out / budget)
