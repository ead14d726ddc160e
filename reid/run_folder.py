"""The folder of a training run: what is in it, and whether a run may go on there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from reid.files import write_json, write_text
from reid.pictures import draw_loss_curve
from reid.train_options import RunOptions
from reid.training_log import TrainingLog
from reid.training_state import StateFolder

# What a resumed run may do otherwise: none of it changes a weight.
_FREE = ("resume", "state_every", "state_steps", "log", "accelerate", "threads", "workers", "cache_megabytes", "out")


class RunFolder:
    """Opens `runs/<name>/`, anew or to go on.

    Args:
        options: Where and how.
        values: All options, stored as config.yaml.
        say: Told what is gone on with.
        main: Whether this is the main process, the only one that writes.

    Attributes:
        last: The checkpoint after the last epoch.
        best: The checkpoint of the best epoch so far, chosen on the test split (--eval-every).
        source: The checkpoint before continual training.
        log: Where rows go; None on other processes.

    Raises:
        ValueError: When a resumed run has other options than the one that it goes on with.
    """

    def __init__(
        self, options: RunOptions, values: dict[str, Any], say: Callable[[str], None], *, main: bool = True
    ) -> None:
        self.options = options
        self.path = options.out
        self.last = self.path / "model.safetensors"
        self.best = self.path / "best.safetensors"
        self.source = self.path / "source.safetensors"
        self._say = say
        if options.resume:
            check_same_options(self.path, values, say)
        self.log: TrainingLog | None = None
        if not main:
            return
        if not options.resume:
            for name in ("source", "continual"):
                self._states(name).clear()
            (self.path / "result.json").unlink(missing_ok=True)
        wandb = values if options.log == "wandb" else None
        self.log = TrainingLog(self.path, keep=options.resume, wandb_config=wandb)
        write_text(self.path / "config.yaml", yaml.safe_dump(values | {"resume": False}, sort_keys=False))

    def _states(self, name: str) -> StateFolder:
        return StateFolder(self.path / "states" / name, self._say, self.options.state_every, self.options.state_steps)

    def states(self, name: str) -> StateFolder | None:
        """Returns the states of a part of the run, "source" or "continual"; None when the run keeps none.

        Those of a run that is not gone on with are removed.
        """
        states = self._states(name)
        if self.log is not None and not self.options.resume:
            states.clear()
        keeps = self.options.state_every or self.options.state_steps or self.options.resume
        return states if keeps else None

    def is_best(self, score: float, epoch: int, protocol: str) -> bool:
        """Returns whether a score beats those of all earlier epochs with this protocol in the log."""
        assert self.log is not None
        rivals = [row for row in self.log.rows if row.get("protocol") == protocol and row["epoch"] < epoch]
        return all(score > row["mAP"] for row in rivals)

    def write_result(self, records: list[dict[str, Any]]) -> None:
        """Stores score records as result.json, and draws curves.png."""
        write_json(self.path / "result.json", records)
        if self.log is not None and self.log.rows:
            draw_loss_curve(self.log.rows, self.path / "curves.png")

    def close(self) -> None:
        """Ends the log."""
        if self.log is not None:
            self.log.close()


def check_same_options(folder: Path, values: dict[str, Any], say: Callable[[str], None]) -> None:
    """Compares the options of a run that goes on with those in the folder's config.yaml.

    Args:
        folder: Of the run.
        values: All options of now.
        say: Told when there is nothing to go on from.

    Raises:
        ValueError: When an option that changes the weights is another one.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        say(f"nothing to go on from in {folder}: starting anew")
        return
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    other = [name for name in values if name not in _FREE and before.get(name) != values[name]]
    if other:
        raise ValueError(
            f"resume: {path} has "
            + ", ".join(f"{name} {before.get(name)!r} (now {values[name]!r})" for name in other)
            + "; give the same options, or another --out"
        )
