import pytest
import torch

from reid.models import build_model
from reid.optim import build_optimizer, warmup_cosine


def test_schedule_rises_then_falls() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = warmup_cosine(optimizer, warmup_steps=4, total_steps=20)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.02) and max(rates) == rates[4] == pytest.approx(2.0)
    assert rates[:5] == sorted(rates[:5]) and rates[4:] == sorted(rates[4:], reverse=True)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.02)
    with pytest.raises(ValueError, match="warm-up"):
        warmup_cosine(optimizer, 5, 4)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_every_optimizer_moves_weights_and_leaves_frozen_ones(name: str) -> None:
    model = build_model("seres18", 3)
    optimizer = build_optimizer(name, model, 0.1, 0.01)
    decayed = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    assert id(model.conv1.weight) in decayed and id(model.bn1.weight) not in decayed
    before = model.conv1.weight.detach().clone()
    model(torch.randn(4, 3, 32, 16)).logits.sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.conv1.weight)
    assert torch.count_nonzero(model.head.bottleneck.bias) == 0


def test_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="adam, adamw, sgd"):
        build_optimizer("lion", torch.nn.Linear(1, 1), 0.1, 0.0)
