"""Puts trained networks of the zoo's plan into checkpoints/: in half precision, scored like that, with an entry."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

import torch  # noqa: E402

from experiments.runs import run_command  # noqa: E402
from experiments.zoo_plan import UNSEEN, WORLD, Budget, read_plan  # noqa: E402
from reid.checkpoint import Card, load_checkpoint, save_checkpoint  # noqa: E402
from reid.config import run_entry_point  # noqa: E402
from reid.records import file_sha256  # noqa: E402
from reid.zoo_entries import ZOO, ZooEntry, brief_scores, read_zoo, write_zoo  # noqa: E402

LICENCE = "MIT, like this repository"
DATA_LICENCE = "MIT, made by this repository's synthetic_world"


@dataclasses.dataclass(frozen=True)
class ZooPublishConfig:
    """Writes NETWORK_world.safetensors, its card beside it, and its entry in zoo.yaml.

    The scores are those of the file in half precision, on the trained world's other people and on an unseen world.
    """

    only: tuple[str, ...]
    """Networks of the plan."""
    budget: Literal["cpu", "gpu"] = "cpu"
    """Of their training."""
    out: Path = Path("runs/zoo")
    """The --out of experiments/zoo_world.py."""
    plan: Path = ROOT / "experiments" / "zoo_world.yaml"
    """What they were trained by."""
    zoo: Path = ZOO
    """The zoo.yaml; files go beside it."""


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns a state in half precision, without a classifier.

    Numbers of one dimension, biases and normalisation with its running statistics, stay as they are: they are few, and
    variances may lie outside the range of half precision.

    Raises:
        ValueError: When a weight lies outside that range.
    """
    found = {}
    for name, tensor in state.items():
        if "classifier" in name:
            continue
        found[name] = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        if not torch.isfinite(found[name]).all():
            raise ValueError(f"{name}: got numbers beyond half precision, allowed: up to 65504")
    return found


def _score(path: Path, budget: Budget) -> list[dict[str, Any]]:
    records = []
    for part in (WORLD, UNSEEN):
        out = budget.folder / "published" / f"{path.stem}-{part}"
        command = ["reid/image_reid_inference.py", "--root", str(budget.write_world(part)), "--ckpt", str(path)]
        run_command([*command, "--no-pictures", "--out", str(out)], f"{path.stem}: {budget.world_folder(part).name}")
        records += json.loads((out / "result.json").read_text(encoding="utf-8"))
    # The file that was scored had no scores on its card yet, so that its checksum is no longer that of any file.
    return [record | {"checkpoint_sha256": None} for record in records]


def publish(network: str, budget: Budget, zoo: Path) -> ZooEntry:
    """Writes a network's file and returns its entry.

    Raises:
        FileNotFoundError: When it has not been trained.
        ValueError: When its scores cannot be made.
    """
    source = budget.checkpoint(network)
    if not (source.parent / "result.json").is_file():
        raise FileNotFoundError(f"{source}: not trained to the end; run experiments/zoo_world.py --only {network}")
    state, card = load_checkpoint(source)
    world = budget.worlds[WORLD]
    trained = round(world["pids"] * world["train-fraction"])
    seen = f"{trained} people, {world['cameras']} cameras"
    data = f"a synthetic world of level {world['level']}, seed {world['seed']}: {seen}"
    size = f"{card.preprocessing.height} x {card.preprocessing.width}"
    training = f"{budget.description}, {size}; a synthetic world, not Market-1501"
    notes = {"training": training, "training_data": data, "training_data_licence": DATA_LICENCE, "licence": LICENCE}
    path = zoo.parent / f"{network}_world.safetensors"
    card = dataclasses.replace(card, num_classes=0, config=card.config | notes, scores=[])
    half = halved(state)
    scratch = budget.folder / "published" / path.name
    save_checkpoint(scratch, half, card)
    run_command(["-m", "reid.calibrate", str(scratch), "--root", str(budget.write_world(WORLD))], f"{network}: limits")
    card = dataclasses.replace(load_checkpoint(scratch)[1], scores=_score(scratch, budget))
    save_checkpoint(path, half, card)
    return entry_of(path, card)


def entry_of(path: Path, card: Card) -> ZooEntry:
    """Returns the entry of a file that is published, from its card."""
    return ZooEntry(
        name=path.stem,
        backbone=card.backbone,
        options=card.options,
        input=card.preprocessing,
        embedding_size=card.embedding_size,
        file=path.name,
        licence=card.config["licence"],
        training_data=card.config["training_data"],
        training_data_licence=card.config["training_data_licence"],
        training=card.config["training"],
        sha256=file_sha256(path),
        scores=tuple(brief_scores(card.scores)),
    )


def main(config: ZooPublishConfig) -> None:
    """Publishes one network after another."""
    out, plan, zoo = config.out.resolve(), config.plan.resolve(), config.zoo.resolve()
    # Commands start in the repository's root; paths below it stay short in what they record.
    os.chdir(ROOT)
    budget = read_plan(plan, config.budget, out.relative_to(ROOT) if out.is_relative_to(ROOT) else out)
    for network in config.only:
        if network not in budget.networks:
            raise ValueError(f"only: got {network!r}, allowed: {', '.join(budget.networks)}")
        entry = publish(network, budget, zoo)
        write_zoo((read_zoo(zoo) if zoo.is_file() else {}) | {entry.name: entry}, zoo)
        size = (zoo.parent / entry.file).stat().st_size / 1e6
        print(f"{entry.name}: {size:.1f} MB, {zoo.parent / entry.file}", flush=True)


if __name__ == "__main__":
    run_entry_point(main, ZooPublishConfig)
