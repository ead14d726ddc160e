"""What a training run leaves behind while it goes: metrics.jsonl and TensorBoard events."""

import json
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class TrainingLog:
    """Appends one row an epoch to `metrics.jsonl` and to TensorBoard.

    Args:
        folder: The run's folder; what an earlier run logged there is replaced.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        self.path.write_text("")
        for stale in (folder / "tensorboard").glob("events.out.tfevents.*"):
            stale.unlink()
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def write(self, row: dict[str, float]) -> None:
        """Stores a row; "epoch" is the step of all its other values."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()
