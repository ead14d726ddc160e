"""Batch statistics of generated images apart from those of real ones."""

import copy

import pytest
import torch
from torch import nn

from reid.models import build_model
from reid.models.split_batch_norm import join_statistics, split_statistics


def test_each_part_of_a_batch_is_normalised_as_if_it_were_alone() -> None:
    random = torch.Generator().manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 6 * 2, 5), nn.BatchNorm1d(5)
    )
    split = copy.deepcopy(plain)
    split_statistics(split, 6)
    images = torch.randn(10, 3, 8, 4, generator=random)
    images[6:] = 3 * images[6:] + 2
    found = split(images)
    weights = torch.randn(found.shape, generator=random)
    (found * weights).sum().backward()
    alone = copy.deepcopy(plain)
    rest = copy.deepcopy(plain)
    wanted = torch.cat([alone(images[:6]), rest(images[6:])])
    (wanted * weights).sum().backward()
    torch.testing.assert_close(found, wanted)
    for name, value in split.named_buffers():
        torch.testing.assert_close(value, alone.get_buffer(name))  # of the real images alone
    for name, parameter in split.named_parameters():
        both = alone.get_parameter(name).grad + rest.get_parameter(name).grad  # type: ignore[operator]
        torch.testing.assert_close(parameter.grad, both, atol=1e-4, rtol=1e-4)
    # Real images alone, and evaluation, are as ever.
    torch.testing.assert_close(split(images[:6]), alone(images[:6]))
    torch.testing.assert_close(split.eval()(images), alone.eval()(images))


def test_a_network_keeps_its_names_and_can_be_joined_again() -> None:
    model = build_model("reidlite", 4)
    kinds = [type(module) for module in model.modules()]
    names = list(model.state_dict())
    split_statistics(model, 4)
    assert [type(module) for module in model.modules()] != kinds and list(model.state_dict()) == names
    join_statistics(model)
    assert [type(module) for module in model.modules()] == kinds


def test_what_has_no_statistics_to_split_is_refused() -> None:
    with pytest.raises(ValueError, match="2 or more"):
        split_statistics(build_model("reidlite"), 1)
    with pytest.raises(ValueError, match="BatchRenorm2d, allowed"):
        split_statistics(build_model("reidlite", 4, renorm="batch"), 4)
    with pytest.raises(ValueError, match="no batch normalisation"):
        split_statistics(nn.Linear(2, 2), 4)
