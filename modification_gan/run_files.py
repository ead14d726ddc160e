"""The folder of a run: what training writes, and whether a run may go on there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from reid.data.generated import IMAGES, MANIFEST
from reid.files import write_text
from reid.records import file_sha256
from reid.training_state import StateFolder
from reid.yaml_mapping import read_yaml_mapping

# What a run that goes on may do otherwise: what changes no weight, and what a training that failed or ended needs.
_FREE = (
    *("resume", "out", "num_images", "sample_batch", "log_every", "grid_every", "threads"),
    *("steps", "generator_lr", "discriminator_lr", "state_every", "collapse_below", "collapse_after"),
)
_PATHS = ("root", "ckpt")  # the same folder may be written in several ways
_OWN = "ngf"  # an option that only generators have


class RunFiles:
    """The folder of a run. What an earlier run left there is removed by `begin`, and by nothing before.

    Args:
        out: The folder.
        values: All options, stored as config.yaml.
        resume: Whether an earlier run is gone on with.
        say: Told what is gone on with.
        main: Whether this is the main process, the only one that writes.
        data: Where the training images are, None for a run that has none.

    Attributes:
        weights: The generator's file.
        card: The card of the whole folder.
        states: Where the training stands.
        rows: Of metrics.jsonl.

    Raises:
        ValueError: When the folder is a file, lies in the data, or holds what no generator's run has written; when a
            run that goes on has other options.
    """

    def __init__(
        self,
        out: Path,
        values: dict[str, Any],
        resume: bool,
        say: Callable[[str], None],
        *,
        main: bool = True,
        data: Path | None = None,
    ) -> None:
        self.out = out
        self.weights = out / "model.safetensors"
        self.card = out / "card.json"
        self.states = StateFolder(out / "states", say)
        self.rows: list[dict[str, float]] = []
        self._config = out / "config.yaml"
        self._metrics = out / "metrics.jsonl"
        self._earlier = out / "states" / "earlier-weights.txt"
        self._values, self._resume, self._main = values, resume, main
        _check_place(out, data)
        self._check_origin()
        if resume:
            self._check_options(say)

    def begin(self) -> None:
        """Makes the folder this run's: to be called when all that may be wrong with its options has been looked at.

        A new run removes what an earlier one left there, but for its generator, which stays until the first good one
        takes its place: a run that was started by mistake costs no training.
        """
        if not self._main:
            return
        if self._resume:
            self.rows = self._read_rows()
        else:
            self._clear()
        write_text(self._config, yaml.safe_dump(self._values | {"resume": False}, sort_keys=False))

    def begin_sampling(self, weights: Path) -> None:
        """Makes the folder one of images of weights from elsewhere; a training's own folder takes those of its own.

        Raises:
            ValueError: When another training, or one that has no generator yet, has its images here.
        """
        before = read_yaml_mapping(self._config, "option to value") if self._config.is_file() else {"sample_from": ""}
        if before.get("sample_from") is not None:
            write_text(self._config, yaml.safe_dump(self._values, sort_keys=False))
        elif weights.resolve() != self.weights.resolve() or not self.has_weights():
            raise ValueError(f"out: got {self.out}, where another training has its images; take another folder")

    def has_weights(self) -> bool:
        """Returns whether there is a generator of this run; that of an earlier one may still lie in its place."""
        if not self.weights.is_file():
            return False
        return not self._earlier.is_file() or self._earlier.read_text(encoding="utf-8") != file_sha256(self.weights)

    def weights_written(self) -> None:
        """Notes that the generator's file is this run's."""
        self._earlier.unlink(missing_ok=True)

    def add_row(self, row: dict[str, float]) -> None:
        """Stores a row in the place of those of its step and later ones, which a run that went on has made again."""
        self.rows = [old for old in self.rows if old["step"] < row["step"]] + [row]
        write_text(self._metrics, "".join(json.dumps(row) + "\n" for row in self.rows))

    def grid(self, step: int) -> Path:
        """Returns where the sample grid of a step goes."""
        return self.out / "samples" / f"step-{step:07d}.png"

    def _read_rows(self) -> list[dict[str, float]]:
        lines = self._metrics.read_text(encoding="utf-8").splitlines() if self._metrics.is_file() else []
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise ValueError(f"{self._metrics}: damaged ({error}); remove it, or leave --resume out") from error

    def _clear(self) -> None:
        if self.weights.is_file():
            write_text(self._earlier, file_sha256(self.weights))
        self.states.clear()
        for name in ("card.json", "metrics.jsonl", "curves.png", MANIFEST):
            (self.out / name).unlink(missing_ok=True)
        for path in (self.out / "samples").glob("step-*.png"):
            path.unlink()

    def _check_origin(self) -> None:
        """Raises a ValueError when there is something that no run of a generator wrote, and that one would replace."""
        out = self.out
        if self._config.is_file():
            if _OWN not in read_yaml_mapping(self._config, "option to value"):
                raise ValueError(f"out: got {out}, whose config.yaml is not that of a generator; take another folder")
        else:
            images = out / IMAGES
            if images.is_dir() and any(images.iterdir()):
                raise ValueError(f"out: got {out}, whose folder {IMAGES} holds files that no run wrote; take another")
            for name in (self.weights.name, "card.json", "metrics.jsonl", "curves.png", MANIFEST):
                if (out / name).exists():
                    raise ValueError(f"out: got {out}, which holds {name}, but no config.yaml of a run; take another")
        card = self.weights.with_suffix(".json")
        try:
            foreign = card.is_file() and "sizes" not in json.loads(card.read_text(encoding="utf-8"))
        except (ValueError, TypeError):
            foreign = True
        if foreign:
            raise ValueError(f"out: got {out}, whose {card.name} is not that of a generator; take another folder")

    def _check_options(self, say: Callable[[str], None]) -> None:
        if not self._config.is_file():
            say(f"nothing to go on from in {self.out}: starting anew")
            return
        values, before = self._values, read_yaml_mapping(self._config, "option to value")
        other = [
            name
            for name in values
            if name not in _FREE and _meant(name, before.get(name)) != _meant(name, values[name])
        ]
        if other:
            raise ValueError(
                f"resume: {self._config} has "
                + ", ".join(f"{name} {before.get(name)!r} (now {values[name]!r})" for name in other)
                + "; give the same options, or another --out"
            )


def _meant(name: str, value: Any) -> Any:
    return str(Path(value).resolve()) if name in _PATHS and isinstance(value, str) else value


def _check_place(out: Path, data: Path | None) -> None:
    """Raises a ValueError when a folder cannot be one, or is or lies in that of the training images."""
    for part in (out, *out.parents):
        if part.exists() and not part.is_dir():
            raise ValueError(f"out: got {out}, but {part} is a file; allowed: a folder")
    if data is not None and data.resolve() in (out.resolve(), *out.resolve().parents):
        raise ValueError(f"out: got {out}, which lies in the dataset {data}; take a folder elsewhere")
