"""What happens when an epoch ends: its row, scores where they are due, and the best checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from reid.engine import Trainer
from reid.run_folder import RunFolder

# Maps a network with the weights that would be stored to the score record of the test split (`reid.records`).
Score = Callable[[nn.Module], dict[str, Any]]
# Writes such a network and its score records to a checkpoint.
Store = Callable[[nn.Module, Path, list[dict[str, Any]]], None]


def epoch_reporter(
    folder: RunFolder,
    trainer: Callable[[], Trainer],
    score: Score,
    store: Store,
    say: Callable[[str], None],
    *,
    epochs: int,
    every: int = 0,
    first: int = 0,
) -> Callable[[dict[str, float]], None]:
    """Returns what `Trainer.train` calls after each epoch: it logs the row, with scores where they are due.

    Only the main process logs and scores; the others wait for it where they meet next. The last epoch is left to the
    caller, who stores and scores it in any case and hands its record to `keep_best`.

    Args:
        folder: Of the run.
        trainer: Returns the trainer, which may be built later than this.
        score: Scores the weights as they would be stored, in float32, and averaged where there is an average.
        store: Writes the best of them.
        say: Prints the row.
        epochs: How many are trained.
        every: Epochs between two scores; 0 scores none.
        first: Epochs trained before, in the same run; the rows count on from there.
    """
    last = first + epochs

    def scored(epoch: int) -> dict[str, Any]:
        with trainer().weights_to_keep() as model:
            record = score(model)
            keep_best(folder, model, record, epoch, store)
        return {name: float(value) for name, value in record["scores"].items()} | {"protocol": record["protocol"]}

    def on_epoch_end(row: dict[str, Any]) -> None:
        epoch = first + int(row["epoch"])
        row = row | {"epoch": float(epoch)}
        if folder.log is None:
            return
        if every and epoch % every == 0 and epoch < last:
            row |= scored(epoch)
        folder.log.write(row)
        shown = {name: value if isinstance(value, str) else f"{value:.4g}" for name, value in row.items()}
        terms = " ".join(f"{name} {value}" for name, value in shown.items() if name != "epoch")
        say(f"epoch {epoch}/{last} {terms}")

    return on_epoch_end


def keep_best(folder: RunFolder, model: nn.Module, record: dict[str, Any], epoch: int, store: Store) -> None:
    """Stores the network when its mAP beats those of all earlier epochs with this protocol (`RunFolder.best`)."""
    if folder.is_best(record["scores"]["mAP"], epoch, record["protocol"]):
        chosen = {"epoch": epoch, "note": "this epoch was chosen by its mAP on this test split"}
        store(model, folder.best(record["protocol"]), [record | chosen])
