"""Swin: windows, masks, both versions against timm, foreign names."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode
from transformer_networks import lively

from reid.activation_checkpointing import checkpoint_activations
from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.config import parse_config
from reid.data.images import Preprocessing
from reid.export import export_onnx
from reid.freezing import FrozenBackbone
from reid.image_reid_train import main
from reid.models import build_model
from reid.models.foreign_weights import load_foreign
from reid.models.renorm import BatchRenorm1d
from reid.models.swin import PatchMerging, Swin, SwinBlock
from reid.models.swin_names import swin_names
from reid.models.window_attention import CosineWindowAttention, WindowAttention
from reid.models.windows import Windows
from reid.train_options import TrainConfig

IMAGES = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
NAMES = ["swin_tiny", "swinv2_tiny"]


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes networks of two stages."""
    monkeypatch.setattr(Swin, "depths", (2, 1))
    monkeypatch.setattr(Swin, "heads", (3, 6))


# Table 1 of arXiv 2103.14030: 29 M, 4.5 G; of arXiv 2111.09883's release: 28 M, 5.9 G and 6.6 G, ImageNet's
# classifier of 0.8 M included.
@pytest.mark.parametrize(
    ("name", "window", "side", "millions", "gflops"),
    [("swin_tiny", 7, 224, 27.5, 4.5), ("swinv2_tiny", 8, 256, 27.6, 5.9), ("swinv2_tiny", 16, 256, 27.6, 6.65)],
)
def test_sizes(name: str, window: int, side: int, millions: float, gflops: float) -> None:
    with torch.device("meta"):
        model, image = build_model(name, window=window).eval(), torch.empty(1, 3, side, side)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            assert model(image).features.shape == (1, 768) == (1, model.embedding_size)
    trunk = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("head."))
    assert trunk / 1e6 == pytest.approx(millions, abs=0.05)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gflops, abs=0.05)  # papers count a multiply-add as one


@pytest.mark.parametrize(
    ("name", "theirs", "side"),
    [("swin_tiny", "swin_tiny_patch4_window7_224", 224), ("swinv2_tiny", "swinv2_tiny_window8_256", 256)],
)
@torch.no_grad()
def test_weights_of_timm_compute_the_same(name: str, theirs: str, side: int, tmp_path: Path) -> None:
    network = lively(timm.create_model(theirs, num_classes=5)).eval()
    save_file(network.state_dict(), tmp_path / "timm.safetensors")
    model, image = build_model(name).eval(), torch.randn(1, 3, side, side)
    report = load_foreign(model, tmp_path / "timm.safetensors")
    assert all(name.startswith("head.") for name in report.missing) and not report.mismatched
    assert sorted(report.unexpected) == ["head.fc.bias", "head.fc.weight"]
    expected = network.forward_head(network.forward_features(image), pre_logits=True)
    assert torch.allclose(model(image).features, expected, atol=1e-5)


def test_the_authors_names_find_their_places() -> None:
    own = dict(build_model("swin_tiny").state_dict())
    theirs = {"head.weight": torch.zeros(1000, 768), "layers.1.blocks.1.attn_mask": torch.zeros(16, 49, 49)}
    theirs["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    for name, tensor in own.items():
        if name.startswith("stage"):
            stage, rest = int(name[5]) - 1, name[7:]
            # The authors have the merging at the end of the stage before.
            name = f"layers.{stage - 1 if rest.startswith('downsample') else stage}.{rest}"
        theirs[name] = tensor
    found = swin_names(theirs)
    assert set(found) == set(own) | {"head.weight"}
    assert all(found[name] is tensor for name, tensor in own.items())
    assert swin_names(own) == own


@pytest.mark.parametrize(("height", "width"), [(14, 14), (16, 8), (15, 9), (4, 2), (9, 4)])
@pytest.mark.parametrize("shifted", [False, True])
def test_windows_show_each_position_what_a_plain_loop_finds(height: int, width: int, shifted: bool) -> None:
    windows = Windows.fitting(height, width, 4, shifted)
    x = torch.arange(1.0, height * width + 1).reshape(1, height, width, 1)
    cut = windows.cut(x)
    assert torch.equal(windows.join(cut), x)
    mask = windows.mask(x.device)
    mask = torch.zeros(cut.shape[1], 1, cut.shape[2], cut.shape[2]) if mask is None else mask
    down, right = windows.shift
    assert (down, right) == tuple(2 if shifted and side > 4 else 0 for side in (height, width))
    seen = {
        int(query): {int(key) for key, open_ in zip(row, mask[number, 0, place], strict=True) if open_ == 0}
        for number, row in enumerate(cut[0, :, :, 0])
        for place, query in enumerate(row)
        if query
    }
    # Windows begin `shift` rows down, so that the first ones are cut off; nothing reaches over an edge.
    cells = {int(x[0, i, j, 0]): ((i - down) // 4, (j - right) // 4) for i in range(height) for j in range(width)}
    for query, cell in cells.items():
        assert seen[query] == {key for key, other in cells.items() if other == cell}


@pytest.mark.parametrize("kind", [WindowAttention, CosineWindowAttention])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (6, 3)])
@torch.no_grad()
def test_attention_follows_its_formula(kind: type[WindowAttention], height: int, width: int) -> None:
    layer = lively(kind(12, 2, 4, 0.0, 0.0)).eval()
    windows = Windows.fitting(height, width, 4, shifted=False)
    x = torch.randn(1, height, width, 12)
    found = layer(x, windows, windows.mask(x.device))
    # By hand for the position (1, 2), whose window is the first.
    keys = [(i, j) for i in range(4) for j in range(min(4, width))]
    query, key, value = layer._project(x).unflatten(3, (3, 2, 6)).unbind(3)  # (1, H, W, heads, 6)
    table, mixed = layer._table(), []
    for head in range(2):
        scores = []
        for i, j in keys:
            a, b = query[0, 1, 2, head], key[0, i, j, head]
            score = a @ b / 6**0.5
            if kind is CosineWindowAttention:
                score = torch.cosine_similarity(a, b, dim=0) * layer.logit_scale[head, 0, 0].exp()
            scores.append(score + table[(1 - i + 3) * 7 + 2 - j + 3, head])
        weights = torch.stack(scores).softmax(0)
        mixed.append(sum(w * value[0, i, j, head] for w, (i, j) in zip(weights, keys, strict=True)))
    assert torch.allclose(found[0, 1, 2], layer.proj(torch.cat(mixed)), atol=1e-5)


def test_cosine_attention_knows_where_positions_lie() -> None:
    layer = CosineWindowAttention(12, 2, 4, 0.0, 0.0)
    coordinates = []
    layer.cpb_mlp.register_forward_hook(lambda module, inputs, output: coordinates.append(inputs[0]))
    table = layer._table()
    assert table.shape == (49, 2) and (table > 0).all() and (table < 16).all()
    # Offsets (-3, 0) and (1, 2) of a window of 4 on the paper's scale: sign(x) log2(1 + 8 |x| / 3) / 3.
    assert coordinates[0][0 * 7 + 3].tolist() == pytest.approx([-3.169925 / 3, 0.0], abs=1e-5)
    assert coordinates[0][4 * 7 + 5].tolist() == pytest.approx([1.874469 / 3, 2.662965 / 3], abs=1e-5)
    layer.logit_scale.data.fill_(10.0)
    query, key, scale = layer._scaled(torch.randn(1, 2, 3, 6), torch.randn(1, 2, 3, 6))
    assert torch.allclose(query.norm(dim=-1), torch.full((1, 2, 3), 100.0)) and scale == 1.0
    assert torch.allclose(key.norm(dim=-1), torch.ones(1, 2, 3))


def test_merging_takes_four_neighbours_and_pads_odd_maps() -> None:
    layer = PatchMerging(2, norm_last=False)
    x = torch.randn(1, 3, 4, 2)
    merged = layer(x)
    assert merged.shape == (1, 2, 2, 4)
    corner = torch.cat([x[0, 2, 2], torch.zeros(2), x[0, 2, 3], torch.zeros(2)])
    assert torch.allclose(merged[0, 1, 1], layer.reduction(layer.norm(corner)), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name: str) -> None:
    block = lively(SwinBlock(12, 2, 4, True, 2 if name == "swinv2_tiny" else 1, 0.0, 0.0, 0.0)).eval()
    x = torch.randn(1, 6, 6, 12)
    # The window around (5, 5) holds the rows and columns 2 to 5 of the map, whole: the same as in a larger map.
    larger = torch.zeros(1, 10, 10, 12)
    larger[:, :6, :6] = x
    assert torch.allclose(block(x)[0, 2:, 2:], block(larger)[0, 2:6, 2:6], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_every_parameter_learns(name: str) -> None:
    model = lively(build_model(name, 3, drop_path=0.0)).train()
    output = model(torch.randn(2, 3, 70, 35))
    (output.logits.square().sum() + output.features.square().sum()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and not p.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.parametrize(
    "options",
    [{"window": 4}, {"pooling": "max"}, {"dropout": 0.2}, {"attention_dropout": 0.2}, {"drop_path": 0.5}],
)
@torch.no_grad()
def test_every_option_changes_the_model(options: dict[str, Any], shallow: None) -> None:
    def features(**options: Any) -> torch.Tensor:
        torch.manual_seed(0)
        model = build_model("swin_tiny", **{"drop_path": 0.0} | options).train()
        torch.manual_seed(1)
        return model(IMAGES).features

    assert not torch.allclose(features(), features(**options), atol=1e-4)


def test_bad_options_are_refused() -> None:
    for options, message in [
        ({"window": 1}, "window: got 1, allowed: 2 or more"),
        ({"pooling": "mean"}, "pooling: got 'mean', allowed: gem, avg, max"),
        ({"drop_path": -0.1}, "drop_path: got -0.1"),
        ({"attention_dropout": 1.0}, "attention_dropout: got 1.0"),
        ({"stride": 4}, "unknown option stride; allowed: window, pooling"),
    ]:
        with pytest.raises(ValueError, match=message), torch.device("meta"):
            build_model("swin_tiny", **options)


def test_renormalisation_cameras_checkpointing_and_freezing() -> None:
    torch.manual_seed(0)
    model = build_model("swin_tiny", 3, renorm="batch", num_cameras=2, cam_factor=1.0)
    assert isinstance(model.head.bottleneck, BatchRenorm1d)
    camids = torch.tensor([0, 1])
    difference = model.eval()(IMAGES, camids).embeddings - model(IMAGES, camids.flip(0)).embeddings
    vectors = model.head.cameras.vectors
    assert torch.allclose(difference[0], vectors[0] - vectors[1], atol=1e-5)
    gradients = []
    for blocks in (0, 12):
        if blocks:
            assert checkpoint_activations(model) == blocks
        torch.manual_seed(1)
        model.train().zero_grad()
        model(IMAGES, camids).features.square().sum().backward()
        gradients.append(model.stage2.downsample.reduction.weight.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], atol=1e-4)
    frozen = FrozenBackbone(model)
    frozen.freeze()
    model.train().zero_grad()
    frozen.hold()
    assert not model.stage3.blocks[1].drop_path.training
    model(IMAGES, camids).logits.square().sum().backward()
    assert model.stage1.blocks[0].mlp.fc1.weight.grad is None and model.head.classifier.weight.grad is not None


@pytest.mark.parametrize("name", ["swin_tiny", pytest.param("swinv2_tiny", marks=pytest.mark.slow)])
@torch.no_grad()
def test_the_batch_stays_free_in_export(name: str, shallow: None) -> None:
    # Maps that windows do not fill.
    model, images = lively(build_model(name)).eval(), torch.randn(5, 3, 48, 24)
    batch = {"images": {0: torch.export.Dim("batch", min=1)}}
    exported = torch.export.export(model, (images[:2],), dynamic_shapes=batch, strict=False)
    assert torch.allclose(exported.module()(images).embeddings, model(images).embeddings, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_onnx_computes_the_same(name: str, tmp_path: Path) -> None:
    model = lively(build_model(name))
    card = Card(name, {}, 0, model.embedding_size, Preprocessing(48, 24))
    save_checkpoint(tmp_path / "swin.safetensors", model.state_dict(), card)
    assert export_onnx(tmp_path / "swin.safetensors", tmp_path / "swin.onnx").min_cosine > 0.99999  # batches of 1 and 5


def test_the_command_trains_it(tiny_market: Path, tmp_path: Path, shallow: None) -> None:
    words = ["--root", tiny_market, "--out", tmp_path, "--backbone", "swin_tiny", "--backbone-options", "window=4"]
    words += ["--height", 64, "--width", 32, "--bs", 16, "--epochs", 1, "--state-every", 0, "--threads", 1, "--sie"]
    main(parse_config(TrainConfig, list(map(str, words))))
    _, card = load_checkpoint(tmp_path / "model.safetensors")
    assert card.options == {"window": 4, "num_cameras": 3, "cam_factor": 1.0}
    assert card.scores[0]["scores"]["num_valid"] == 18
