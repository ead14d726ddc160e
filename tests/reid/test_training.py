"""The training entry point: options, determinism, what it writes."""

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from training_runs import SMALL, equal, options, train

from reid.checkpoint import load_checkpoint
from reid.config import parse_config
from reid.data.images import Preprocessing
from reid.distances import available_threads
from reid.image_reid_train import main
from reid.train_options import TrainConfig

CONTINUAL = ("--continual", "--cluster-k1", 8, "--cluster-k2", 3, "--continual-epochs", 1)


@pytest.fixture(scope="module")
def baseline(tiny_market: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return train(tiny_market, tmp_path_factory.mktemp("baseline"))[0]


def test_training_learns_and_describes_itself(tiny_market: Path, tmp_path: Path) -> None:
    untrained, _ = train(tiny_market, tmp_path / "untrained", "--epochs", 0)
    run = tmp_path / "run"
    state, rows = train(tiny_market, run, "--epochs", 4, "--eval-every", 2, "--state-every", 1)
    assert not equal(untrained, state)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert ["mAP" in row for row in rows] == ["protocol" in row for row in rows] == [False, True, False, False]
    assert {"loss/cross_entropy", "loss/triplet", "loss/center", "lr", "images_per_second"} <= rows[0].keys()
    _, card = load_checkpoint(run / "model.safetensors")
    assert (card.backbone, card.num_classes, card.preprocessing) == ("cares18", 8, Preprocessing(32, 16))
    assert card.config["batch_size"] == 16
    assert card.scores[0]["protocol"] == "inductive" and card.scores[0]["scores"]["num_valid"] == 18
    assert json.loads((run / "result.json").read_text()) == card.scores
    best = load_checkpoint(run / "best.safetensors")[1]
    middle, last = rows[1]["mAP"], card.scores[0]["scores"]["mAP"]
    assert best.scores[0]["epoch"] == (4 if last > middle else 2) and "chosen" in best.scores[0]["note"]
    assert best.scores[0]["scores"]["mAP"] == max(middle, last)
    assert {"config.yaml", "curves.png", "states", "tensorboard"} <= {path.name for path in run.iterdir()}
    assert len(list((run / "states" / "source").iterdir())) == 2
    assert parse_config(TrainConfig, ["--config", str(run / "config.yaml")]) == options(
        tiny_market, run, "--epochs", 4, "--eval-every", 2, "--state-every", 1
    )
    assert len(list((run / "tensorboard").iterdir())) == 1
    train(tiny_market, run)
    assert len(list((run / "tensorboard").iterdir())) == 1


def test_same_seed_gives_the_same_weights(tiny_market: Path, tmp_path: Path, baseline: dict[str, torch.Tensor]) -> None:
    assert equal(baseline, train(tiny_market, tmp_path)[0])


def test_class_balance_acts_where_identities_differ_in_images(tiny_market: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    for path in sorted((tmp_path / "market" / "bounding_box_train").iterdir())[:5]:
        path.unlink()
    plain, balanced = (
        train(tmp_path / "market", tmp_path / name, *more)[0]
        for name, more in (("plain", ()), ("balanced", ("--class-balance",)))
    )
    assert not equal(plain, balanced)


def test_the_commands_of_old_parse() -> None:
    first = "--bs 32 --backbone cares18 --accelerate --renorm --epsilon -1.0 --margin 0.3"
    first += " --center_lamda 0.0005 --instance 8"
    config = parse_config(TrainConfig, first.split())
    assert (config.sampling.batch_size, config.sampling.num_instances, config.loss.poly_epsilon) == (32, 8, -1.0)
    assert config.data.names() == ("world",) and config.data.folders() == (Path("runs/world"),)
    assert parse_config(TrainConfig, [*first.split(), "--continual", "--eps", "0.5"]).continual.eps == 0.5
    second = "--sie --temperature 2.0 --epochs 120 --cam_factor 1.0 --dataset msmt17 --root DIR"
    config = parse_config(TrainConfig, second.split())
    assert (config.loss.temperature, config.network.camera_factor(), config.run.epochs) == (2.0, 1.0, 120)
    assert config == parse_config(TrainConfig, second.replace("_", "-").split())


@pytest.mark.slow
def test_compiled_training_writes_the_same_names(tiny_market: Path, tmp_path: Path) -> None:
    given = ("--backbone", "timm:test_resnet", "--eval-every", 1, "--epochs", 2)
    plain, rows = train(tiny_market, tmp_path / "plain", *given)
    compiled, compiled_rows = train(tiny_market, tmp_path / "compiled", *given, "--compile")
    assert plain.keys() == compiled.keys() and not equal(plain, compiled)
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in compiled_rows], rel=0.02)
    best = load_checkpoint(tmp_path / "compiled" / "best.safetensors")[0]
    assert best.keys() == plain.keys()


def test_threads_act(tiny_market: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        train(tiny_market, tmp_path, "--epochs", 0, "--threads", 1)
        assert torch.get_num_threads() == 1
        train(tiny_market, tmp_path, "--epochs", 0, "--threads", 0)
        assert torch.get_num_threads() == available_threads()
    finally:
        torch.set_num_threads(before)


def test_accelerate_is_always_on(tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny_market, tmp_path, "--epochs", 0, "--accelerate")
    assert "accelerate is always on" in capsys.readouterr().out


def test_several_datasets_are_trained_on_together(tiny_market: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_market, tmp_path / "other")
    roots = ["--root", tiny_market, tmp_path / "other", "--dataset", "market1501", "market1501"]
    state, _ = train(tiny_market, tmp_path / "out", *roots, "--epochs", 0, "--sie")
    card = load_checkpoint(tmp_path / "out" / "model.safetensors")[1]
    assert card.num_classes == 16 and card.options["num_cameras"] == 6 and state["head.cameras.vectors"].shape[0] == 6
    assert [record["dataset"] for record in card.scores] == [tiny_market.name, "other"]


def test_the_cross_domain_set_is_scored(tiny_market: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_market, tmp_path / "other")
    for path in sorted((tmp_path / "other" / "query").iterdir())[9:]:
        path.unlink()
    train(tiny_market, tmp_path / "out", "--epochs", 0, "--cross-domain", tmp_path / "other")
    (record,) = json.loads((tmp_path / "out" / "result.json").read_text())
    assert record["dataset"] == f"{tiny_market.name} -> other" and record["scores"]["num_valid"] == 9


def test_continual_training_keeps_both_scores_apart(tiny_market: Path, tmp_path: Path) -> None:
    state, rows = train(tiny_market, tmp_path, *CONTINUAL, "--eval-every", 1, "--continual-epochs", 2)
    before, card = load_checkpoint(tmp_path / "source.safetensors")
    after = load_checkpoint(tmp_path / "model.safetensors")[1]
    assert card.num_classes == 8 < after.num_classes == len(state["head.classifier.weight"])
    assert len(before["head.classifier.weight"]) == 8
    assert (card.scores[0]["protocol"], after.scores[0]["protocol"]) == ("inductive", "transductive")
    assert after.scores[0]["continual"]["clusters"] == after.num_classes - 8
    assert [row["epoch"] for row in rows] == [1, 2, 3] and rows[1]["protocol"] == "transductive"
    best = {name: load_checkpoint(tmp_path / f"{name}.safetensors")[1] for name in ("best", "best-transductive")}
    assert [(found.scores[0]["protocol"], found.num_classes == 8) for found in best.values()] == [
        ("inductive", True),
        ("transductive", False),
    ]


def test_images_of_any_scored_test_make_it_transductive(tiny_market: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_market, tmp_path / "other")
    for path in other.rglob("*.jpg"):  # other bytes than in the first dataset
        path.write_bytes(path.read_bytes() + b"x")
    given = ["--dataset", "market1501", "market1501", "--root", tiny_market, other, "--continual"]
    given += ["--unlabelled", other / "query", "--min-samples", 1, "--eps", 0.9, "--continual-epochs", 0]
    main(parse_config(TrainConfig, list(map(str, [*SMALL, "--out", tmp_path / "run", *given]))))
    records = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [record["protocol"] for record in records] == ["transductive"] * 2


def test_camera_vectors_need_known_cameras(tiny_market: Path, tmp_path: Path) -> None:
    for name, old in {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}.items():
        for path in (tiny_market / old).glob("[0-9]*.jpg"):
            folder = tmp_path / "data" / name / path.name[:4]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder)
    with pytest.raises(ValueError, match="whose cameras are unknown"):
        train(tmp_path / "data", tmp_path / "run", "--dataset", "folder", "--sie")


def test_unreadable_images(
    tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    victims = [next((tmp_path / "market" / name).iterdir()) for name in ("bounding_box_train", "query")]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"market: 1 test images cannot be read, e.g. .*{victims[1].name}: not a"):
        train(tmp_path / "market", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # One that breaks in the meantime does not cost the training.
    monkeypatch.setattr("reid.training_data.unreadable_files", lambda samples: ())
    with pytest.raises(ValueError, match=f"{victims[1].name}: not a readable image"):
        train(tmp_path / "market", tmp_path / "out")
    assert load_checkpoint(tmp_path / "out" / "model.safetensors")[1].scores == []
    assert "1 training images cannot be read" in " ".join(capsys.readouterr().out.split())


def test_a_diverging_loss_is_an_error(tiny_market: Path, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train(tiny_market, tmp_path, "--lr", 1e30, "--optimizer", "sgd", "--epochs", 3)


class FakeWandb(types.ModuleType):
    """Remembers what it is told."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
        self.calls: list[Any] = []

    def init(self, **options: Any) -> "FakeWandb":
        self.calls.append(options)
        return self

    def log(self, row: dict[str, float], step: int) -> None:
        self.calls.append((step, row))

    def finish(self) -> None:
        self.calls.append("finish")


def test_half_precision_needs_a_gpu(tiny_market: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"precision: got fp16 on the CPU, allowed: no, bf16"):
        train(tiny_market, tmp_path, "--precision", "fp16")
    with pytest.raises(
        ValueError, match=r"precision: got bf16 on the CPU with images 16 pixels wide, allowed: from 33"
    ):
        train(tiny_market, tmp_path, "--precision", "bf16")


def test_wandb_gets_the_rows(tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    train(tiny_market, tmp_path, "--log", "wandb")
    started, (step, row), finished = wandb.calls
    assert started["config"]["batch_size"] == 16 and started["name"] == tmp_path.name
    assert step == 1 and row["loss"] > 0 and finished == "finish"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install wandb"):
        train(tiny_market, tmp_path, "--log", "wandb")


def test_wandb_itself_takes_the_rows(tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    given = ("--backbone", "timm:test_resnet", "--epochs", 2, "--eval-every", 1, "--state-every", 1, "--log", "wandb")
    train(tiny_market, tmp_path, *given)
    (first,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"images_per_second" in first.read_bytes()
    identity = (tmp_path / "wandb-run").read_text()
    assert first.stem == f"run-{identity}"
    # Gone on with, it is the same run.
    train(tiny_market, tmp_path, *given, "--resume")
    assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{identity}"))) == 2


def test_memory_that_is_too_small_halves_the_batch(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from reid.engine import Trainer

    step = Trainer._step

    def crowded(self: Trainer, batch: dict[str, torch.Tensor], *rest: Any) -> dict[str, torch.Tensor]:
        if len(batch["pids"]) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(self, batch, *rest)

    expected, _ = train(tiny_market, tmp_path / "small", "--bs", 8)
    monkeypatch.setattr(Trainer, "_step", crowded)
    state, _ = train(tiny_market, tmp_path / "halved", "--bs", 32)
    assert equal(state, expected)
    shown = " ".join(capsys.readouterr().out.split())
    assert "out of memory with batches of 32; starting again with 16" in shown and "again with 8" in shown


def test_yaml_of_a_run_starts_the_same_run(
    tiny_market: Path, tmp_path: Path, baseline: dict[str, torch.Tensor]
) -> None:
    train(tiny_market, tmp_path / "first")
    assert yaml.safe_load((tmp_path / "first" / "config.yaml").read_text())["batch_size"] == 16
    main(parse_config(TrainConfig, ["--config", str(tmp_path / "first/config.yaml"), "--out", str(tmp_path / "again")]))
    assert equal(baseline, load_checkpoint(tmp_path / "again" / "model.safetensors")[0])
