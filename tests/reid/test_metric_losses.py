import math

import pytest
import torch
from pytorch_metric_learning.losses import CircleLoss as OracleCircleLoss

from reid.losses import CircleLoss, WeightedRegularisedTripletLoss
from reid.losses.pairs import batch_pairs

METRICS = [WeightedRegularisedTripletLoss(), CircleLoss()]


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(16, 8, generator=torch.Generator().manual_seed(seed))
    return features, torch.tensor([0] * 3 + [1] * 4 + [2] * 8 + [3])  # the last is alone


def sides(features: torch.Tensor, labels: torch.Tensor) -> list[tuple[int, list[int], list[int]]]:
    """Each item with its positives and negatives, where it has both."""
    found = []
    for i in range(len(labels)):
        positives = [j for j in range(len(labels)) if j != i and labels[j] == labels[i]]
        negatives = [j for j in range(len(labels)) if labels[j] != labels[i]]
        if positives and negatives:
            found.append((i, positives, negatives))
    return found


def test_weighted_regularised_triplet_equals_a_plain_loop() -> None:
    features, labels = batch()
    losses = []
    for i, positives, negatives in sides(features, labels):
        far = [math.dist(features[i].tolist(), features[j].tolist()) for j in positives]
        near = [math.dist(features[i].tolist(), features[j].tolist()) for j in negatives]
        heavy = sum(d * math.exp(d) for d in far) / sum(math.exp(d) for d in far)
        light = sum(d * math.exp(-d) for d in near) / sum(math.exp(-d) for d in near)
        losses.append(math.log1p(math.exp(heavy - light)))
    assert WeightedRegularisedTripletLoss()(features, labels).item() == pytest.approx(
        sum(losses) / len(losses), rel=1e-5
    )


@pytest.mark.parametrize(("margin", "gamma"), [(0.25, 2.0), (0.4, 4.0)])
def test_circle_equals_a_plain_loop(margin: float, gamma: float) -> None:
    features, labels = batch(1)
    unit = torch.nn.functional.normalize(features, dim=1)
    losses = []
    for i, positives, negatives in sides(features, labels):
        p = n = 0.0
        for j in positives:
            s = float(unit[i] @ unit[j])
            p += math.exp(-gamma * max(0.0, 1 + margin - s) * (s - 1 + margin))
        for j in negatives:
            s = float(unit[i] @ unit[j])
            n += math.exp(gamma * max(0.0, s + margin) * (s - margin))
        losses.append(math.log1p(n * p))
    assert CircleLoss(margin, gamma)(features, labels).item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)


@pytest.mark.parametrize("gamma", [80.0, 128.0])
def test_circle_and_its_gradient_equal_pytorch_metric_learning(gamma: float) -> None:
    features = batch(2)[0][:15]
    labels = batch(2)[1][:15]
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    loss, oracle = CircleLoss(0.25, gamma)(ours, labels), OracleCircleLoss(m=0.25, gamma=gamma)(theirs, labels)
    assert loss.item() == pytest.approx(oracle.item(), rel=1e-4)
    loss.backward()
    oracle.backward()
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", METRICS, ids=lambda loss: type(loss).__name__)
def test_corner_cases_are_finite(loss: torch.nn.Module) -> None:
    alike = torch.ones(4, 3, requires_grad=True)
    loss(alike, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(alike.grad).all()
    lonely = torch.randn(4, 3, requires_grad=True)
    for labels in (torch.zeros(4, dtype=torch.int64), torch.arange(4)):
        value = loss(lonely, labels)
        value.backward()
        assert value.item() == 0.0 and torch.isfinite(lonely.grad).all()


@pytest.mark.parametrize("loss", METRICS, ids=lambda loss: type(loss).__name__)
def test_half_precision_is_computed_in_full(loss: torch.nn.Module) -> None:
    features, labels = batch(3)
    features = features.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(features, labels)
    assert inside.dtype == torch.float32 and torch.equal(inside, loss(features.float(), labels))


def test_circle_refuses_values_outside_their_range() -> None:
    with pytest.raises(ValueError, match="margin"):
        CircleLoss(-0.1)
    with pytest.raises(ValueError, match="gamma"):
        CircleLoss(gamma=0)


def test_pairs_of_a_batch() -> None:
    positives, negatives, valid = batch_pairs(torch.tensor([3, 7, 3, 5]))
    assert positives.nonzero().tolist() == [[0, 2], [2, 0]]
    assert negatives.sum(dim=1).tolist() == [2, 3, 2, 3]
    assert valid.tolist() == [True, False, True, False]
    assert not batch_pairs(torch.tensor([1, 1])).valid.any()
