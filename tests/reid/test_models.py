from typing import Any

import pytest
import torch

from reid.models import ReIDOutput, build_model, list_models
from reid.models.layers import IBN, CoordinateAttention, GeM, SEBlock, TripletAttention


def parameter_count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", list_models())
def test_every_model_returns_one_output_in_every_mode(name: str) -> None:
    model = build_model(name, num_classes=7)
    images = torch.randn(2, 3, 64, 32)
    for mode in (True, False):
        output = model.train(mode)(images)
        assert isinstance(output, ReIDOutput)
        assert output.features.shape == output.embeddings.shape == (2, model.embedding_size)
        assert output.logits.shape == (2, 7)
    assert build_model(name).eval()(images).logits is None


@pytest.mark.parametrize(
    ("name", "options", "millions"),
    [("cares18", {"attention": "triplet"}, 11.2), ("cares18", {}, 11.4), ("seres18", {}, 11.3)],
)
def test_parameter_counts(name: str, options: dict[str, str], millions: float) -> None:
    assert parameter_count(build_model(name, **options)) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("name", list_models())
@torch.no_grad()
def test_every_option_changes_the_model(name: str) -> None:
    def build(**options: Any) -> torch.nn.Module:
        torch.manual_seed(0)
        return build_model(name, **options).eval()

    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    usual = build()(images).features
    choices: list[dict[str, Any]] = [{"ibn": False}, {"pooling": "avg"}, {"pooling": "max"}]
    if name == "cares18":
        choices += [{"attention": attention} for attention in ("triplet", "se", "none")]
    for options in choices:
        model = build(**options)
        assert not torch.allclose(model(images).features, usual), options


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
    with pytest.raises(ValueError, match="cares18, seres18"):
        build_model("resnet")
    with pytest.raises(ValueError, match="unknown option atention; allowed: attention"):
        build_model("cares18", atention="triplet")
    with pytest.raises(ValueError, match="coordinate, triplet, se, none"):
        build_model("cares18", attention="eca")
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


def test_embeddings_are_the_batch_norm_of_features_with_no_shift() -> None:
    model = build_model("seres18", 3).train()
    output = model(torch.randn(8, 3, 64, 32))
    assert torch.allclose(output.embeddings.mean(dim=0), torch.zeros(512), atol=1e-4)
    assert not model.head.bottleneck.bias.requires_grad
    assert model.head.classifier.bias is None
