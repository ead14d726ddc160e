"""The folder of a run: what training writes, and whether a run may go on there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from reid.data.generated import IMAGES, MANIFEST
from reid.files import write_text
from reid.training_state import StateFolder

# What a run that goes on may do otherwise: none of it changes a weight.
_FREE = ("resume", "out", "num_images", "sample_batch", "log_every", "grid_every", "threads")


class RunFiles:
    """Opens a run's folder, anew or to go on; anew, what an earlier run left there is removed.

    Args:
        out: The folder.
        values: All options, stored as config.yaml.
        resume: Whether an earlier run is gone on with.
        say: Told what is gone on with.
        main: Whether this is the main process, the only one that writes.

    Attributes:
        weights: The generator's file.
        card: The card of the whole folder.
        states: Where the training stands.
        rows: Of metrics.jsonl.

    Raises:
        ValueError: When a run that goes on has other options, or the folder holds images of other origin.
    """

    def __init__(
        self, out: Path, values: dict[str, Any], resume: bool, say: Callable[[str], None], *, main: bool = True
    ) -> None:
        self.out = out
        self.weights = out / "model.safetensors"
        self.card = out / "card.json"
        self.states = StateFolder(out / "states", say)
        self.rows: list[dict[str, float]] = []
        self._config = out / "config.yaml"
        self._metrics = out / "metrics.jsonl"
        images = out / IMAGES
        if images.is_dir() and any(images.iterdir()) and not self._config.is_file():
            raise ValueError(f"out: got {out}, whose folder {IMAGES} holds files that no run wrote; take another")
        if resume:
            self._check(values, say)
        if not main:
            return
        if resume:
            self.rows = self._read_rows()
        else:
            self._clear()
        write_text(self._config, yaml.safe_dump(values | {"resume": False}, sort_keys=False))

    def add_row(self, row: dict[str, float]) -> None:
        """Stores a row in the place of those of its step and later ones, which a run that went on has made again."""
        self.rows = [old for old in self.rows if old["step"] < row["step"]] + [row]
        write_text(self._metrics, "".join(json.dumps(row) + "\n" for row in self.rows))

    def grid(self, step: int) -> Path:
        """Returns where the sample grid of a step goes."""
        return self.out / "samples" / f"step-{step:07d}.png"

    def _read_rows(self) -> list[dict[str, float]]:
        lines = self._metrics.read_text(encoding="utf-8").splitlines() if self._metrics.is_file() else []
        return [json.loads(line) for line in lines]

    def _clear(self) -> None:
        self.states.clear()
        for name in ("model.safetensors", "model.json", "card.json", "metrics.jsonl", "curves.png", MANIFEST):
            (self.out / name).unlink(missing_ok=True)
        for path in (self.out / "samples").glob("step-*.png"):
            path.unlink()

    def _check(self, values: dict[str, Any], say: Callable[[str], None]) -> None:
        if not self._config.is_file():
            say(f"nothing to go on from in {self.out}: starting anew")
            return
        before = yaml.safe_load(self._config.read_text(encoding="utf-8"))
        other = [name for name in values if name not in _FREE and before.get(name) != values[name]]
        if other:
            raise ValueError(
                f"resume: {self._config} has "
                + ", ".join(f"{name} {before.get(name)!r} (now {values[name]!r})" for name in other)
                + "; give the same options, or another --out"
            )
