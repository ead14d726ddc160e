import math

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner

from reid.losses import BatchHardTripletLoss, CenterLoss, CombinedLoss, LabelSmoothedCrossEntropy


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(16, 8, generator=torch.Generator().manual_seed(seed))
    return features, torch.arange(4).repeat_interleave(4)


def plain_triplet(features: torch.Tensor, labels: torch.Tensor, margin: float) -> float:
    losses = []
    for i in range(len(labels)):
        distances = [math.dist(features[i].tolist(), features[j].tolist()) for j in range(len(labels))]
        positive = [d for j, d in enumerate(distances) if j != i and labels[j] == labels[i]]
        negative = [d for j, d in enumerate(distances) if labels[j] != labels[i]]
        if positive and negative:
            gap = max(positive) - min(negative)
            losses.append(max(0.0, gap + margin) if margin > 0 else math.log1p(math.exp(gap)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("margin", [0.3, 2.0, 0.0])
@pytest.mark.parametrize("labels", [[0] * 4 + [1] * 4 + [2] * 8, list(range(7)) + [0] * 9])
def test_triplet_equals_a_plain_loop(margin: float, labels: list[int]) -> None:
    features = batch()[0]
    loss = BatchHardTripletLoss(margin)(features, torch.tensor(labels))
    assert loss.item() == pytest.approx(plain_triplet(features, torch.tensor(labels), margin), rel=1e-4)


def test_triplet_equals_pytorch_metric_learning() -> None:
    features, labels = batch(1)
    distance = LpDistance(normalize_embeddings=False)
    miner = BatchHardMiner(distance=distance)
    oracle = TripletMarginLoss(margin=5.0, distance=distance)(features, labels, miner(features, labels))
    assert BatchHardTripletLoss(5.0)(features, labels).item() == pytest.approx(oracle.item(), rel=1e-4)


def test_triplet_without_any_negative_is_zero_and_differentiable() -> None:
    features = torch.zeros(4, 3, requires_grad=True)
    loss = BatchHardTripletLoss()(features, torch.zeros(4, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0.0 and torch.isfinite(features.grad).all()


def test_triplet_gradient_is_finite_for_equal_features() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    BatchHardTripletLoss()(features, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(features.grad).all()


def test_cross_entropy_equals_its_formula() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([0, 1, 2, 3, 0])
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        normaliser = math.log(sum(math.exp(value) for value in row))
        for index, value in enumerate(row):
            target = 0.9 * (index == label) + 0.1 / 4
            expected -= target * (value - normaliser) / 5
    assert LabelSmoothedCrossEntropy(0.1)(logits, labels).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="smoothing"):
        LabelSmoothedCrossEntropy(1.0)


def test_center_loss_equals_a_plain_loop() -> None:
    features, labels = batch(3)
    loss = CenterLoss(4, 8, torch.Generator().manual_seed(0))
    expected = sum(
        math.dist(row.tolist(), loss.centers[int(label)].tolist()) ** 2 for row, label in zip(features, labels)
    )
    assert loss(features, labels).item() == pytest.approx(expected / 16, rel=1e-5)


def combined(**weights: float) -> CombinedLoss:
    generator = torch.Generator().manual_seed(0)
    return CombinedLoss(weights, num_classes=4, feature_size=8, generator=generator)


def test_total_is_the_weighted_sum_of_its_terms() -> None:
    features, labels = batch(4)
    logits = torch.randn(16, 4)
    total, terms = combined(cross_entropy=2.0, triplet=0.5, center=0.01)(features, logits, labels)
    expected = 2.0 * terms["cross_entropy"] + 0.5 * terms["triplet"] + 0.01 * terms["center"]
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert set(combined(triplet=1.0, center=0.0)(features, None, labels)[1]) == {"triplet"}


def test_weight_slows_the_features_but_not_the_centers() -> None:
    features, labels = batch(5)
    alone = CenterLoss(4, 8, torch.Generator().manual_seed(0))
    alone(features, labels).backward()
    features = features.clone().requires_grad_()
    loss = combined(center=5e-4)
    loss(features, None, labels)[0].backward()
    assert torch.allclose(loss.center_parameters()[0].grad, alone.centers.grad, rtol=1e-4)
    assert features.grad.abs().max() < 1e-3


def test_bad_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed: cross_entropy, triplet, center, circle"):
        combined(tripplet=1.0)
    with pytest.raises(ValueError, match="weight of center"):
        combined(center=-1.0)
    with pytest.raises(ValueError, match="every loss term is 0"):
        combined(triplet=0.0)
    with pytest.raises(ValueError, match="no classifier"):
        combined(cross_entropy=1.0)(*batch()[:1], None, batch()[1])
