"""Schedules, fused steps, weight average, freezing, activation checkpointing."""

import copy
import importlib.machinery
import sys
import types
from typing import Any

import pytest
import torch

from reid.activation_checkpointing import checkpoint_activations
from reid.freezing import FrozenBackbone
from reid.models import build_model
from reid.optim import OptimisationOptions, build_optimizer, build_schedule
from reid.weight_average import WeightAverage


def rates(options: OptimisationOptions, epochs: int, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(optimizer, options, epochs, steps)
    seen = []
    for _ in range(epochs * steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_rates_fall_at_milestones() -> None:
    options = OptimisationOptions(schedule="multi-step", milestones=(2, 3), warmup_epochs=1)
    assert rates(options, 4, 2) == pytest.approx([0.01, 0.505, 1, 1, 0.1, 0.1, 0.01, 0.01])
    options = OptimisationOptions(schedule="step", step_epochs=1, decay=0.5, warmup_epochs=0)
    assert rates(options, 3, 2) == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_fused_steps_are_the_same_steps(name: str) -> None:
    torch.manual_seed(0)
    models = [torch.nn.Linear(5, 3)]
    models.append(copy.deepcopy(models[0]))
    images = torch.randn(8, 5)
    for model, fused in zip(models, (False, True), strict=True):
        optimizer = build_optimizer(name, model, 0.1, 0.01, fused)
        assert bool(optimizer.defaults["fused"]) == fused
        for _ in range(3):
            optimizer.zero_grad()
            model(images).square().sum().backward()
            optimizer.step()
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-5)


class OnGPU(torch.nn.Parameter):
    """A parameter that says that it is on a GPU."""

    is_cuda = True  # type: ignore[assignment]


class FusedAdam(torch.optim.Adam):
    """Takes what apex's optimiser takes."""

    def __init__(self, groups: Any, lr: float, adam_w_mode: bool) -> None:
        self.adam_w_mode = adam_w_mode
        super().__init__(groups, lr=lr)


def test_apex_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Linear(3, 2)
    on_gpu = torch.nn.Linear(3, 2)
    on_gpu.weight, on_gpu.bias = OnGPU(torch.zeros(2, 3)), OnGPU(torch.zeros(2))
    for name in ("apex", "apex.optimizers"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["apex.optimizers"].FusedAdam = FusedAdam  # type: ignore[attr-defined]
    for name in ("adam", "adamw"):
        optimizer = build_optimizer(name, on_gpu, 0.1, 0.01, fused=True)
        assert isinstance(optimizer, FusedAdam) and optimizer.adam_w_mode == (name == "adamw")
        assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.1, 0.01), (0.1, 0.0)]
        # Neither unasked nor for a network on the CPU.
        for network, fused in ((on_gpu, False), (model, True)):
            assert not isinstance(build_optimizer(name, network, 0.1, 0.01, fused), FusedAdam)


def test_average_follows_the_formula() -> None:
    model = torch.nn.BatchNorm1d(2)
    average = WeightAverage(model, 0.9)
    expected = 1.0
    for step in range(20):
        with torch.no_grad():
            model.weight.fill_(float(step))
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        average.update(model)
    assert average.average["weight"][0] == pytest.approx(expected)
    with average.applied(model):
        assert model.weight[0].item() == pytest.approx(expected)
    assert model.weight[0] == 19
    again = WeightAverage(torch.nn.BatchNorm1d(2), 0.9)
    again.load_state_dict(average.state_dict())
    assert again.steps == 20 and torch.equal(again.average["weight"], average.average["weight"])
    with pytest.raises(ValueError, match="above 0, below 1"):
        WeightAverage(model, 1.0)


def test_frozen_backbone_stands_still() -> None:
    model = build_model("seres18", 3)
    frozen = FrozenBackbone(model)
    frozen.freeze()
    model.train()
    frozen.hold()
    statistics = model.bn1.running_mean.clone()
    model(torch.randn(4, 3, 32, 16)).logits.sum().backward()
    assert model.conv1.weight.grad is None and model.head.classifier.weight.grad is not None
    assert torch.equal(statistics, model.bn1.running_mean) and model.head.bottleneck.training
    frozen.thaw()
    model.train()
    model(torch.randn(4, 3, 32, 16)).logits.sum().backward()
    assert model.conv1.weight.grad is not None and not model.head.bottleneck.bias.requires_grad
    with pytest.raises(ValueError, match="no submodule head"):
        FrozenBackbone(torch.nn.Linear(1, 1))


def test_checkpointed_activations_change_nothing_but_memory() -> None:
    torch.manual_seed(0)
    plain = build_model("seres18", 3, renorm="batch", renorm_warmup=1).train()
    saving = copy.deepcopy(plain)
    assert checkpoint_activations(saving) == 8
    kept: list[list[int]] = [[], []]
    for model, sizes in zip((plain, saving), kept, strict=True):
        for step in range(3):
            model.zero_grad()
            images = torch.randn(4, 3, 32, 16, generator=torch.Generator().manual_seed(step))

            def pack(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
                sizes.append(tensor.numel())
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                loss = model(images).logits.square().sum()
            loss.backward()
    for (name, value), other in zip(plain.state_dict().items(), saving.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    for first, second in zip(plain.parameters(), saving.parameters(), strict=True):
        assert first.grad is None or torch.allclose(first.grad, second.grad, atol=1e-6)
    assert sum(kept[1]) < sum(kept[0]) / 2
    with pytest.raises(ValueError, match="no sequence of blocks"):
        checkpoint_activations(torch.nn.Linear(1, 1))
