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
from accelerate.state import AcceleratorState

from reid.checkpoint import load_checkpoint
from reid.config import option_names, option_values, parse_config
from reid.data.base import Sample
from reid.data.images import Preprocessing
from reid.data.loader import training_loader
from reid.data.samplers import PKBatchSampler
from reid.distances import available_threads
from reid.image_reid_train import main
from reid.train_options import TrainConfig

SMALL = ["--bs", 16, "--epochs", 1, "--height", 32, "--width", 16, "--warmup-epochs", 0.5, "--state-every", 0]
SMALL += ["--threads", 1]  # threads that wait for each other are slow where other programs run


def options(root: Path, out: Path, *given: object) -> TrainConfig:
    return parse_config(TrainConfig, list(map(str, ["--root", root, "--out", out, *SMALL, *given])))


def train(root: Path, out: Path, *given: object) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    # accelerate keeps the precision of the first accelerator in a process.
    AcceleratorState._reset_state(reset_partial_state=True)
    main(options(root, out, *given))
    AcceleratorState._reset_state(reset_partial_state=True)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return load_checkpoint(out / "model.safetensors")[0], rows


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


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


# At 32 x 16, oneDNN's bf16 convolution from 4 x 2 to 2 x 1 positions reads what it has not written (torch 2.15, AMX).
LARGER = ("--height", 48, "--width", 24)
CIRCLE = ("--circle-weight", 1)
CONTRAST = ("--cluster-contrast-weight", 1)
MEMORY = ("--xbm-weight", 1, "--xbm-start", 0)
MULTI_STEP = ("--schedule", "multi-step", "--milestones", 1, "--epochs", 2)
CONTINUAL = ("--continual", "--cluster-k1", 8, "--cluster-k2", 3, "--continual-epochs", 1)
# Options and what they are added to; each must change the weights.
CHANGES: list[tuple[tuple[object, ...], tuple[object, ...]]] = [
    ((), ("--backbone", "seres18")),
    ((), ("--attention", "triplet")),
    ((), ("--ibn", "False")),
    ((), ("--pooling", "max")),
    ((), ("--height", 48)),
    ((), ("--width", 24)),
    ((), ("--renorm", "--renorm-warmup", 1)),
    (("--renorm",), ("--renorm-warmup", 1)),
    (("--renorm",), ("--renorm-pk",)),
    ((), ("--sie",)),
    (("--sie",), ("--cam_factor", 3.0)),
    ((), ("--cross-entropy-weight", 0.5)),
    ((), ("--smoothing", 0)),
    ((), ("--epsilon", -1.0)),
    ((), ("--temperature", "2.")),
    ((), ("--triplet-weight", 0.5)),
    ((), ("--triplet", "weighted-regularised")),
    ((), ("--margin", 0)),
    ((), ("--center_lamda", 0)),
    ((), CIRCLE),
    (CIRCLE, ("--circle-margin", 0.4)),
    (CIRCLE, ("--circle-gamma", 64)),
    ((), CONTRAST),
    (CONTRAST, ("--contrast-momentum", 0.9)),
    (CONTRAST, ("--contrast-scale", 5)),
    ((), MEMORY),
    (MEMORY, ("--xbm-size", 32)),
    (MEMORY, ("--xbm-start", 2)),
    ((), ("--batch-size", 32)),
    ((), ("--instance", 2)),
    ((), ("--sampler", "camera-balanced")),
    (("--triplet-weight", 0), ("--sampler", "random")),
    ((), ("--flip", 0)),
    ((), ("--pad-crop", 0)),
    ((), ("--jitter", 0.3)),
    ((), ("--erasing", 0)),
    ((), ("--gray-patch", 0.9)),
    ((), ("--gray-image", 0.9)),
    ((), ("--policy", "autoaugment")),
    ((), ("--optimizer", "adamw")),
    ((), ("--optimizer", "sgd")),
    ((), ("--learning-rate", 1e-3)),
    ((), ("--weight-decay", 0.1)),
    ((), ("--warmup-epochs", 0)),
    (("--epochs", 2), MULTI_STEP),
    (("--epochs", 2), ("--schedule", "step", "--step-epochs", 1)),
    (MULTI_STEP, ("--decay", 0.5)),
    ((), ("--max-grad-norm", 0.1)),
    ((), ("--accumulate", 2)),
    ((), ("--ema", 0.9)),
    ((), ("--freeze-epochs", 1)),
    ((), ("--center-lr", 0.1)),
    (LARGER, ("--precision", "bf16")),
    ((), ("--seed", 1)),
    ((), ("--epochs", 2)),
    ((), CONTINUAL),
    (CONTINUAL, ("--eps", 0.05, "--min-samples", 2)),
    (CONTINUAL, ("--continual-lr", 1e-3)),
]
# What other tests look at, here or where the name says.
ELSEWHERE = {
    *("dataset", "root", "dataset_options", "out", "eval_every", "workers", "cache_megabytes", "threads"),
    *("resume", "state_every", "state_steps", "log", "accelerate", "compile"),
    *("fused", "activation_checkpointing"),  # test_training_parts
    *("pretrained", "weights", "projection_dim", "class_balance"),
    # test_continual_training
    *("unlabelled", "continual_on", "cross_domain", "cross_dataset", "cluster_k1", "cluster_k2", "camera_bias"),
    *("min_samples", "cluster_backend", "continual_epochs", "continual_step_epochs"),
}
_weights: dict[tuple[object, ...], dict[str, torch.Tensor]] = {}


@pytest.mark.parametrize(("base", "change"), CHANGES, ids=lambda value: " ".join(map(str, value)))
def test_every_option_changes_the_weights(
    tiny_market: Path, tmp_path: Path, base: tuple[object, ...], change: tuple[object, ...]
) -> None:
    if base not in _weights:
        _weights[base] = train(tiny_market, tmp_path / "base", *base)[0]
    assert not equal(_weights[base], train(tiny_market, tmp_path / "changed", *base, *change)[0])


def test_class_balance_acts_where_identities_differ_in_images(tiny_market: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    for path in sorted((tmp_path / "market" / "bounding_box_train").iterdir())[:5]:
        path.unlink()
    plain, balanced = (
        train(tmp_path / "market", tmp_path / name, *more)[0]
        for name, more in (("plain", ()), ("balanced", ("--class-balance",)))
    )
    assert not equal(plain, balanced)


def test_the_list_of_options_is_whole(tiny_market: Path, tmp_path: Path) -> None:
    tested = set()
    for base, change in CHANGES:
        values = [option_values(options(tiny_market, tmp_path, *base, *more)) for more in ((), change)]
        tested |= {name for name in values[0] if values[0][name] != values[1][name]}
    assert tested | ELSEWHERE == set(option_names(TrainConfig))


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


def test_cache_and_workers_act(tiny_market: Path) -> None:
    samples = [Sample(str(path), 1, 0, 0, "") for path in sorted((tiny_market / "query").iterdir())]
    sampler = PKBatchSampler([0] * len(samples), 1, 4, seed=0)
    loaders = [training_loader(samples, {1: 0}, Preprocessing(32, 16), sampler, 1, cache) for cache in (100, 0)]
    assert [loader.num_workers for loader in loaders] == [0, 1]
    batches = [[batch["images"] for batch in loader] for loader in loaders]
    assert all(torch.equal(first, second) for first, second in zip(*batches, strict=True))
    assert batches[0][0].dtype == torch.uint8 and batches[0][0].shape == (4, 3, 32, 16)


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


# Options of continual training that others, or the images, leave without effect.
WITHOUT_EFFECT: list[tuple[list[object], str]] = [
    (["--unlabelled", "DIR", "--continual-on", "test"], "allowed: one of them"),
    (["--continual-on", "train"], "without --cross-domain"),
    (["--cross-dataset", "market1501"], "without --cross-domain"),
    (["--continual-epochs", 0, "--continual-lr", 1e-3], "continual_lr: got 0.001 with continual_epochs 0"),
    (["--continual-epochs", 3, "--continual-step-epochs", 3], "allowed: below the 3 continual_epochs"),
]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--bs", 30], "multiple of num_instances"),
        (["--instance", 0], "1 or more"),
        (["--bs", 64], "at most the 8 identities"),
        (["--epochs", -1], "epochs"),
        (["--eval-every", -1], "eval_every"),
        (["--eval-every", 2], "eval_every: got 2, allowed: 0 to the 1 epochs"),
        (["--threads", -1], "threads"),
        (["--no-accelerate"], "accelerate: got False, allowed: True"),
        (["--sampler", "random", "--triplet-weight", 0, "--num-instances", 4], "num_instances: got 4 with sampler"),
        (["--center-weight", 0, "--center-lr", 0.5], "center_lr: got 0.5 with center_weight 0"),
        (["--schedule", "step", "--step-epochs", 1], "step_epochs: got 1, allowed: below the 1 epochs"),
        (["--schedule", "multi-step", "--milestones", 1], "milestones: got 1, allowed: below the 1 epochs"),
        *((["--continual", *more], message) for more, message in WITHOUT_EFFECT),
        *(([flag], "camera_bias: got") for flag in ("--camera-bias", "--no-camera-bias")),
        (["--backbone", "resnet"], "backbone: got 'resnet', allowed: "),
        (["--backbone", "seres18", "--attention", "triplet"], "unknown option attention"),
        (["--cross-entropy-weight", 0, "--triplet-weight", 0, "--center-weight", 0], "every loss term is 0"),
        (["--cam-factor", 1], "without --sie"),
        (["--eps", 0.5], "without --continual"),
        (["--triplet", "weighted-regularised", "--margin", 0.3], "which has none"),
        (["--triplet-weight", 0, "--margin", 0.3], "triplet_weight 0"),
        (["--circle-gamma", 64], "circle_weight 0"),
        (["--renorm-pk"], "without --renorm"),
        (["--sie", "--cross-domain", "DIR"], "cross_domain: got a folder with --sie"),
        (["--sie", "--continual", "--unlabelled", "DIR"], "unlabelled: got a folder with --sie"),
        (["--milestones", 3], "only together with schedule multi-step"),
        (["--schedule", "step"], "which needs it"),
        (["--decay", 0.1], "with multi-step and step"),
        (["--sampler", "random"], "needs pairs"),
        (["--activation-checkpointing", "--compile"], "one of them"),
        (["--freeze-epochs", 2], "0 to the 1 epochs"),
        (["--weights", "x.safetensors"], "without --pretrained"),
        (["--dataset", "market1501", "dukemtmc"], "one for each dataset"),
        (["--dataset", "nowhere"], "allowed: world, market1501"),
        (["--dataset-options", "level=hard"], "dataset_options: got level, allowed: none of market1501"),
        (["--dataset-options", "hard"], "NAME=VALUE"),
    ],
    ids=str,
)
def test_bad_options_are_refused(
    tiny_market: Path, tmp_path: Path, given: list[object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((ValueError, SystemExit)) as error:
        train(tiny_market, tmp_path, *given)
    assert message in " ".join((str(error.value) + "".join(capsys.readouterr())).replace("│", " ").split())


def test_unreadable_images(tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    victims = [next((tmp_path / "market" / name).iterdir()) for name in ("bounding_box_train", "query")]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:100])
    # One that cannot be tested on does not cost the training.
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
