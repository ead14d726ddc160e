"""Branches of training, merged for inference, compute the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from reid.checkpoint import Card, save_checkpoint
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.export import export_onnx
from reid.models import build_model
from reid.models.foreign_weights import load_foreign
from reid.models.reidlite import STAGES, UniversalBlock, scaled
from reid.models.reparameterise import BranchedConv, reparameterise


def lived(model: torch.nn.Module, images: torch.Tensor) -> torch.nn.Module:
    """Gives the normalisations what a training might have left there, and the statistics of these images."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.weight.data.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
            if module.bias.requires_grad:
                module.bias.data.copy_(torch.rand(module.bias.shape, generator=generator) - 0.5)
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    return model.eval()


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((6, 6, 3, 1), {}),
        ((6, 6, 3, 2), {}),
        ((6, 8, 3, 1), {"relu": False}),
        ((6, 6, 5, 1), {"groups": 6, "relu": False}),
        ((6, 6, 5, 2), {"groups": 6}),
        ((6, 6, 3, 1), {"groups": 2}),
        ((6, 8, 1, 1), {}),
        ((6, 6, 3, 1), {"branches": False}),
    ],
    ids=str,
)
@torch.no_grad()
def test_one_convolution_stands_for_all_branches(shape: tuple[int, int, int, int], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 9, 7)
    layer = lived(BranchedConv(*shape, **options), x)
    merged = layer.merged()
    assert sum(isinstance(module, torch.nn.Conv2d) for module in merged.modules()) == 1
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in merged.modules())
    assert torch.allclose(merged(x), layer(x), atol=1e-5)


def test_branches_stand_where_shapes_allow() -> None:
    def branches(*shape: int, **options: Any) -> tuple[bool, bool]:
        layer = BranchedConv(*shape, **options)
        return layer.point is not None, layer.identity_norm is not None

    assert branches(4, 4, 3) == (True, True)
    assert branches(4, 4, 3, 2) == branches(4, 6, 3) == (True, False)
    assert branches(4, 4, 1) == branches(4, 4, 3, branches=False) == (False, False)


@pytest.mark.parametrize("options", [{}, {"renorm": "batch"}, {"branches": False}, {"width_factor": 0.5}], ids=str)
@torch.no_grad()
def test_the_merged_network_computes_the_same(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 64, 32)
    model = lived(build_model("reidlite", 5, **options), images)
    names = list(model.state_dict())
    merged = reparameterise(model)
    before, after = model(images), merged(images)
    assert torch.allclose(before.features, after.features, atol=1e-4)
    for one, other in ((before.embeddings, after.embeddings), (before.logits, after.logits)):
        assert torch.allclose(F.normalize(one), F.normalize(other), atol=1e-4)
    assert list(model.state_dict()) == names
    assert not any(isinstance(module, BranchedConv | torch.nn.BatchNorm2d) for module in merged.modules())
    assert any(parameter.requires_grad for parameter in model.parameters())


def test_what_has_nothing_to_merge_is_returned_and_training_is_refused() -> None:
    other = build_model("osnet_x0_25").train()
    assert reparameterise(other) is other
    with pytest.raises(ValueError, match="model: got one in training mode, allowed: evaluation mode"):
        reparameterise(build_model("reidlite"))


def saved(path: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    model = lived(build_model("reidlite", 3), torch.randn(4, 3, 64, 32))
    save_checkpoint(path, model.state_dict(), Card("reidlite", {}, 3, 512, Preprocessing(64, 32)))
    return model


def test_the_embedder_runs_the_merged_network(tmp_path: Path) -> None:
    model = saved(tmp_path / "model.safetensors")
    embedder = Embedder(tmp_path / "model.safetensors", device="cpu")
    assert not any(isinstance(module, BranchedConv) for module in embedder._backend.model.modules())  # type: ignore[attr-defined]
    crops = list(np.random.default_rng(0).integers(0, 256, (4, 50, 30, 3), dtype=np.uint8))
    plain = Embedder.from_model(model, Preprocessing(64, 32))(crops)
    assert np.abs(embedder(crops) - plain).max() < 1e-4


@pytest.mark.slow
def test_the_exported_network_is_merged(tmp_path: Path) -> None:
    model = saved(tmp_path / "model.safetensors")
    export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert kinds.count("Conv") == sum(isinstance(m, torch.nn.Conv2d) for m in reparameterise(model).modules())
    crops = list(np.random.default_rng(0).integers(0, 256, (4, 50, 30, 3), dtype=np.uint8))
    plain = Embedder.from_model(model, Preprocessing(64, 32))(crops)
    assert np.abs(Embedder(tmp_path / "model.onnx")(crops) - plain).max() < 1e-4


def test_reidlite_has_the_strides_and_channels_that_it_says() -> None:
    model, maps = build_model("reidlite").eval(), []
    for part in (model.stem, *model.stages, model.widen):
        part.register_forward_hook(lambda *arguments: maps.append(tuple(arguments[2].shape[1:])))
    with torch.no_grad():
        model(torch.zeros(1, 3, 192, 96))
    assert maps == [(64, 24, 12), (96, 12, 6), (128, 12, 6), (512, 12, 6)]
    shapes = [shape for stage in STAGES for shape in stage]
    blocks = [module for module in model.modules() if isinstance(module, UniversalBlock)]
    assert len(blocks) == len(shapes) == 12 and sum(block.shortcut for block in blocks) == 10
    # What three channels did to the heap of a training on a CPU.
    assert isinstance(model.stem[0], BranchedConv) and model.stem[0].point is None
    assert [scaled(32, factor) for factor in (0.25, 0.75, 1.0, 1.25)] == [16, 32, 32, 48]


@pytest.mark.parametrize("branches", [False, True])
@torch.no_grad()
def test_weights_of_mobilenetv4_make_the_trunk_compute_the_same(tmp_path: Path, branches: bool) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64)
    theirs = lived(timm.create_model("mobilenetv4_conv_small"), images)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = build_model("reidlite", last_stride=2, branches=branches)
    report = load_foreign(ours, tmp_path / "model.safetensors")
    assert report.missing and all(
        name.startswith(("widen.", "head.")) or "point" in name or "identity" in name for name in report.missing
    )
    assert "blocks.4.0.conv.weight" in report.unexpected
    expected = theirs.blocks[:4](theirs.bn1(theirs.conv_stem(images)))  # type: ignore[index,operator]
    ours.eval()
    assert torch.allclose(ours.stages(ours.stem(images)), expected, atol=1e-4)
    with pytest.raises(ValueError, match="weights of another network"):
        load_foreign(build_model("reidlite", width_factor=0.5), tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width_factor": 0}, "width_factor: got 0, allowed: 0.25 to 4"),
        ({"embedding_size": 100}, "embedding_size: got 100, allowed: multiples of 16"),
        ({"last_stride": 3}, "last_stride: got 3, allowed: 1, 2"),
    ],
    ids=str,
)
def test_wrong_options_of_reidlite_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model("reidlite", **options)
