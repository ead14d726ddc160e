"""The loop's own promises: which weights are scored, and when states are written."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from reid.data.base import ReIDDataset
from reid.data.images import Preprocessing
from reid.data.market1501 import read_market1501
from reid.engine import Trainer
from reid.losses import CombinedLoss
from reid.models.heads import BNNeckHead
from reid.models.output import ReIDOutput
from reid.optim import OptimisationOptions
from reid.training import Precision, SamplingOptions, TrainingOptions, build_accelerator, build_image_trainer
from reid.training_state import StateFolder

SIZE = Preprocessing(16, 16)


class TinyNet(nn.Module):
    """A convolution, its normalisation and the head that every network here has."""

    embedding_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2)
        self.norm = nn.BatchNorm2d(8)
        self.head = BNNeckHead(8, 8, pooling="avg")

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        return self.head(self.norm(self.conv(images)), camids)


@pytest.fixture(scope="module")
def data(tiny_market: Path) -> ReIDDataset:
    return read_market1501(tiny_market)


def built(data: ReIDDataset, precision: Precision, states: StateFolder | None = None, **options: Any) -> Trainer:
    # accelerate keeps the precision of the first accelerator in a process.
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.manual_seed(0)
    loss = CombinedLoss({"cross_entropy": 1.0}, num_classes=8, feature_size=8)
    training = TrainingOptions(SamplingOptions(8), optimisation=OptimisationOptions(warmup_epochs=0, **options))
    accelerator = build_accelerator(precision=precision)
    return build_image_trainer(accelerator, TinyNet(), loss, data.train, SIZE, training, epochs=2, states=states)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_what_is_scored_between_epochs_is_what_is_stored_in_the_end(data: ReIDDataset, ema: float) -> None:
    trainer, images = built(data, "bf16", ema=ema), torch.rand(4, 3, SIZE.height, SIZE.width)
    seen: list[torch.Tensor] = []

    def embedded(model: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return model.eval()(images.contiguous(memory_format=torch.channels_last)).embeddings

    def on_epoch_end(row: dict[str, float]) -> None:
        with trainer.weights_to_keep() as model:
            seen.append(embedded(model))
        seen.append(embedded(trainer.bare_model))

    trainer.train(2, on_epoch_end)
    final = embedded(trainer.finish())
    assert torch.equal(seen[2], final) and not torch.equal(seen[0], final)
    assert not torch.equal(seen[3], final)  # through autocast, and without the average
    AcceleratorState._reset_state(reset_partial_state=True)


def test_states_within_an_epoch_stand_after_whole_steps(data: ReIDDataset, tmp_path: Path) -> None:
    written: list[tuple[int, int]] = []

    class Folder(StateFolder):
        def save(self, state: dict[str, Any], epoch: int, batches: int) -> None:
            written.append((epoch, batches))

    trainer = built(data, "no", Folder(tmp_path, every_epochs=2, every_steps=5), accumulate=2)
    assert len(trainer.loader) == 12
    trainer.train(2, lambda row: None)
    assert written == [(0, 6), (0, 10), (1, 6), (1, 10), (2, 0)]


def test_options_of_the_optimiser_arrive(data: ReIDDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [built(data, "no", fused=fused).optimizer.optimizer.defaults["fused"] for fused in ("on", "off", "auto")]
    assert seen == [True, None, None]  # auto: only on a GPU
    wrapped: list[nn.Module] = []
    monkeypatch.setattr("reid.training.checkpoint_activations", wrapped.append)
    built(data, "no", activation_checkpointing=False)
    trainer = built(data, "no", activation_checkpointing=True)
    assert wrapped == [trainer.bare_model]
