import inspect
from typing import Any

import pytest
import torch

from reid.data.images import Preprocessing
from reid.models import MODELS, ReIDOutput, build_model, list_models
from reid.models.agw import NonLocal
from reid.models.layers import IBN, CoordinateAttention, EfficientMultiScaleAttention, GeM, SEBlock, TripletAttention
from reid.models.plr_osnet import PositionAttention
from reid.reid_model import ReIDModel


@pytest.mark.parametrize("name", list_models())
def test_every_model_learns_and_returns_one_output_in_every_mode(name: str) -> None:
    model = build_model(name, num_classes=7).to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 32).contiguous(memory_format=torch.channels_last)
    for mode in (False, True):
        output = model.train(mode)(images)
        assert isinstance(output, ReIDOutput)
        assert output.features.shape == output.embeddings.shape == (2, model.embedding_size)
        assert output.logits.shape == (2, 7)
        assert sum(branch.features.shape[1] for branch in output.branches) in (0, model.embedding_size)
    parts = [branch.logits for branch in output.branches] or [output.logits]
    (output.features.square().sum() + sum(logits.square().sum() for logits in parts)).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert not any(name.endswith("classifier.weight") for name in build_model(name).state_dict())


# Values that differ from the default; a model's own ones behind its name.
CHOICES: dict[str, list[dict[str, Any]]] = {
    "attention": [{"attention": value} for value in ("triplet", "ema", "se", "none")],
    "branches": [{"branches": False}],
    "embedding_size": [{"embedding_size": 256}],
    "hidden": [{"hidden": 0}],
    "ibn": [{"ibn": False}],
    "last_stride": [{"last_stride": 2}],
    "non_local": [{"non_local": "half"}],
    "pooling": [{"pooling": "max"}],
    "stem_pool": [{"stem_pool": "ceil"}],
    "head": [{"head": "bnneck"}, {"head": "bnneck", "pooling": "gem"}, {"head": "bnneck", "pooling": "max"}],
    "width_factor": [{"width_factor": 0.5}],
    "osnet_x0_25 pooling": [],
    "cares18 pooling": [{"pooling": "avg"}, {"pooling": "max"}],
    # The rest is ResNet's.
    **{f"agw {option}": [] for option in ("pooling", "last_stride", "stem_pool")},
}
OWN = {name: list(inspect.signature(MODELS[name]).parameters)[1:] for name in list_models()}


@pytest.mark.parametrize("name", ["cares18", "sedense18", "resnet18", "agw", "osnet_x0_25", "reidlite"])
@torch.no_grad()
def test_every_option_changes_the_model(name: str) -> None:
    def build(**options: Any) -> tuple[torch.Tensor, list[torch.Size]]:
        torch.manual_seed(0)
        model = build_model(name, 3, **options).eval()
        return model(images).features, [tensor.shape for tensor in model.state_dict().values()]

    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    seen = [build()]
    for option in OWN[name]:
        for choice in CHOICES.get(f"{name} {option}", CHOICES[option]):
            found = build(**choice)
            for features, shapes in seen:
                assert found[1] != shapes or not torch.allclose(found[0], features), choice
            seen.append(found)


def test_every_option_of_every_cnn_is_in_the_table() -> None:
    cnns = [name for name in list_models() if not name.startswith(("vit", "swin"))]
    assert {option for name in cnns for option in OWN[name]} <= set(CHOICES)


@pytest.mark.parametrize("name", ["cares18", "resnet18", "osnet_x0_25"])
def test_wrong_values_of_options_list_the_known_ones(name: str) -> None:
    allowed = {
        "attention": "coordinate, triplet, ema, se, none",
        "head": "published, bnneck",
        "last_stride": "1, 2",
        "stem_pool": "padded, ceil",
    }
    for option in set(OWN[name]) & set(allowed):
        with pytest.raises(ValueError, match=f"{option}: got .*, allowed: {allowed[option]}"):
            build_model(name, **{option: 3})


def test_grown_rows_point_to_the_centroids_and_are_as_long_as_the_old() -> None:
    head = build_model("seres18", 3).head
    torch.nn.init.normal_(head.classifier.weight)
    old = head.classifier.weight.detach().clone()
    centroids = 50 * torch.randn(2, 512)
    head.grow(centroids)
    rows = head.classifier.weight.detach()
    assert torch.equal(rows[:3], old) and head.classifier.out_features == 5
    assert torch.allclose(rows[3:].norm(dim=1), old.norm(dim=1).mean().expand(2))
    assert torch.allclose(torch.cosine_similarity(rows[3:], centroids), torch.ones(2))
    assert head.classifier.weight.requires_grad
    bare = build_model("seres18").head
    bare.grow(centroids)
    assert bare.classifier.weight.norm(dim=1).tolist() == pytest.approx([1.0, 1.0])
    bare.grow(centroids[:0])
    assert bare.classifier.out_features == 2
    with pytest.raises(ValueError, match=r"centroids: got shape \(2, 5\), allowed: \(K, 512\)"):
        head.grow(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="NaN"):
        head.grow(torch.full((1, 512), torch.nan))


def test_last_stride_is_one() -> None:
    model = build_model("cares18").eval()
    maps = []
    model.layer4.register_forward_hook(lambda *arguments: maps.append(arguments[2].shape))
    model(torch.zeros(1, 3, 256, 128))
    assert maps[0] == (1, 512, 16, 8)


def test_unknown_names_and_options_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"backbone: got 'resnet', allowed: agw, cares18, .*, timm:NAME"):
        build_model("resnet")
    with pytest.raises(ValueError, match="unknown option atention; allowed: attention"):
        build_model("cares18", atention="triplet")
    with pytest.raises(ValueError, match="pooling: got 'gem' with head published, allowed: avg, or head bnneck"):
        build_model("osnet_x0_25", pooling="gem")
    with pytest.raises(ValueError, match="non_local: got 'none', allowed: single, half"):
        build_model("agw", non_local="none")
    with pytest.raises(ValueError, match="num_classes"):
        build_model("cares18", -1)


def test_gem_lies_between_mean_and_maximum_and_is_the_mean_for_one() -> None:
    x = torch.rand(2, 3, 4, 5) + 0.1
    assert torch.allclose(GeM(p=1.0)(x), x.mean(dim=(2, 3)), atol=1e-6)
    pooled = GeM()(x)
    assert (pooled > x.mean(dim=(2, 3))).all() and (pooled < x.amax(dim=(2, 3))).all()
    expected = sum(value**3 for value in x[1, 2].flatten().tolist()) / 20
    assert pooled[1, 2].item() == pytest.approx(expected ** (1 / 3), rel=1e-5)


def test_ibn_normalises_the_first_half_per_image_and_the_rest_per_batch() -> None:
    x = torch.randn(4, 6, 5, 5) * torch.tensor([1.0, 5.0, 1.0, 9.0]).view(4, 1, 1, 1)
    y = IBN(6).train()(x)
    assert torch.allclose(y[:, :3].std(dim=(2, 3), unbiased=False), torch.ones(4, 3), atol=1e-3)
    assert y[0, 3:].std() < 0.5 < y[3, 3:].std()


def test_se_gate_follows_its_formula() -> None:
    block = SEBlock(16)
    x = torch.randn(2, 16, 3, 4)
    mean = x.mean(dim=(2, 3))
    hidden = torch.relu(mean @ block.reduce.weight[:, :, 0, 0].T + block.reduce.bias)
    gate = torch.sigmoid(hidden @ block.expand.weight[:, :, 0, 0].T + block.expand.bias)
    assert torch.allclose(block(x), x * gate[:, :, None, None], atol=1e-6)
    assert block.reduce.out_channels == 8


def test_coordinate_attention_gate_is_a_product_of_a_row_and_a_column() -> None:
    layer = CoordinateAttention(16).eval()
    x = torch.randn(1, 16, 6, 4)
    gate = (layer(x) / x)[0, 3]
    assert torch.linalg.matrix_rank(gate, tol=1e-4) == 1
    assert gate.std() > 0


def test_triplet_attention_sees_all_three_pairs_of_axes() -> None:
    layer = TripletAttention(8).eval()
    x = torch.randn(1, 8, 6, 5)
    expected = torch.zeros_like(x)
    for name, order in (
        ("height_width", (0, 1, 2, 3)),
        ("channel_width", (0, 2, 1, 3)),
        ("channel_height", (0, 3, 2, 1)),
    ):
        gate = getattr(layer, name)
        turned = x.permute(order)
        pooled = torch.stack([turned.amax(1), turned.mean(1)], dim=1)
        turned = turned * torch.sigmoid(gate.norm(gate.convolution(pooled)))
        expected += turned.permute(order) / 3
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_efficient_multi_scale_attention_follows_its_formula_group_by_group() -> None:
    layer = EfficientMultiScaleAttention(6, groups=2).eval()
    torch.nn.init.normal_(layer.norm.weight)
    x = torch.randn(2, 6, 4, 5)
    expected = torch.zeros_like(x)
    for image in range(2):
        for group in (slice(0, 3), slice(3, 6)):
            part = x[image, group]  # (3, 4, 5)
            weight, bias = layer.conv1x1.weight[:, :, 0, 0], layer.conv1x1.bias
            rows = torch.sigmoid(torch.einsum("oc,ch->oh", weight, part.mean(2)) + bias[:, None])
            columns = torch.sigmoid(torch.einsum("oc,cw->ow", weight, part.mean(1)) + bias[:, None])
            first = part * rows[:, :, None] * columns[:, None, :]
            flat = first.flatten(1)
            first = (first - flat.mean(1)[:, None, None]) / (flat.var(1, correction=0) + 1e-5).sqrt()[:, None, None]
            first = first * layer.norm.weight[:, None, None]
            second = layer.conv3x3(part[None])[0]
            crossed = torch.zeros(4, 5)
            for one, other in ((first, second), (second, first)):
                for channel, share in enumerate(torch.softmax(one.mean((1, 2)), 0)):
                    crossed += share * other[channel]
            expected[image, group] = part * torch.sigmoid(crossed)
    assert torch.allclose(layer(x), expected, atol=1e-5)
    with pytest.raises(ValueError, match="channels: got 48, allowed: multiples of the 32 groups"):
        EfficientMultiScaleAttention(48)


def test_non_local_layer_sums_over_all_pairs_and_begins_as_the_identity() -> None:
    layer = NonLocal(6, 3).eval()
    x = torch.randn(2, 6, 3, 2)
    assert torch.equal(layer(x), x)
    torch.nn.init.normal_(layer.W[1].weight)
    g, theta, phi = (part(x).flatten(2) for part in (layer.g, layer.theta, layer.phi))
    y = torch.zeros(2, 3, 6)
    for i in range(6):
        for j in range(6):
            y[:, :, i] += (theta[:, :, i] * phi[:, :, j]).sum(1, keepdim=True) * g[:, :, j] / 6
    assert torch.allclose(layer(x), x + layer.W(y.view(2, 3, 3, 2)), atol=1e-5)


def test_position_attention_is_a_softmax_over_positions() -> None:
    layer = PositionAttention(16).eval()
    torch.nn.init.constant_(layer.gamma, 0.7)
    x = torch.randn(1, 16, 3, 2)
    queries, keys, values = layer.query_conv(x).flatten(2)[0], layer.key_conv(x).flatten(2)[0], x.flatten(2)[0]
    summed = torch.stack([values @ torch.softmax(keys.T @ queries[:, i], 0) for i in range(6)], dim=1)
    assert torch.allclose(layer(x), x + layer.bn(0.7 * summed.view(1, 16, 3, 2)), atol=1e-5)


def test_plr_osnet_has_a_branch_for_the_whole_and_one_for_four_stripes() -> None:
    model = build_model("plr_osnet", 4).eval()
    maps = []
    model.trunk.conv5.register_forward_hook(lambda *arguments: maps.append(arguments[2]))
    output = model(torch.randn(2, 3, 96, 32))
    assert [branch.features.shape[1] for branch in output.branches] == [512, 2048]
    assert torch.equal(output.logits, output.branches[0].logits)
    assert torch.equal(output.features, torch.cat([branch.features for branch in output.branches], dim=1))
    assert torch.allclose(output.embeddings[:, :512].norm(dim=1), torch.ones(2))
    assert torch.allclose(output.embeddings[:, 512:].norm(dim=1), torch.ones(2))
    for stripe, (top, bottom) in enumerate([(0, 1), (1, 3), (3, 4), (4, 6)]):  # 6 rows
        expected = maps[0][:, :, top:bottom].mean(dim=(2, 3))
        assert torch.allclose(output.branches[1].features[:, 512 * stripe : 512 * (stripe + 1)], expected, atol=1e-6)
    with pytest.raises(ValueError, match="feature maps of 2 rows, allowed: 4 or more"):
        model(torch.randn(1, 3, 32, 32))


def test_heads_with_a_hidden_layer_or_a_bias_grow_too() -> None:
    for name, size in (("sedense18", 256), ("osnet_x0_25", 512)):
        head = build_model(name, 3).eval().head
        torch.nn.init.normal_(head.classifier.bias)
        old = head.classifier
        head.grow(torch.randn(2, size))
        assert torch.equal(head.classifier.weight[:3], old.weight) and head.classifier.out_features == 5
        assert torch.equal(head.classifier.bias[:3], old.bias)
        assert torch.allclose(head.classifier.bias[3:], old.bias.mean())


def test_cameras_move_the_embeddings_of_every_kind_of_head() -> None:
    for name in ("osnet_x0_25", "plr_osnet", "sedense18"):
        model = build_model(name, 3, num_cameras=2, cam_factor=1.0).eval()
        images = torch.randn(1, 3, 64, 32)
        first, second = (model(images, torch.tensor([camera])) for camera in (0, 1))
        assert torch.equal(first.features, second.features)
        assert not torch.allclose(first.embeddings, second.embeddings)


def test_embeddings_are_the_batch_norm_of_features_with_no_shift() -> None:
    model = build_model("seres18", 3).train()
    output = model(torch.randn(8, 3, 64, 32))
    assert torch.allclose(output.embeddings.mean(dim=0), torch.zeros(512), atol=1e-4)
    assert not model.head.bottleneck.bias.requires_grad
    assert model.head.classifier.bias is None


def test_a_new_fit_gives_every_branch_a_new_classifier() -> None:
    model = ReIDModel("plr_osnet", preprocessing=Preprocessing(64, 32))
    for classes in (3, 5):
        model._prepare(classes, projection_dim=0)
        shapes = {name: tuple(t.shape) for name, t in model.model.state_dict().items() if ".classifier." in name}
        assert shapes == {
            "head.whole.classifier.weight": (classes, 512),
            "head.whole.classifier.bias": (classes,),
            "head.parts.classifier.weight": (classes, 2048),
            "head.parts.classifier.bias": (classes,),
        }
