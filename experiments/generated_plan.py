"""What the study of generated images runs: experiments/generated_images.yaml, read and checked, as commands."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from experiments.real_images import KINDS, Kind
from experiments.runs import Run
from reid.yaml_mapping import read_yaml_mapping

NONE = "none"
_PARTS = {"world", "images_per_camera", "judge", "reid", "generate", "models", "arms"}
_NETWORK = "network"


@dataclasses.dataclass(frozen=True)
class Plan:
    """The study.

    Attributes:
        world: Options of `python -m synthetic_world reid`.
        images_per_camera: What is left of a training identity in each camera.
        judge: The network in whose embeddings images are judged.
        reid: Options of every training.
        generate: Options of every generator.
        models: What each model is told on top; None takes an option of `generate` back. The name is the model's, unless
            "model" says another.
        real: Which real images stand for generated ones, one of `experiments.real_images.KINDS`, by model.
        arms: What a training with generated images is told on top, by name.
        own_arms: The only arms of a model, by its name.
        out: Folder of the study.
        precision: Of re-ID trainings.
    """

    world: dict[str, Any]
    images_per_camera: int
    judge: str
    reid: dict[str, Any]
    generate: dict[str, Any]
    models: dict[str, dict[str, Any]]
    real: dict[str, Kind]
    arms: dict[str, dict[str, Any]]
    own_arms: dict[str, list[str]]
    out: Path
    precision: str

    def describe(self) -> str:
        """Returns a sentence on the data."""
        world, people = self.world, round(self.world["pids"] * self.world["train-fraction"])
        return (
            f"Worlds ({world['level']}) of {people} training people with {self.images_per_camera} image(s) in "
            f"each of {world['cameras']} cameras, {world['pids'] - people} other people tested; the seed is that of "
            "world, generator and training."
        )

    def folder(self, seed: int) -> Path:
        """Returns the folder of a seed."""
        return self.out / f"seed-{seed}"

    def world_folder(self, seed: int) -> Path:
        """Returns the folder of its world, named alike for all seeds, since the name stands in score records."""
        return self.folder(seed) / f"world-{self.world['level']}-few"

    def generated(self, seed: int, model: str) -> Path:
        """Returns the folder of a model's images."""
        return self.folder(seed) / f"images-{model}"

    def arms_of(self, model: str, asked: Sequence[str]) -> list[str]:
        """Returns those of the arms that a model has."""
        return [arm for arm in asked if arm in self.own_arms.get(model, self.arms)]

    def training(self, seed: int, model: str, arm: str) -> Run:
        """Returns a training; the model `NONE` is the one without generated images."""
        folder = self.folder(seed) / (NONE if model == NONE else f"{model}-{arm}")
        command = ["reid/image_reid_train.py", "--root", str(self.world_folder(seed)), "--out", str(folder)]
        told: dict[str, Any] = {"precision": self.precision} | self.reid | {"seed": seed}
        if model != NONE:
            told |= {"synthetic": self.generated(seed, model)} | self.arms[arm]
            if told.get("synthetic_ckpt") == _NETWORK:
                told["synthetic_ckpt"] = self.network(seed)
        return Run(f"seed {seed}: {folder.name}", folder, command + words(told))

    def network(self, seed: int) -> Path:
        """Returns the network of the training without generated images."""
        return self.folder(seed) / NONE / "model.safetensors"

    def generation(self, seed: int, model: str) -> Run:
        """Returns the training of a generator, which makes its images in the end and goes on when interrupted."""
        folder = self.generated(seed, model)
        told = {"model": model, "root": self.world_folder(seed), "out": folder, "ckpt": self.network(seed)}
        told |= self.generate | self.models[model] | {"seed": seed, "resume": True}
        told = {name: value for name, value in told.items() if value is not None}
        return Run(f"seed {seed}: {model}", folder, ["modification_gan/synthetic_generate.py", *words(told)])

    def quality(self, seed: int, model: str) -> Run:
        """Returns the command that judges a model's images."""
        folder = self.folder(seed) / f"quality-{model}"
        told = {"generated": self.generated(seed, model), "root": self.world_folder(seed), "out": folder}
        told |= {"ckpt": self.network(seed) if self.judge == _NETWORK else self.judge, "seed": seed}
        return Run(f"seed {seed}: quality of {model}", folder, ["-m", "modification_gan.quality", *words(told)])


def words(options: Mapping[str, Any]) -> list[str]:
    """Returns options as words of a command line."""
    found: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            found += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
    return found


def told_options(texts: Sequence[str], name: str) -> dict[str, Any]:
    """Returns NAME=VALUE texts as options.

    Raises:
        ValueError: When one is no NAME=VALUE.
    """
    options = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise ValueError(f"{name}: got {text!r}, allowed: NAME=VALUE")
        options[key.replace("-", "_")] = yaml.safe_load(value)
    return options


def read_plan(path: Path, out: Path, precision: str) -> Plan:
    """Reads the plan.

    Args:
        path: The YAML file.
        out: Folder of the study.
        precision: Of re-ID trainings.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is no such plan; the message begins with the path.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such plan")
    parts = read_yaml_mapping(path, "part of the plan to its options")
    if set(parts) != _PARTS:
        found = ", ".join(map(str, parts))
        raise ValueError(f"{path}: got {found}, allowed: {', '.join(sorted(_PARTS))}, all of them")
    images, given = parts["images_per_camera"], parts["world"].get("images-per-camera")
    if not isinstance(given, int) or not isinstance(images, int) or not 1 <= images <= given:
        raise ValueError(f"{path}: images_per_camera: got {images!r}, allowed: 1 to images-per-camera of the world")
    models, arms = ({name: dict(told or {}) for name, told in parts[part].items()} for part in ("models", "arms"))
    if NONE in models:
        raise ValueError(f"{path}: models: got {NONE}, which is the training without generated images")
    own = {name: list(told.pop("arms")) for name, told in models.items() if "arms" in told}
    real = {name: told.pop("real") for name, told in models.items() if "real" in told}
    for name, kind in real.items():
        if kind not in KINDS or models[name]:
            raise ValueError(
                f"{path}: models: {name}: got {kind!r}, allowed: {', '.join(KINDS)}, without other options"
            )
    for name, chosen in own.items():
        if unknown := [arm for arm in chosen if arm not in arms]:
            raise ValueError(f"{path}: models: {name}: got the arm {unknown[0]}, allowed: {', '.join(arms)}")
    made = {name: told for name, told in models.items() if name not in real}
    told = dict(parts["reid"]), dict(parts["generate"]), made, real, arms, own
    return Plan(dict(parts["world"]), images, str(parts["judge"]), *told, out, precision)
