"""Small trainings of the entry point, for tests."""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState

from reid.checkpoint import load_checkpoint
from reid.config import parse_config
from reid.image_reid_train import main
from reid.train_options import TrainConfig

SMALL = ["--bs", 16, "--epochs", 1, "--height", 32, "--width", 16, "--warmup-epochs", 0.5, "--state-every", 0]
SMALL += ["--threads", 1]  # threads that wait for each other are slow where other programs run


def options(root: Path, out: Path, *given: object) -> TrainConfig:
    """Returns the configuration of a command line."""
    return parse_config(TrainConfig, list(map(str, ["--root", root, "--out", out, *SMALL, *given])))


def train(root: Path, out: Path, *given: object) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Trains and returns the weights and the rows."""
    # accelerate keeps the precision of the first accelerator in a process.
    AcceleratorState._reset_state(reset_partial_state=True)
    main(options(root, out, *given))
    AcceleratorState._reset_state(reset_partial_state=True)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return load_checkpoint(out / "model.safetensors")[0], rows


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Returns whether two networks have the same weights."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
