"""The last stride of networks of timm."""

import pytest
import torch

from reid.models import build_model


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050", "resnet10t"])
@torch.no_grad()
def test_the_last_map_is_twice_as_high_and_wide(name: str) -> None:
    images = torch.randn(2, 3, 96, 64)
    model = build_model(f"timm:{name}", 3, last_stride=1, pooling="gem")
    assert model.training
    usual = build_model(f"timm:{name}", 3, pooling="gem")
    assert model.state_dict().keys() == usual.state_dict().keys()
    maps = [network.eval().trunk.forward_features(images).shape for network in (usual, model)]
    assert maps[1][1] == maps[0][1] and maps[1][2:] == (2 * maps[0][2], 2 * maps[0][3])
    model.load_state_dict(usual.state_dict())
    assert not torch.allclose(model(images).features, usual(images).features)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_networks_without_a_last_stride_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"last_stride: got 1, but timm:{name} has no stride in its last stage"):
        build_model(f"timm:{name}", last_stride=1)


def test_other_strides_are_refused() -> None:
    with pytest.raises(ValueError, match="last_stride: got 3, allowed: 1, 2"):
        build_model("timm:test_resnet", last_stride=3)
