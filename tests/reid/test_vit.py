"""ViT: patches, positions, cameras on the tokens, the jigsaw patch module, foreign weights."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformer_networks import JPM, build, lively

from reid.activation_checkpointing import checkpoint_activations
from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.cluster_features import ClusterableFeatures, embed_for_clusters
from reid.config import parse_config
from reid.continual import grow
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.export import export_onnx
from reid.freezing import FrozenBackbone
from reid.image_reid_train import main
from reid.losses import CombinedLoss
from reid.models import build_model, vit
from reid.models.jigsaw import Jigsaw, jigsaw_order
from reid.models.renorm import BatchRenorm1d
from reid.models.transformer import StochasticDepth
from reid.models.vit_layers import PatchEmbedding, resize_position
from reid.pseudo_labels import PseudoLabels
from reid.train_options import NetworkOptions, TrainConfig

IMAGES = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))


# DeiT's table 1 (arXiv 2012.12877) gives 5, 22 and 86 M parameters with ImageNet's classifier of 1,000 rows.
@pytest.mark.parametrize(
    ("name", "width", "millions", "gflops"),
    [("vit_tiny", 192, 5.5, 1.25), ("vit_small", 384, 21.7, 4.6), ("vit_base", 768, 85.8, 17.6)],
)
def test_sizes(name: str, width: int, millions: float, gflops: float) -> None:
    with torch.device("meta"):
        model, image = build_model(name, image_size=(224, 224)).eval(), torch.empty(1, 3, 224, 224)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            assert model(image).features.shape == (1, width) == (1, model.embedding_size)
    trunk = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("head."))
    assert trunk / 1e6 == pytest.approx(millions, abs=0.05)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gflops, abs=0.05)  # papers count a multiply-add as one


@pytest.mark.parametrize(("stride", "rows", "columns"), [(16, 16, 8), (14, 18, 9), (12, 21, 10)])
def test_patches_overlap(stride: int, rows: int, columns: int) -> None:
    layer = PatchEmbedding(8, 16, stride)
    assert layer.grid(256, 128) == (rows, columns)
    images = torch.randn(1, 3, 256, 128)
    tokens = layer(images)
    assert tokens.shape == (1, rows * columns, 8)
    row, column = 3, 2
    patch = images[0, :, row * stride : row * stride + 16, column * stride : column * stride + 16]
    expected = (layer.proj.weight * patch).sum(dim=(1, 2, 3)) + layer.proj.bias
    assert torch.allclose(tokens[0, row * columns + column], expected, atol=1e-4)


def test_positions_are_interpolated() -> None:
    position = torch.randn(1, 1 + 12, 5)
    assert resize_position(position, (4, 3), (4, 3)) is position
    larger = resize_position(position, (4, 3), (8, 6))
    assert larger.shape == (1, 49, 5) and torch.equal(larger[:, 0], position[:, 0])
    for size in ((8, 6), (3, 2)):
        resized = resize_position(position, (4, 3), size)[0, 1:, 2].reshape(size)
        picture = Image.fromarray(position[0, 1:, 2].reshape(4, 3).numpy()).resize(size[::-1], Image.Resampling.BICUBIC)
        assert np.allclose(resized, np.asarray(picture), atol=1e-4)
    flat = torch.ones(1, 13, 5)
    assert torch.allclose(resize_position(flat, (4, 3), (2, 7)), torch.ones(1, 15, 5), atol=1e-5)
    model = build(image_size=(256, 128)).eval()
    assert model(IMAGES).features.shape == (2, 192) and model.grid == (16, 8)


def test_cameras_are_added_to_the_tokens_with_one_factor() -> None:
    model = build(num_cameras=3, cam_factor=3.0)
    plain = build()
    assert plain.load_state_dict(model.state_dict(), strict=False).unexpected_keys == ["cameras.vectors"]
    camids, tokens = torch.tensor([2, 0]), []
    for network in (model, plain):
        network.pos_drop.register_forward_hook(lambda module, inputs, output: tokens.append(output))
    for mode in (True, False):
        output = model.train(mode)(IMAGES, camids)
        plain.train(mode)(IMAGES)
        added = 3.0 * model.cameras.vectors[camids]
        assert torch.allclose(tokens[-2] - tokens[-1], added[:, None].expand_as(tokens[-1]), atol=1e-5)
    assert not torch.allclose(output.embeddings, model(IMAGES, camids.flip(0)).embeddings)
    with pytest.raises(ValueError, match=r"camids: got none, but .* 3 cameras and cam_factor 3"):
        model(IMAGES)
    with pytest.raises(ValueError, match="camids: got 3, allowed: 0 to 2"):
        model(IMAGES, torch.tensor([0, 3]))
    assert build(num_cameras=3, cam_factor=0.0).cameras is None


@pytest.mark.parametrize(("count", "shift", "groups"), [(8, 2, 2), (128, 5, 2), (210, 4, 2), (441, 5, 2), (10, 3, 4)])
def test_jigsaw_order_is_that_of_a_plain_loop(count: int, shift: int, groups: int) -> None:
    moved = list(range(count))
    for _ in range(shift):
        moved.append(moved.pop(0))
    length = (count + groups - 1) // groups
    pieces = [moved[start : start + length] for start in range(0, count, length)]
    expected = []
    while any(pieces):
        expected += [piece.pop(0) for piece in pieces if piece]
    assert jigsaw_order(count, shift, groups) == expected
    assert count != 8 or expected == [2, 6, 3, 7, 4, 0, 5, 1]


@torch.no_grad()
def test_jigsaw_features_are_those_of_each_part_alone() -> None:
    model = lively(build(**JPM)).eval()
    tokens = model._embed(IMAGES, None)
    for block in model.blocks:
        tokens = block(tokens)
    order = jigsaw_order(10, 5, 2)
    output = model(IMAGES)
    assert len(model.blocks) == 11 and len(output.branches) == 5 and output.features.shape == (2, 5 * 192)
    assert torch.equal(output.logits, output.branches[0].logits)
    assert torch.allclose(output.branches[0].features, model.whole(tokens)[:, 0], atol=1e-5)
    for part in range(4):
        chosen = torch.stack([tokens[:, 1 + place] for place in order[2 * part : 2 * part + 2]], dim=1)
        local = model.local(torch.cat([tokens[:, :1], chosen], dim=1))[:, 0]
        branch, head = output.branches[1 + part], model.head.branches[1 + part]
        assert torch.allclose(branch.features, local, atol=1e-4)
        own = slice((1 + part) * 192, (2 + part) * 192)
        assert torch.allclose(output.features[:, own], local / 4, atol=1e-4)
        assert torch.allclose(output.embeddings[:, own], head.bottleneck(local) / 4, atol=1e-4)
        assert torch.allclose(branch.logits, head.classifier(head.bottleneck(local)), atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": (128, 64)},
        {"patch_size": 8},
        {"stride": 12},
        {"jpm": True},
        {"jpm": True, "jpm_shift": 3},
        {"jpm": True, "jpm_groups": 4},
        {"jpm": True, "jpm_parts": 2},
        {"dropout": 0.2},
        {"attention_dropout": 0.2},
        {"drop_path": 0.5},
    ],
)
@torch.no_grad()
def test_every_option_changes_the_model(options: dict[str, Any]) -> None:
    def outcome(**options: Any) -> list[torch.Tensor]:
        model = build(**{"drop_path": 0.0} | options).train()
        torch.manual_seed(1)
        return [model(IMAGES).features, *model.state_dict().values()]

    usual = outcome(**({"jpm": True} if len(options) > 1 else {}))
    changed = outcome(**options)
    assert [t.shape for t in usual] != [t.shape for t in changed] or not torch.allclose(usual[0], changed[0], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 17}, r"stride: got 17, allowed: 1 to the patch_size \(16\)"),
        ({"stride": 0}, "stride: got 0"),
        ({"patch_size": 0}, "patch_size: got 0, allowed: 1 or more"),
        ({"image_size": (64, 8)}, "image: got 64 x 8, allowed: 16 x 16 or more"),
        ({"jpm_parts": 4}, "jpm_parts: got 4 without jpm"),
        ({"jpm_shift": 5}, "jpm_shift: got 5 without jpm"),
        ({"jpm": True, "jpm_parts": 0}, "jpm_parts: got 0, allowed: 1 or more"),
        ({"drop_path": 1.0}, "drop_path: got 1.0, allowed: 0"),
        ({"dropout": -0.1}, "dropout: got -0.1, allowed: 0"),
        ({"attention_dropout": 1.5}, "attention_dropout: got 1.5"),
        ({"pooling": "gem"}, "unknown option pooling; allowed: image_size, patch_size, stride"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model("vit_tiny", **options)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="image: got 8 x 32"):
        build()(torch.zeros(2, 3, 8, 32))
    tokens = torch.zeros(1, 1 + 3, 4)
    with pytest.raises(ValueError, match="jpm_shift: got 5, allowed: 0 to the 3 patches"):
        Jigsaw(parts=2)(tokens)
    with pytest.raises(ValueError, match="jpm_parts: got 4, allowed: 1 to the 3 patches"):
        Jigsaw(shift=0)(tokens)
    with pytest.raises(ValueError, match="jpm_groups: got 4, allowed: 1 to the 3 patches"):
        Jigsaw(parts=2, shift=0, groups=4)(tokens)


def test_stochastic_depth_keeps_the_mean() -> None:
    layer = StochasticDepth(0.25).train()
    x = torch.ones(20_000, 2)
    y = layer(x)
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3]) and torch.equal(y[:, 0], y[:, 1])
    assert y.mean().item() == pytest.approx(1.0, abs=0.03)
    assert layer.eval()(x) is x
    model = build_model("vit_tiny", drop_path=0.11)
    assert [block.drop_path.probability for block in model.blocks] == pytest.approx([0.01 * i for i in range(12)])


def test_renormalisation_replaces_each_bnneck() -> None:
    model = build(**JPM, renorm="batch")
    assert all(isinstance(head.bottleneck, BatchRenorm1d) for head in model.head.branches)
    assert model.train()(IMAGES).logits.shape == (2, 3)


def test_checkpointed_activations_and_frozen_backbone() -> None:
    plain = build(**JPM, drop_path=0.3)
    saving = copy.deepcopy(plain)
    assert checkpoint_activations(saving) == 15  # eleven blocks, and block and norm of two branches
    for model in (plain, saving):
        torch.manual_seed(1)
        model.train()(IMAGES).embeddings.square().sum().backward()
    for first, second in zip(plain.parameters(), saving.parameters(), strict=True):
        assert first.grad is None or torch.allclose(first.grad, second.grad, atol=1e-5)
    frozen = FrozenBackbone(plain)
    frozen.freeze()
    plain.train().zero_grad()
    frozen.hold()
    assert not plain.blocks[5].drop_path.training and plain.head.branches[2].bottleneck.training
    sum(part.logits.sum() for part in plain(IMAGES).branches).backward()
    assert plain.cls_token.grad is None and plain.local[0].mlp.fc1.weight.grad is None
    assert all(head.classifier.weight.grad is not None for head in plain.head.branches)


def test_each_branch_grows_by_its_own_centroids() -> None:
    model, loss = build(**JPM), CombinedLoss({"cross_entropy": 1.0, "center": 1e-3}, num_classes=3, feature_size=960)
    empty = embed_for_clusters(model, [], Preprocessing(64, 32), torch.device("cpu"), 1)
    names = [f"head.branches.{index}" for index in range(5)]
    assert list(empty.classifier_inputs) == names
    inputs = {name: np.random.default_rng(0).normal(size=(4, 192)).astype(np.float32) for name in names}
    rows = np.zeros((4, 960), np.float32)
    labels = PseudoLabels(np.array([0, 0, 1, -1]), 2, 1, 0.5, 2)
    grow(model, loss, ClusterableFeatures(rows, rows, inputs, np.ones(4, bool)), labels)
    output = model.train()(IMAGES)
    assert all(part.logits.shape == (2, 5) for part in output.branches)
    loss(output.features, output.logits, torch.tensor([3, 4]), output.branches)[0].backward()
    row, third = model.head.branches[2].classifier.weight[4], torch.from_numpy(inputs[names[2]][2])
    assert torch.cosine_similarity(row, third, dim=0).item() == pytest.approx(1.0, abs=1e-4)


def test_backbone_options_reach_the_network() -> None:
    given = NetworkOptions("vit_tiny", backbone_options=("stride=12", "jpm=true", "image-size=[64, 32]"), sie=True)
    options = given.model_options(6, 4)
    assert options == {"stride": 12, "jpm": True, "image_size": [64, 32], "num_cameras": 6, "cam_factor": 3.0}
    assert len(build_model("vit_tiny", 3, **options)(IMAGES, torch.tensor([0, 5])).branches) == 5
    for words, message in [
        (("pooling=gem",), "backbone_options: got pooling, allowed: options without a flag of their own"),
        (("num_cameras=3",), "backbone_options: got num_cameras, allowed"),
        (("stride",), "backbone_options: got 'stride', allowed: NAME=VALUE"),
    ]:
        with pytest.raises(ValueError, match=message):
            NetworkOptions("vit_tiny", backbone_options=words)


def test_the_command_trains_it(tiny_market: Path, tmp_path: Path) -> None:
    words = ["--root", tiny_market, "--out", tmp_path, "--backbone", "vit_tiny", "--backbone-options", "jpm=true"]
    words += ["--height", 64, "--width", 32, "--bs", 16, "--epochs", 1, "--state-every", 0, "--threads", 1, "--sie"]
    main(parse_config(TrainConfig, list(map(str, words))))
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert row["loss/cross_entropy"] > 0 and row["loss/triplet"] > 0
    _, card = load_checkpoint(tmp_path / "model.safetensors")
    assert card.options == {"jpm": True, "image_size": [64, 32], "num_cameras": 3, "cam_factor": 3.0}
    assert card.scores[0]["scores"]["num_valid"] == 18
    assert Embedder(tmp_path / "model.safetensors", device="cpu", camera=1).needs_cameras is False


@torch.no_grad()
def test_the_batch_stays_free_in_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vit, "DEPTH", 2)
    model, images = lively(build(**JPM | {"image_size": (48, 48)})).eval(), torch.randn(5, 3, 64, 32)
    batch = {"images": {0: torch.export.Dim("batch", min=1)}}
    exported = torch.export.export(model, (images[:2],), dynamic_shapes=batch, strict=False)
    assert torch.allclose(exported.module()(images).embeddings, model(images).embeddings, atol=1e-5)


@pytest.mark.slow
def test_onnx_computes_the_same(tmp_path: Path) -> None:
    options = {"jpm": True, "stride": 12, "num_cameras": 2, "cam_factor": 3.0}
    model = lively(build_model("vit_tiny", **options))
    card = Card("vit_tiny", options, 0, model.embedding_size, Preprocessing(64, 32))
    save_checkpoint(tmp_path / "vit.safetensors", model.state_dict(), card)
    parity = export_onnx(tmp_path / "vit.safetensors", tmp_path / "vit.onnx", camera=1)
    assert parity.min_cosine > 0.99999  # batches of 1 and 5
