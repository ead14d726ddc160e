"""The folder of a training run: what is in it, and whether a run may go on there."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import yaml

from reid.files import write_json, write_text
from reid.pictures import draw_loss_curve
from reid.records import PROTOCOLS
from reid.training_log import TrainingLog
from reid.training_state import StateFolder

# What a resumed run may do otherwise: none of it changes a weight.
_FREE = ("resume", "state_every", "state_steps", "log", "accelerate", "threads", "workers", "cache_megabytes", "out")


_NONE: Mapping[str, Any] = MappingProxyType({})


class FolderOptions(Protocol):
    """What a run's folder is told; see `reid.train_options.RunOptions`."""

    @property
    def out(self) -> Path:
        """The folder."""

    @property
    def resume(self) -> bool:
        """Whether the run goes on from its newest state."""

    @property
    def state_every(self) -> int:
        """Epochs between two states; 0 writes none."""

    @property
    def state_steps(self) -> int:
        """Batches between two states within an epoch; 0 writes none there."""

    @property
    def log(self) -> Literal["files", "wandb"]:
        """Where rows go."""


class RunFolder:
    """Opens `runs/<name>/`, anew or to go on. Anew, what an earlier run chose, kept or scored there is removed.

    Args:
        options: Where and how.
        values: All options, stored as config.yaml.
        say: Told what is gone on with.
        main: Whether this is the main process, the only one that writes.
        unless_told: What options of None stand for (`reid.config.unless_told`).

    Attributes:
        last: The checkpoint after the last epoch.
        source: The checkpoint before continual training.
        log: Where rows go; None on other processes.

    Raises:
        ValueError: When a resumed run has other options than the one that it goes on with.
    """

    def __init__(
        self,
        options: FolderOptions,
        values: dict[str, Any],
        say: Callable[[str], None],
        *,
        main: bool = True,
        unless_told: Mapping[str, Any] = _NONE,
    ) -> None:
        self.options = options
        self.path = options.out
        self.last = self.path / "model.safetensors"
        self.source = self.path / "source.safetensors"
        self._say = say
        if options.resume:
            check_same_options(self.path, values, say, unless_told)
        self.log: TrainingLog | None = None
        if not main:
            return
        if not options.resume:
            self._remove_earlier_run()
        wandb = values if options.log == "wandb" else None
        self.log = TrainingLog(self.path, keep=options.resume, wandb_config=wandb)
        write_text(self.path / "config.yaml", yaml.safe_dump(values | {"resume": False}, sort_keys=False))

    def _remove_earlier_run(self) -> None:
        # The last checkpoint stays until another one takes its place: a run that was started by mistake costs nothing.
        for path in (self.source, *map(self.best, PROTOCOLS)):
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
        (self.path / "result.json").unlink(missing_ok=True)
        for folder in (self.path / "states", *(self.path / "states").glob("*/")):
            StateFolder(folder).clear()

    def best(self, protocol: str) -> Path:
        """Returns the checkpoint of the best epoch so far with a protocol, chosen on the test split (--eval-every).

        A network that has learnt from test images must not stand where one is expected that has not.
        """
        return self.path / ("best.safetensors" if protocol == "inductive" else f"best-{protocol}.safetensors")

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
        """Returns whether a score (mAP) beats those of all earlier epochs with this protocol in this run."""
        assert self.log is not None
        rivals = [row for row in self.log.rows if row.get("protocol") == protocol and row["epoch"] < epoch]
        return all(score > mean for mean in (*(row["mAP"] for row in rivals), *self._best_so_far(epoch, protocol)))

    def _best_so_far(self, epoch: int, protocol: str) -> list[float]:
        """Returns the mAP in the card of the best checkpoint, which knows of last epochs that no row tells of."""
        card = self.best(protocol).with_suffix(".json")
        if not card.is_file():
            return []
        (record,) = json.loads(card.read_text(encoding="utf-8"))["scores"]
        return [record["scores"]["mAP"]] if record["epoch"] < epoch else []

    def write_result(self, records: list[dict[str, Any]]) -> None:
        """Stores score records as result.json, and draws curves.png."""
        write_json(self.path / "result.json", records)
        if self.log is not None and self.log.rows:
            draw_loss_curve(self.log.rows, self.path / "curves.png")

    def close(self) -> None:
        """Ends the log."""
        if self.log is not None:
            self.log.close()


def check_same_options(
    folder: Path, values: dict[str, Any], say: Callable[[str], None], unless_told: Mapping[str, Any] = _NONE
) -> None:
    """Compares the options of a run that goes on with those in the folder's config.yaml.

    Args:
        folder: Of the run.
        values: All options of now.
        say: Told when there is nothing to go on from.
        unless_told: What options of None stand for.

    Raises:
        ValueError: When an option that changes the weights is another one.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        say(f"nothing to go on from in {folder}: starting anew")
        return
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    before, now = ({name: _meant(found.get(name), name, unless_told) for name in values} for found in (told, values))
    other = [name for name in values if name not in _FREE and before[name] != now[name]]
    if other:
        raise ValueError(
            f"resume: {path} has "
            + ", ".join(f"{name} {before[name]!r} (now {now[name]!r})" for name in other)
            + "; give the same options, or another --out"
        )


def _meant(value: Any, name: str, unless_told: Mapping[str, Any]) -> Any:
    return unless_told.get(name) if value is None else value
