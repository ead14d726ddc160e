"""Continual training through the loop that all trainings share."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tiny_network import TinyNet

from reid.continual_options import ContinualOptions
from reid.continual_training import continue_training
from reid.data import read_dataset
from reid.data.base import ReIDDataset, relabel
from reid.data.images import Preprocessing
from reid.losses import CombinedLoss
from reid.optim import OptimisationOptions
from reid.pseudo_labels import cluster
from reid.training import SamplingOptions, TrainingOptions
from reid.training_state import StateFolder

OPTIONS = ContinualOptions(
    continual=True,
    eps=0.7,
    cluster_k1=8,
    cluster_k2=3,
    min_samples=3,
    continual_epochs=3,
    continual_lr=2e-3,
    continual_step_epochs=2,
)
TRAINING = TrainingOptions(SamplingOptions(16, 4))
Result = tuple[dict[str, torch.Tensor], list[dict[str, float]], Any]


@pytest.fixture(scope="module")
def data(tiny_market: Path) -> ReIDDataset:
    return read_dataset("market1501", tiny_market)


def run(data: ReIDDataset, options: ContinualOptions = OPTIONS, **keywords: Any) -> Result:
    torch.manual_seed(0)
    model = TinyNet(len(relabel(data.train)))
    weights = {"cross_entropy": 1.0, "triplet": 1.0, "center": 5e-4}
    generator = torch.Generator().manual_seed(0)
    loss = CombinedLoss(weights, num_classes=8, feature_size=6, generator=generator)
    rows: list[dict[str, float]] = []
    trainer, adaptation = continue_training(
        model,
        loss,
        data.train,
        data,
        options,
        keywords.pop("training", TRAINING),
        preprocessing=Preprocessing(16, 16),
        accelerator=Accelerator(cpu=True),
        on_epoch_end=rows.append,
        say=lambda text: None,
        **keywords,
    )
    return trainer.finish().state_dict(), rows, adaptation


@pytest.fixture(scope="module")
def base(data: ReIDDataset) -> Result:
    return run(data)


def equal(first: Result, second: Result) -> bool:
    names = first[0].keys() == second[0].keys()
    return names and all(torch.equal(first[0][name], second[0][name]) for name in first[0])


def test_it_trains_with_the_published_schedule(base: Result) -> None:
    state, rows, adaptation = base
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert [row["lr"] for row in rows] == pytest.approx([2e-3, 2e-4, 2e-4])  # after the last step of each epoch
    assert state["head.classifier.weight"].shape[0] == 8 + adaptation.labels.num_clusters
    assert adaptation.protocol == "transductive" and adaptation.facts()["clusters"] == adaptation.labels.num_clusters


def test_defaults_are_the_published_ones() -> None:
    changed = dataclasses.replace(OptimisationOptions(), **ContinualOptions(continual=True).optimisation_changes())
    assert (changed.optimizer, changed.lr, changed.schedule, changed.step_epochs) == ("adam", 7e-5, "step", 20)
    assert changed.warmup_epochs == 0 and ContinualOptions(continual=True).epochs() == 40
    cluster_defaults = inspect.signature(cluster).parameters
    assert [cluster_defaults[name].default for name in ("eps", "k1", "k2")] == [0.5, 20, 6]
    milestones = OptimisationOptions("sgd", schedule="multi-step", milestones=(3,), decay=0.5, freeze_epochs=2)
    assert dataclasses.replace(milestones, **OPTIONS.optimisation_changes()).schedule == "step"


def test_options_reach_the_clustering() -> None:
    assert ContinualOptions(True).clustering() == {}  # all is left to its defaults
    told = ContinualOptions(
        True, eps=0.4, min_samples=3, cluster_k1=8, cluster_k2=2, camera_bias=False, cluster_backend="scikit-learn"
    ).clustering()
    wanted = {"eps": 0.4, "min_samples": 3, "k1": 8, "k2": 2, "camera_bias": False, "backend": "scikit-learn"}
    assert told == wanted and told.keys() <= inspect.signature(cluster).parameters.keys()


def test_two_runs_are_the_same(data: ReIDDataset, base: Result) -> None:
    assert equal(base, run(data))


@pytest.mark.parametrize(
    "change",
    [
        {"continual_lr": 1e-3},
        {"continual_step_epochs": 1},
        {"continual_epochs": 1, "continual_step_epochs": None},
    ],
    ids=str,
)
def test_options_of_the_loop_act(data: ReIDDataset, base: Result, change: dict[str, Any]) -> None:
    assert not equal(base, run(data, dataclasses.replace(OPTIONS, **change)))


def test_an_interrupted_adaptation_goes_on(data: ReIDDataset, base: Result, tmp_path: Path) -> None:
    class Crash(Exception):
        pass

    def crash(row: dict[str, float]) -> None:
        if row["epoch"] == 3:
            raise Crash

    # The state of the second epoch is there; that of the third is not written yet.
    from reid import continual_training

    states = StateFolder(tmp_path)
    original = continual_training.build_image_trainer

    def build(*args: Any, **keywords: Any) -> Any:
        trainer = original(*args, **keywords)
        train = trainer.train
        trainer.train = lambda epochs, on_epoch_end, **rest: train(epochs, crash, **rest)  # type: ignore[method-assign]
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continual_training, "build_image_trainer", build)
        with pytest.raises(Crash):
            run(data, states=states)
    resumed = run(data, states=states, resume=True)
    assert [row["epoch"] for row in resumed[1]] == [3]
    assert equal(base, resumed)
