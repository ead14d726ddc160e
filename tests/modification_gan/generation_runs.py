"""Tiny runs of synthetic_generate, in this process."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from modification_gan import synthetic_generate
from modification_gan.options import GenerateConfig
from modification_gan.run_files import RunFiles
from modification_gan.weights import load_source
from reid.config import parse_config

NEEDS_DIFFUSERS = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None, reason="diffusers is not installed (pip install diffusers)"
)
ALL_MODELS = ["dcgan", "vae-gan", "vae-wgangp", pytest.param("diffusion", marks=NEEDS_DIFFUSERS)]
TINY = ["--height", 32, "--width", 16, "--ngf", 8, "--bs", 6, "--threads", 1, "--log-every", 1]
TINY += ["--collapse-below", 0]  # in so few steps nothing learns to vary; tests of a collapse ask for WATCHED
WATCHED = ["--collapse-below", 0.02]


def arguments(root: Path, out: Path, *more: object) -> list[str]:
    return list(map(str, ["--root", root, "--out", out, *TINY, *more]))


def small(model: str) -> list[object]:
    own: list[object] = ["--ddim-steps", 3] if model == "diffusion" else ["--ndf", 8, "--noise-size", 8]
    return ["--model", model, *own]


def generate(root: Path, out: Path, *more: object) -> dict[str, torch.Tensor]:
    """Runs, and returns the stored weights."""
    AcceleratorState._reset_state(True)  # a precision is chosen once a process
    synthetic_generate.main(parse_config(GenerateConfig, arguments(root, out, *more)))
    return weights(out)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_source(out / "model.safetensors")[0].state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """Saves the time that curves and grids take."""
    patch.setattr(synthetic_generate, "draw_curves", lambda rows, path: None)
    patch.setattr(synthetic_generate, "write_grid", lambda images, path: None)


def interrupt_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Sends Ctrl-C while a step is being worked on."""
    add_row = RunFiles.add_row

    def add(files: RunFiles, row: dict[str, float]) -> None:
        add_row(files, row)
        if row["step"] == step - 1:
            os.kill(os.getpid(), signal.SIGINT)

    patch.setattr(RunFiles, "add_row", add)
