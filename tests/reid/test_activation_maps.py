"""Maps of where networks look: against formulas, loops and the networks' own attention, for every kind of network."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

from reid.activation_maps import activation_norm, similarity_cam
from reid.attention_rollout import attention_rollout, attention_weights, has_rollout
from reid.last_map import run_with_map
from reid.models import build_model, vit
from reid.models.vit_layers import Attention

IMAGES = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
# Network, its options, and rows and columns of its last map for 64 x 32 pixels.
NETWORKS = [
    ("cares18", {}, (4, 2)),
    ("osnet_x0_25", {}, (4, 2)),
    ("osnet_x0_25", {"head": "bnneck", "pooling": "gem"}, (4, 2)),
    ("plr_osnet", {}, (4, 2)),
    ("swin_tiny", {"window": 2}, (2, 1)),
    ("vit_tiny", {"image_size": (64, 32)}, (4, 2)),
    ("vit_tiny", {"image_size": (64, 32), "jpm": True, "stride": 12}, (5, 2)),
    ("timm:test_resnet", {}, (2, 1)),
    ("timm:test_resnet", {"pooling": "gem"}, (2, 1)),
    ("timm:test_vit", {}, (4, 2)),
    ("timm:test_vit", {"num_cameras": 2, "cam_factor": 1.0}, (4, 2)),
    ("timm:swin_s3_tiny_224", {"image_size": (64, 64)}, (2, 2)),
]


@pytest.fixture(autouse=True)
def small_vit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vit, "DEPTH", 3)


@pytest.mark.parametrize(("name", "options", "grid"), NETWORKS, ids=str)
def test_every_kind_of_network_has_maps(name: str, options: dict, grid: tuple[int, int]) -> None:
    model = build_model(name, **options).eval()
    images = F.interpolate(IMAGES, (64, 64)) if "swin_s3" in name else IMAGES
    camids = torch.tensor([0, 1]) if "num_cameras" in options else None
    found = run_with_map(model, images, camids)
    maps = found.as_maps(found.tensors)
    assert maps.shape[2:] == grid and maps.shape[0] == 2
    assert torch.allclose(found.embeddings, model(images, camids).embeddings, atol=1e-5)
    norm = activation_norm(model, images, camids)
    assert norm.shape == (2, *grid) and (norm > 0).all()
    for image in range(2):
        for row in range(grid[0]):
            expected = np.sqrt(sum(float(value) ** 2 for value in maps[image, :, row, 0].detach()))
            assert float(norm[image, row, 0]) == pytest.approx(expected, rel=1e-4)
    cam = similarity_cam(model, images, found.embeddings.flip(0), camids)
    assert cam.shape == norm.shape and (cam >= 0).all() and torch.isfinite(cam).all()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert has_rollout(model) == ("vit" in name)


def test_grad_cam_is_its_formula_where_the_embedding_is_a_mean() -> None:
    model = build_model("resnet18", last_stride=2).eval()  # average pooling, then BNNeck's scale and shift
    with torch.no_grad():
        model.head.bottleneck.running_var.fill_(1 - 1e-5)
        others = torch.randn(2, 512)
        found = run_with_map(model, torch.cat([IMAGES, IMAGES.flip(3)], dim=3))
        maps, embeddings = found.tensors[0], found.embeddings  # (2, 512, 2, 2)
    cam = similarity_cam(model, torch.cat([IMAGES, IMAGES.flip(3)], dim=3), others)
    for image in range(2):
        e, o = embeddings[image].detach().double().numpy(), others[image].double().numpy()
        cosine = e @ o / np.linalg.norm(e) / np.linalg.norm(o)
        slope = (o / np.linalg.norm(o) - cosine * e / np.linalg.norm(e)) / np.linalg.norm(e)
        for row in range(2):
            for column in range(2):
                weighted = slope / 4 @ maps[image, :, row, column].detach().double().numpy()
                assert float(cam[image, row, column]) == pytest.approx(max(0.0, weighted), abs=1e-6)


def test_grad_cam_looks_at_what_two_images_share() -> None:
    model = build_model("resnet18").eval()
    other = run_with_map(model, IMAGES).embeddings.detach()
    first = similarity_cam(model, IMAGES, other.flip(0))
    assert not torch.allclose(first, similarity_cam(model, IMAGES, -other.flip(0)))
    assert torch.allclose(first, similarity_cam(model, IMAGES, 7 * other.flip(0)), atol=1e-6)
    frozen = build_model("resnet18").eval()
    frozen.load_state_dict(model.state_dict())
    assert torch.allclose(first, similarity_cam(frozen.requires_grad_(False), IMAGES, other.flip(0)), atol=1e-6)
    with pytest.raises(ValueError, match=r"others: got shape \(1, 512\), allowed: \(2, 512\)"):
        similarity_cam(model, IMAGES, other[:1])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["own", "timm"])
def test_attention_weights_are_those_of_the_layer(kind: str) -> None:
    tokens = torch.randn(2, 5, 24)
    layer = Attention(24, 3, 0.0, 0.0) if kind == "own" else timm.layers.Attention(24, 3, qkv_bias=True)
    weights = attention_weights(layer.eval(), tokens)
    assert torch.allclose(weights.sum(dim=2), torch.ones(2, 5), atol=1e-6)
    # Values that are the same in all heads are mixed by the mean of the heads' weights.
    layer.qkv.weight[48:].copy_(layer.qkv.weight[48:56].repeat(3, 1))
    layer.qkv.bias[48:].copy_(layer.qkv.bias[48:56].repeat(3))
    values = layer.qkv(tokens)[:, :, 48:56]
    layer.proj.weight.copy_(torch.eye(24))
    layer.proj.bias.zero_()
    mean = layer(tokens).unflatten(2, (3, 8)).mean(dim=2)
    assert torch.allclose(mean, weights @ values, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit_tiny", "timm:test_vit", "jpm"])
def test_rollout_is_the_product_of_the_blocks(name: str) -> None:
    options = {} if "timm" in name else {"image_size": (64, 32), "jpm": name == "jpm"}
    model = build_model("vit_tiny" if name == "jpm" else name, **options).eval()
    blocks = list(model.trunk.blocks if "timm" in name else model.blocks)
    blocks += [model.whole[0]] if name == "jpm" else []
    read: list[torch.Tensor] = []
    handles = [
        block.norm1.register_forward_hook(lambda module, inputs, output: read.append(output)) for block in blocks
    ]
    model(IMAGES)
    for handle in handles:
        handle.remove()
    rollout = attention_rollout(model, IMAGES)
    assert len(read) == len(blocks) and rollout.shape == (2, 4, 2)
    for image in range(2):
        product = np.eye(9)
        for block, tokens in zip(blocks, read, strict=True):
            weights = attention_weights(block.attn, tokens)[image].numpy()
            product = (weights + np.eye(9)) / (weights + np.eye(9)).sum(axis=1, keepdims=True) @ product
        assert np.allclose(rollout[image].flatten(), product[0, 1:], atol=1e-5)
    with pytest.raises(ValueError, match="rollout: got ResNet, allowed"):
        attention_rollout(build_model("resnet18").eval(), IMAGES)


def test_a_network_without_a_map_says_so() -> None:
    class Bare(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Identity()

        def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> object:
            self.head(images.mean(dim=(2, 3)))
            return vit.ReIDOutput(images, images, None)

    with pytest.raises(ValueError, match="Bare has no feature map before its head"):
        run_with_map(Bare(), IMAGES)
