"""The training entry point: options, determinism, what it writes."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from reid.checkpoint import load_checkpoint
from reid.data.base import Sample
from reid.data.images import Preprocessing
from reid.data.loader import training_loader
from reid.data.samplers import PKBatchSampler
from reid.distances import available_threads
from reid.image_reid_train import TrainConfig, main

SMALL: dict[str, Any] = {"batch_size": 16, "epochs": 1, "height": 32, "width": 16, "warmup_epochs": 0.5}


def train(root: Path, out: Path, **options: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    main(TrainConfig(root=root, out=out, **(SMALL | options)))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return load_checkpoint(out / "model.safetensors")[0], rows


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def baseline(tiny_market: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return train(tiny_market, tmp_path_factory.mktemp("baseline"))[0]


def test_training_learns_and_describes_itself(tiny_market: Path, tmp_path: Path) -> None:
    untrained, _ = train(tiny_market, tmp_path / "untrained", epochs=0)
    state, rows = train(tiny_market, tmp_path / "run", epochs=4, eval_every=2)
    assert not equal(untrained, state)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert ["mAP" in row for row in rows] == [False, True, False, False]
    assert {"loss/cross_entropy", "loss/triplet", "loss/center", "lr", "images_per_second"} <= rows[0].keys()
    _, card = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert (card.backbone, card.num_classes, card.preprocessing) == ("cares18", 8, Preprocessing(32, 16))
    assert card.config["batch_size"] == 16
    assert card.scores[0]["protocol"] == "inductive" and card.scores[0]["scores"]["num_valid"] == 18
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    train(tiny_market, tmp_path / "run", epochs=0)
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1


def test_same_seed_gives_the_same_weights(tiny_market: Path, tmp_path: Path, baseline: dict[str, torch.Tensor]) -> None:
    assert equal(baseline, train(tiny_market, tmp_path)[0])


@pytest.mark.parametrize(
    "options",
    [
        {"backbone": "seres18"},
        {"attention": "triplet"},
        {"batch_size": 32},
        {"num_instances": 2},
        {"height": 48},
        {"width": 24},
        {"optimizer": "adamw"},
        {"optimizer": "sgd"},
        {"lr": 1e-3},
        {"weight_decay": 0.1},
        {"warmup_epochs": 0.0},
        {"cross_entropy_weight": 0.5},
        {"smoothing": 0.0},
        {"triplet_weight": 0.5},
        {"margin": 0.0},
        {"center_weight": 0.0},
        {"center_lr": 0.1},
        {"flip": 0.0},
        {"pad_crop": 0},
        {"jitter": 0.3},
        {"erasing": 0.0},
        {"max_grad_norm": 0.1},
        {"seed": 1},
        {"epochs": 2},
    ],
    ids=lambda options: "-".join(f"{name}={value}" for name, value in options.items()),
)
def test_every_option_changes_the_weights(
    tiny_market: Path, tmp_path: Path, baseline: dict[str, torch.Tensor], options: dict[str, Any]
) -> None:
    assert not equal(baseline, train(tiny_market, tmp_path, **options)[0])


def test_the_list_of_options_is_whole() -> None:
    marks = test_every_option_changes_the_weights.pytestmark  # type: ignore[attr-defined]
    tested = {name for options in marks[0].args[1] for name in options}
    # Where data comes from and goes to, and what other tests here look at.
    elsewhere = {"root", "out", "eval_every", "workers", "cache_megabytes", "threads"}
    assert tested | elsewhere == {field.name for field in dataclasses.fields(TrainConfig)}


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
        train(tiny_market, tmp_path, epochs=0, threads=1)
        assert torch.get_num_threads() == 1
        train(tiny_market, tmp_path, epochs=0)
        assert torch.get_num_threads() == available_threads()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 30}, "multiple of num_instances"),
        ({"num_instances": 0}, "multiple of num_instances"),
        ({"batch_size": 64}, "at most the 8 identities"),
        ({"epochs": -1}, "epochs"),
        ({"eval_every": -1}, "eval_every"),
        ({"threads": -1}, "threads"),
        ({"backbone": "resnet50"}, "allowed: cares18, seres18"),
        ({"backbone": "seres18", "attention": "triplet"}, "unknown option attention"),
        ({"cross_entropy_weight": 0.0, "triplet_weight": 0.0, "center_weight": 0.0}, "every loss term is 0"),
    ],
)
def test_bad_options_are_refused(tiny_market: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(tiny_market, tmp_path, **options)


def test_an_unreadable_test_image_does_not_cost_the_training(tiny_market: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    victim = next((tmp_path / "market" / "query").iterdir())
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{victim.name}: not a readable image"):
        train(tmp_path / "market", tmp_path / "out")
    assert load_checkpoint(tmp_path / "out" / "model.safetensors")[1].scores == []


def test_a_diverging_loss_is_an_error(tiny_market: Path, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train(tiny_market, tmp_path, lr=1e30, optimizer="sgd", epochs=3)
