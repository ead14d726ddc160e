"""Weights of timm, DeiT and TransReID in our ViT."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from transformer_networks import JPM, SMALL, build, lively

from reid.models.foreign_weights import load_foreign
from reid.models.vit_names import vit_names


@pytest.mark.parametrize("size", [(224, 224), (128, 64)])
@torch.no_grad()
def test_weights_of_timm_compute_the_same(size: tuple[int, int], tmp_path: Path) -> None:
    theirs = lively(timm.create_model("vit_tiny_patch16_224", num_classes=5, dynamic_img_size=True)).eval()
    torch.save({"model": theirs.state_dict()}, tmp_path / "deit.pth")  # DeiT's files look so
    images = torch.randn(1, 3, *size)
    expected = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
    for jpm in (False, True):
        ours = build(image_size=size, jpm=jpm).eval()
        report = load_foreign(ours, tmp_path / "deit.pth")
        assert all(name.startswith("head.") for name in report.missing) and not report.mismatched
        assert sorted(report.unexpected) == ["head.bias", "head.weight"]
        output = ours(images)
        whole = output.branches[0].features if jpm else output.features
        assert torch.allclose(whole, expected, atol=1e-5)


def released(jpm: bool, patches: int, cameras: int) -> dict[str, torch.Tensor]:
    """Returns tensors under the names, and of the shapes, of the authors' release, here 192 wide."""
    block = {"norm1.weight": (192,), "norm1.bias": (192,), "norm2.weight": (192,), "norm2.bias": (192,)}
    block |= {"attn.qkv.weight": (576, 192), "attn.qkv.bias": (576,), "attn.proj.weight": (192, 192)}
    block |= {"attn.proj.bias": (192,), "mlp.fc1.weight": (768, 192), "mlp.fc1.bias": (768,)}
    block |= {"mlp.fc2.weight": (192, 768), "mlp.fc2.bias": (192,)}
    shapes: dict[str, tuple[int, ...]] = {"base.cls_token": (1, 1, 192), "base.pos_embed": (1, 1 + patches, 192)}
    shapes |= {"base.sie_embed": (cameras, 1, 192)} if cameras else {}
    shapes |= {"base.patch_embed.proj.weight": (192, 3, 16, 16), "base.patch_embed.proj.bias": (192,)}
    shapes |= {f"base.blocks.{i}.{name}": shape for i in range(12) for name, shape in block.items()}
    shapes |= {"base.norm.weight": (192,), "base.norm.bias": (192,)}
    shapes |= {"base.fc.weight": (1000, 192), "base.fc.bias": (1000,)}
    for branch in ("b1", "b2") if jpm else ():
        shapes |= {f"{branch}.0.{name}": shape for name, shape in block.items()}
        shapes |= {f"{branch}.1.weight": (192,), f"{branch}.1.bias": (192,)}
    for suffix in ("", "_1", "_2", "_3", "_4") if jpm else ("",):
        shapes |= {f"classifier{suffix}.weight": (3, 192), f"bottleneck{suffix}.num_batches_tracked": ()}
        neck = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"bottleneck{suffix}.{name}": (192,) for name in neck}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def test_weights_of_transreid_find_their_places(tmp_path: Path) -> None:
    state = released(jpm=True, patches=10, cameras=6)
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "transreid.safetensors")
    model = build(**JPM, num_cameras=6, cam_factor=3.0)
    report = load_foreign(model, tmp_path / "transreid.safetensors")
    assert report.missing == () and not report.mismatched
    unused = [name for name in state if name.startswith(("base.fc.", "base.blocks.11.", "base.norm."))]
    assert sorted(report.unexpected) == sorted(unused)
    own = model.state_dict()
    for theirs, ours in {
        "base.pos_embed": "pos_embed",
        "base.blocks.10.mlp.fc1.weight": "blocks.10.mlp.fc1.weight",
        "b1.0.attn.qkv.weight": "whole.0.attn.qkv.weight",
        "b1.1.bias": "whole.1.bias",
        "b2.0.norm2.weight": "local.0.norm2.weight",
        "b2.1.weight": "local.1.weight",
        "bottleneck.running_var": "head.branches.0.bottleneck.running_var",
        "bottleneck_3.weight": "head.branches.3.bottleneck.weight",
        "classifier.weight": "head.branches.0.classifier.weight",
        "classifier_4.weight": "head.branches.4.classifier.weight",
    }.items():
        assert torch.equal(own[ours], state[theirs]), theirs
    assert torch.equal(model.cameras.vectors, state["base.sie_embed"][:, 0])


def test_weights_of_transreid_without_the_jigsaw_module(tmp_path: Path) -> None:
    state = released(jpm=False, patches=10, cameras=0)
    save_file(state, tmp_path / "baseline.safetensors")
    model = build(stride=12)
    report = load_foreign(model, tmp_path / "baseline.safetensors")
    assert report.missing == () and sorted(report.unexpected) == ["base.fc.bias", "base.fc.weight"]
    assert torch.equal(model.head.classifier.weight, state["classifier.weight"])
    assert torch.equal(model.norm.weight, state["base.norm.weight"])
    both = vit_names(state, jpm=True, grid=(5, 2))
    assert both["whole.0.norm1.bias"] is both["local.0.norm1.bias"] is state["base.blocks.11.norm1.bias"]
    # A network without the module takes the branch of the whole image.
    plain = vit_names(released(jpm=True, patches=10, cameras=0), jpm=False, grid=(5, 2))
    assert set(model.state_dict()) <= set(plain)
    with pytest.raises(ValueError, match=r"baseline\.safetensors: pos_embed: got 10 patches, allowed: a square, or"):
        load_foreign(build(), tmp_path / "baseline.safetensors")


def test_own_weights_pass_unchanged(tmp_path: Path) -> None:
    for options in (JPM, SMALL | {"image_size": (64, 64), "patch_size": 32, "stride": 16}):
        model = build(**options)
        assert set(model.foreign_state(model.state_dict())) == set(model.state_dict())
        assert torch.equal(model.foreign_state(model.state_dict())["pos_embed"], model.pos_embed)
