import math

import pytest
import torch

from reid.losses import CombinedLoss, LabelSmoothedCrossEntropy, LossOptions
from reid.losses.cross_entropy import effective_number_weights

LABELS = torch.tensor([0, 1, 2, 3, 0])


def logits() -> torch.Tensor:
    return 3 * torch.randn(5, 4, generator=torch.Generator().manual_seed(2))


def plain(smoothing: float, epsilon: float, temperature: float, counts: tuple[int, ...] = ()) -> float:
    weights = [0.1 / (1 - 0.9**count) for count in counts] if counts else [1.0] * 4
    mean = sum(weights) / 4
    total = 0.0
    for row, label in zip(logits().tolist(), LABELS.tolist(), strict=True):
        exponentials = [math.exp(value / temperature) for value in row]
        probabilities = [value / sum(exponentials) for value in exponentials]
        target = [(1 - smoothing) * (index == label) + smoothing / 4 for index in range(4)]
        entropy = -sum(t * math.log(p) for t, p in zip(target, probabilities, strict=True))
        entropy += epsilon * sum(t * (1 - p) for t, p in zip(target, probabilities, strict=True))
        total += entropy * weights[label] / mean
    return total / 5


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("epsilon", [-1.0, 0.0, 6.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("counts", [(), (1, 5, 20, 70)])
def test_cross_entropy_equals_a_plain_loop(
    smoothing: float, epsilon: float, temperature: float, counts: tuple[int, ...]
) -> None:
    loss = LabelSmoothedCrossEntropy(smoothing, epsilon, temperature, counts)
    assert loss(logits(), LABELS).item() == pytest.approx(plain(smoothing, epsilon, temperature, counts), rel=1e-5)


def test_poly_one_without_smoothing_is_cross_entropy_plus_one_minus_the_true_probability() -> None:
    true = logits().softmax(dim=1)[torch.arange(5), LABELS]
    expected = torch.nn.functional.cross_entropy(logits(), LABELS) + 2.0 * (1 - true).mean()
    assert torch.allclose(LabelSmoothedCrossEntropy(0.0, 2.0)(logits(), LABELS), expected)


def test_rare_classes_weigh_more_but_ten_times_at_most() -> None:
    weights = effective_number_weights([1, 2, 10, 10_000])
    assert weights.mean().item() == pytest.approx(1.0) and (weights.diff() < 0).all()
    assert (weights[0] / weights[-1]).item() == pytest.approx(10.0, rel=1e-3)
    with pytest.raises(ValueError, match="class_counts"):
        effective_number_weights([0, 3])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smoothing", 1.0),
        ("poly_epsilon", -1.5),
        ("poly_epsilon", 7.0),
        ("temperature", 0.0),
        ("triplet", "hardest"),
        ("circle_margin", 1.5),
        ("circle_gamma", 0.0),
        ("contrast_momentum", 1.0),
        ("contrast_scale", 0.0),
        ("xbm_size", 0),
        ("xbm_start", -1),
        ("class_balance", True),
        ("class_counts", (3, 4)),
    ],
)
def test_options_outside_their_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{name}: got .*, allowed: "):
        LossOptions(**{name: value})


@pytest.mark.parametrize(
    "options",
    [
        {"smoothing": 0.0},
        {"poly_epsilon": -1.0},
        {"temperature": 2.0},
        {"class_balance": True, "class_counts": (1, 5, 20, 70)},
        {"triplet": "weighted-regularised"},
        {"margin": 0.0},
        {"circle_margin": 0.4},
        {"circle_gamma": 80.0},
        {"contrast_momentum": 0.9},
        {"contrast_scale": 10.0},
        {"xbm_size": 8},
        {"xbm_start": 2},
    ],
)
def test_every_option_changes_the_loss(options: dict[str, object]) -> None:
    def total(chosen: LossOptions) -> float:
        weights = dict.fromkeys(("cross_entropy", "triplet", "circle", "cluster_contrast", "xbm"), 1.0)
        loss = CombinedLoss(weights, num_classes=4, feature_size=6, options=chosen)
        generator, result = torch.Generator().manual_seed(0), 0.0
        for _ in range(3):
            features = torch.randn(8, 6, generator=generator)
            result += loss(features, features[:, :4], torch.arange(4).repeat_interleave(2))[0].item()
        return result

    usual = {"xbm_size": 32, "xbm_start": 0}
    assert total(LossOptions(**usual)) != pytest.approx(total(LossOptions(**usual | options)), rel=1e-6)
