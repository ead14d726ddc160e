"""What a training run leaves behind while it goes: metrics.jsonl, TensorBoard events, and wandb when asked for."""

import importlib
import importlib.util
import json
import secrets
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from reid.files import write_text


class TrainingLog:
    """Stores one row an epoch in `metrics.jsonl` and in TensorBoard.

    Args:
        folder: The run's folder.
        keep: Go on with what an earlier run logged there; otherwise it is replaced. An epoch that is trained again
            replaces its row and those after it.
        wandb_config: Sends the rows to Weights & Biases too, as a run with this configuration.

    Raises:
        ValueError: When wandb is asked for and not installed.
    """

    def __init__(self, folder: Path, *, keep: bool = False, wandb_config: dict[str, Any] | None = None) -> None:
        self._wandb = None if wandb_config is None else _start_wandb(folder, wandb_config, keep)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        self.rows: list[dict[str, Any]] = read_rows(self.path) if keep else []
        self._store()
        if not keep:
            for stale in (folder / "tensorboard").glob("events.out.tfevents.*"):
                stale.unlink()
        self._folder = str(folder / "tensorboard")
        self._writer: SummaryWriter | None = None

    def write(self, row: dict[str, Any]) -> None:
        """Stores a row; "epoch" is the step of all its other values, of which words stay in the file."""
        epoch = int(row["epoch"])
        again = [old for old in self.rows if old["epoch"] >= epoch]
        self.rows = [old for old in self.rows if old["epoch"] < epoch] + [row]
        if again:
            self._store()
        else:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        if self._writer is None:
            # What TensorBoard holds from this epoch on, from before an interruption, is no longer true.
            self._writer = SummaryWriter(self._folder, purge_step=epoch if len(self.rows) > 1 or again else None)
        numbers = {name: value for name, value in row.items() if name != "epoch" and not isinstance(value, str)}
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()
        if self._wandb is not None:
            self._wandb.log(numbers, step=epoch)

    def _store(self) -> None:
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def close(self) -> None:
        """Closes the event file, and wandb's run."""
        if self._writer is not None:
            self._writer.close()
        if self._wandb is not None:
            self._wandb.finish()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a metrics.jsonl, none when it is missing; a last line that a crash cut short is left out."""
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _start_wandb(folder: Path, config: dict[str, Any], keep: bool) -> Any:
    if importlib.util.find_spec("wandb") is None:
        raise ValueError("log: got wandb, which is not installed; pip install wandb, or --log files")
    wandb = importlib.import_module("wandb")
    # The same run goes on after an interruption.
    name = folder / "wandb-run"
    if not (keep and name.is_file()):
        write_text(name, secrets.token_hex(8))
    identity = name.read_text(encoding="utf-8")
    return wandb.init(
        project="re-identification", name=folder.name, dir=str(folder), config=config, id=identity, resume="allow"
    )
