"""The loss of networks with several branches."""

import pytest
import torch

from reid.losses import CombinedLoss
from reid.models.output import Branch

LABELS = torch.arange(4).repeat_interleave(3)


def branch(size: int) -> Branch:
    return Branch(torch.randn(12, size, requires_grad=True), torch.randn(12, 5, requires_grad=True))


def test_each_branch_has_the_terms_without_memory() -> None:
    branches = (branch(8), branch(6), branch(6), branch(6))
    together = torch.cat([part.features for part in branches], dim=1)
    weights = {"cross_entropy": 1.0, "triplet": 0.5, "circle": 0.1}
    loss = CombinedLoss(weights | {"center": 1e-3}, num_classes=5, feature_size=26)
    total, terms = loss(together, branches[0].logits, LABELS, branches)
    expected = 1e-3 * loss.terms["center"](together, LABELS)
    for name, weight in weights.items():
        values = [loss.terms[name](part[name == "cross_entropy"], LABELS) for part in branches]
        value = values[0] + (values[1] + values[2] + values[3]) / 3
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-5)
        expected = expected + weight * value
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    total.backward()
    for part in branches:
        assert part.features.grad.abs().sum() > 0 and part.logits.grad.abs().sum() > 0


def test_terms_with_memory_see_all_branches_together() -> None:
    branches = (branch(8), branch(8))
    together = torch.cat([part.features for part in branches], dim=1)
    loss = CombinedLoss({"cluster_contrast": 1.0}, num_classes=5, feature_size=16)
    loss(together, None, LABELS, branches)[0].backward()
    assert all(part.features.grad.abs().sum() > 0 for part in branches)


def test_one_branch_is_no_branches() -> None:
    one = branch(8)
    loss = CombinedLoss({"cross_entropy": 1.0, "triplet": 1.0}, num_classes=5, feature_size=8)
    assert torch.equal(loss(*one, LABELS)[0], loss(*one, LABELS, (one,))[0])
