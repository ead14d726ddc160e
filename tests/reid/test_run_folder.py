"""The folder of a run: its best checkpoints, and what an earlier run left there."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.data.images import Preprocessing
from reid.epoch_reports import epoch_reporter, keep_best
from reid.run_folder import RunFolder, check_same_options
from reid.train_options import RunOptions


def opened(path: Path, **options: Any) -> RunFolder:
    return RunFolder(RunOptions(out=path, **options), {"lr": 0.1}, lambda text: None)


def store(model: nn.Module, path: Path, scores: list[dict[str, Any]]) -> None:
    save_checkpoint(path, model.state_dict(), Card("cares18", {}, 0, 2, Preprocessing(), scores=scores))


def record(score: float, protocol: str = "inductive") -> dict[str, Any]:
    return {"scores": {"mAP": score}, "protocol": protocol}


def best(folder: RunFolder, protocol: str = "inductive") -> tuple[int, float, str]:
    (found,) = load_checkpoint(folder.best(protocol))[1].scores
    return found["epoch"], found["scores"]["mAP"], found["protocol"]


class FakeTrainer:
    """Has a network to keep."""

    def weights_to_keep(self) -> Any:
        return contextlib.nullcontext(nn.Linear(1, 1))


def test_each_protocol_has_a_best_checkpoint_of_its_own(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    model = nn.Linear(1, 1)
    for epoch, score in ((1, 0.5), (2, 0.6), (3, 0.6), (4, 0.4)):
        keep_best(folder, model, record(score), epoch, store)
    for epoch, score in ((5, 0.9), (6, 0.8)):
        keep_best(folder, model, record(score, "transductive"), epoch, store)
    assert best(folder) == (2, 0.6, "inductive") and folder.best("inductive").name == "best.safetensors"
    assert best(folder, "transductive") == (5, 0.9, "transductive")
    assert folder.best("transductive").name == "best-transductive.safetensors"
    # What a later epoch left does not count for one that is trained again.
    assert folder.is_best(0.1, 2, "inductive") and not folder.is_best(0.6, 3, "inductive")


def test_states_are_written_when_they_are_told(tmp_path: Path) -> None:
    states = opened(tmp_path, state_every=2, state_steps=3).states("source")
    assert states is not None and (states.every_epochs, states.every_steps) == (2, 3)
    assert opened(tmp_path, state_every=0).states("source") is None
    going_on = opened(tmp_path, state_every=0, resume=True).states("source")
    assert going_on is not None and (going_on.every_epochs, going_on.every_steps) == (0, 0)


@pytest.mark.parametrize("resume", [False, True])
def test_only_a_run_that_goes_on_keeps_what_was_chosen(tmp_path: Path, resume: bool) -> None:
    before = opened(tmp_path)
    for protocol in ("inductive", "transductive"):
        keep_best(before, nn.Linear(1, 1), record(0.5, protocol), 1, store)
    for path in (before.source, before.last):
        store(nn.Linear(1, 1), path, [])
    before.write_result([])
    stale = tmp_path / "states" / "anything" / "epoch-00001-batch-0000000.pt"
    stale.parent.mkdir(parents=True)
    stale.touch()
    names = {path.name for path in tmp_path.iterdir()}
    opened(tmp_path, resume=resume)
    gone = {f"{name}.{kind}" for name in ("best", "best-transductive", "source") for kind in ("safetensors", "json")}
    assert names - {path.name for path in tmp_path.iterdir()} == (set() if resume else gone | {"result.json"})
    assert stale.exists() == resume


def test_rows_count_on_and_carry_scores_where_they_are_due(tmp_path: Path) -> None:
    folder, said = opened(tmp_path), list[str]()
    scores = iter([0.3, 0.2])
    report = epoch_reporter(
        folder,
        lambda: FakeTrainer(),  # type: ignore[arg-type,return-value]
        lambda model: record(next(scores)),
        store,
        said.append,
        epochs=4,
        every=2,
        first=3,
    )
    for epoch in range(1, 5):
        report({"epoch": epoch, "loss": 1.0})
    assert folder.log is not None
    assert [(row["epoch"], row.get("mAP")) for row in folder.log.rows] == [(4, 0.3), (5, None), (6, 0.2), (7, None)]
    assert best(folder) == (4, 0.3, "inductive") and said[0].startswith("epoch 4/7 loss 1 mAP 0.3 protocol inductive")


def test_an_option_left_out_is_the_same_as_its_default(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"lr": 0.1, "center_lr": 0.5}))
    check_same_options(tmp_path, {"lr": 0.1, "center_lr": None}, print, {"center_lr": 0.5})
    with pytest.raises(ValueError, match=r"center_lr 0.5 \(now 0.2\)"):
        check_same_options(tmp_path, {"lr": 0.1, "center_lr": 0.2}, print, {"center_lr": 0.5})
