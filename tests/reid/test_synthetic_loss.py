"""Generated images in the loss: real images stay what they are."""

import copy
import math

import pytest
import torch

from reid.losses import TERMS, CombinedLoss, LossOptions, LossWithGenerated, SoftLabelCrossEntropy

CLASSES, SIZE, REAL, GENERATED = 4, 6, 8, 5


def batch(generated: int = GENERATED) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    count = REAL + generated
    features = torch.randn(count, SIZE, generator=random, requires_grad=True)
    logits = torch.randn(count, CLASSES, generator=random, requires_grad=True)
    return features, logits, torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, -1, -3, -2, -5, -4][:count])


def targets() -> torch.Tensor:
    return torch.rand(GENERATED, CLASSES, generator=torch.Generator().manual_seed(1)).softmax(dim=1)


def gradient(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def combined(terms: dict[str, float]) -> CombinedLoss:
    options = LossOptions(smoothing=0.1, xbm_size=16, xbm_start=0)
    random = torch.Generator().manual_seed(2)
    return CombinedLoss(terms, num_classes=CLASSES, feature_size=SIZE, options=options, generator=random)


def test_soft_cross_entropy_follows_its_formula() -> None:
    logits, wanted = torch.randn(3, CLASSES), targets()[:3]
    expected = 0.0
    for row, weights in zip(logits.double().tolist(), wanted.double().tolist(), strict=True):
        normaliser = math.log(sum(math.exp(value / 2) for value in row))
        expected -= sum(weight * (value / 2 - normaliser) for weight, value in zip(weights, row, strict=True)) / 3
    assert SoftLabelCrossEntropy(2.0)(logits, wanted).item() == pytest.approx(expected, rel=1e-6)
    hard = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0, 3]))
    one_hot = torch.eye(CLASSES)[[1, 0, 3]]
    torch.testing.assert_close(SoftLabelCrossEntropy()(logits, one_hot), hard)
    with pytest.raises(ValueError, match="targets: got shape"):
        SoftLabelCrossEntropy()(logits, wanted[:2])
    with pytest.raises(ValueError, match="temperature: got 0"):
        SoftLabelCrossEntropy(0.0)


@pytest.mark.parametrize("term", TERMS)
def test_real_images_keep_value_and_gradient(term: str) -> None:
    loss = combined({term: 1.0} | ({} if term == "cross_entropy" else {"cross_entropy": 0.5}))
    alone, joined = copy.deepcopy(loss), LossWithGenerated(loss, targets(), weight=3.0)
    features, logits, labels = batch()
    # Twice, so that memories of the first time act.
    for _ in range(2):
        own = [tensor[:REAL].detach().requires_grad_() for tensor in (features, logits)]
        expected, wanted_terms = alone(own[0], own[1], labels[:REAL])
        expected.backward()
        features.grad = logits.grad = None
        total, terms = joined(features, logits, labels)
        total.backward()
    assert all(torch.equal(terms[name], wanted_terms[name]) for name in wanted_terms)
    added = 3.0 * GENERATED / REAL * terms["generated"]
    torch.testing.assert_close(total, expected + added)
    assert torch.equal(gradient(features)[:REAL], gradient(own[0])) and not gradient(features)[REAL:].any()
    assert torch.equal(gradient(logits)[:REAL], gradient(own[1])) and gradient(logits)[REAL:].any(dim=1).all()
    state, wanted_state = joined.loss.state_dict(), alone.state_dict()  # centers and memories
    assert all(torch.equal(state[name], wanted_state[name]) for name in wanted_state)


def test_labels_choose_the_target() -> None:
    loss = LossWithGenerated(combined({"cross_entropy": 1.0}), targets())
    features, logits, labels = batch()
    _, terms = loss(features, logits, labels)
    expected = SoftLabelCrossEntropy()(logits[REAL:], targets()[[0, 2, 1, 4, 3]])
    torch.testing.assert_close(terms["generated"], expected.detach())
    loss.set_targets(targets().flip(0))
    assert loss(features, logits, labels)[1]["generated"] != terms["generated"]


def test_one_target_serves_all_and_the_temperature_acts() -> None:
    features, logits, labels = batch()
    uniform = torch.full((1, CLASSES), 1 / CLASSES)
    one = LossWithGenerated(combined({"cross_entropy": 1.0}), uniform)
    all_of_them = LossWithGenerated(combined({"cross_entropy": 1.0}), uniform.repeat(GENERATED, 1))
    assert one(features, logits, labels)[0] == all_of_them(features, logits, labels)[0]
    warm = LossWithGenerated(combined({"cross_entropy": 1.0}), uniform, temperature=2.0)
    assert warm(features, logits, labels)[1]["generated"] < one(features, logits, labels)[1]["generated"]


def test_branches_count_as_in_the_usual_loss() -> None:
    loss = LossWithGenerated(combined({"cross_entropy": 1.0}), targets())
    features, logits, labels = batch()
    others = [torch.randn_like(logits) for _ in range(2)]
    branches = [(features, part) for part in (logits, *others)]
    _, terms = loss(features, logits, labels, branches)
    rows = targets()[[0, 2, 1, 4, 3]]
    first, *rest = (SoftLabelCrossEntropy()(part[REAL:], rows) for part in (logits, *others))
    torch.testing.assert_close(terms["generated"], (first + (rest[0] + rest[1]) / 2).detach())


def test_a_batch_without_generated_images_is_the_usual_one() -> None:
    loss = combined({"cross_entropy": 1.0, "triplet": 1.0})
    features, logits, labels = batch(0)
    total, terms = LossWithGenerated(loss, targets())(features, logits, labels)
    assert torch.equal(total, loss(features, logits, labels)[0]) and "generated" not in terms


def test_state_holds_targets_that_change() -> None:
    fixed = LossWithGenerated(combined({"cross_entropy": 1.0}), targets())
    changing = LossWithGenerated(combined({"cross_entropy": 1.0}), targets(), keep_targets=True)
    assert "targets" not in fixed.state_dict() and torch.equal(changing.state_dict()["targets"], targets())
    assert changing.num_classes == CLASSES and changing.center_parameters() == []


def test_wrong_use_is_refused() -> None:
    loss = combined({"cross_entropy": 1.0})
    for wrong in (torch.rand(GENERATED, CLASSES), targets()[:, :3], targets()[:0]):
        with pytest.raises(ValueError, match="targets"):
            LossWithGenerated(loss, wrong)
    with pytest.raises(ValueError, match="weight: got 0"):
        LossWithGenerated(loss, targets(), weight=0)
    joined = LossWithGenerated(loss, targets())
    with pytest.raises(ValueError, match="targets: got shape"):
        joined.set_targets(targets()[:2])
    features, logits, labels = batch()
    with pytest.raises(ValueError, match="no classifier"):
        joined(features, None, labels)
    with pytest.raises(ValueError, match="a branch has no classifier"):
        joined(features, logits, labels, [(features, logits), (features, None)])
    with pytest.raises(ValueError, match="of them alone"):
        joined(features[REAL:], logits[REAL:], labels[REAL:])
