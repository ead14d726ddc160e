"""Models of tracklets: temporal poolings against plain loops, what the order of frames does, every name built."""

import pytest
import torch
import torch.nn.functional as F

from reid.models import build_model, list_models
from reid.models.video import build_video_model, list_video_models
from reid.models.video.resnet3d import BasicBlock3d, ZeroPadShortcut, resnet3d18, resnet3d50
from reid.models.video.temporal import AttentionPooling, AveragePooling, LSTMPooling

SIZE = {"height": 32, "width": 16}


def clips(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(name: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_video_model(name, num_classes=5, **SIZE, **options).eval()  # type: ignore[arg-type]


def test_average_is_the_mean() -> None:
    features = clips(2, 3, 4)
    pooled = AveragePooling(4, 8, (2, 1))(features, clips(2, 3, 8, 2, 1))
    expected = torch.stack([sum(features[b, t] for t in range(3)) / 3 for b in range(2)])  # type: ignore[misc]
    assert torch.allclose(pooled, expected)


def test_attention_against_a_loop() -> None:
    torch.manual_seed(0)
    layer = AttentionPooling(4, 6, (3, 2), hidden=5)
    features, maps = clips(2, 4, 4), clips(2, 4, 6, 3, 2, seed=1)
    weights = layer.weights(maps)
    assert torch.allclose(weights.sum(dim=1), torch.ones(2)) and bool((weights > 0).all())
    for b in range(2):
        hidden = [
            torch.stack([(layer.spatial.weight[k] * maps[b, t]).sum() + layer.spatial.bias[k] for k in range(5)]).relu()
            for t in range(4)
        ]
        scores = []
        for t in range(4):
            score = layer.temporal.bias[0].clone()
            for offset in (-1, 0, 1):
                if 0 <= t + offset < 4:
                    score = score + layer.temporal.weight[0, :, offset + 1] @ hidden[t + offset]
            scores.append(score)
        expected = torch.softmax(torch.stack(scores), dim=0)
        assert torch.allclose(weights[b], expected, atol=1e-5)
        pooled = sum(expected[t] * features[b, t] for t in range(4))
        assert torch.allclose(layer(features, maps)[b], pooled, atol=1e-5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"got maps of \(2, 2\), allowed: \(3, 2\)"):
        layer(features, maps[:, :, :, :2])


def test_lstm_step_by_step() -> None:
    torch.manual_seed(0)
    layer = LSTMPooling(4, 6, (1, 1), hidden=3)
    features = clips(2, 5, 4)
    hidden, cell, outputs = torch.zeros(2, 3), torch.zeros(2, 3), []
    lstm = layer.lstm
    for t in range(5):
        gates = F.linear(features[:, t], lstm.weight_ih_l0, lstm.bias_ih_l0)
        gates = gates + F.linear(hidden, lstm.weight_hh_l0, lstm.bias_hh_l0)
        enter, forget, candidate, leave = gates.chunk(4, dim=1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        outputs.append(hidden)
    assert torch.allclose(layer(features, torch.empty(0)), torch.stack(outputs).mean(dim=0), atol=1e-6)


@pytest.mark.parametrize("name", list_video_models())
def test_every_model_gives_one_embedding_a_tracklet(name: str) -> None:
    model = build(name)
    with torch.no_grad():
        outputs = [model(clips(2, frames, 3, 32, 16), torch.zeros(2, dtype=torch.int64)) for frames in (1, 5)]
    for output in outputs:
        assert output.features.shape == output.embeddings.shape == (2, model.embedding_size)
        assert output.logits.shape == (2, 5)
    assert build_video_model(name, **SIZE)(clips(2, 2, 3, 32, 16)).logits is None
    with pytest.raises(ValueError, match=r"allowed: \(B, T, 3, H, W\)"):
        model(clips(2, 3, 32, 16))


@pytest.mark.parametrize(("name", "matters"), [("average", False), ("attention", True), ("lstm", True)])
def test_order_of_frames(name: str, matters: bool) -> None:
    model = build(name)
    images = clips(1, 4, 3, 32, 16)
    with torch.no_grad():
        first, second = model(images).features, model(images.flip(1)).features
    assert torch.allclose(first, second, atol=1e-5) != matters


def test_the_inner_size_of_poolings_is_an_option() -> None:
    assert build("attention").temporal.spatial.out_channels == 256
    assert build("attention", hidden=8).temporal.spatial.out_channels == 8
    assert (build("lstm").embedding_size, build("lstm", hidden=8).embedding_size) == (512, 8)


def test_order_of_frames_matters_to_3d_convolutions() -> None:
    model = build("resnet3d18")
    images = clips(1, 4, 3, 32, 16)
    with torch.no_grad():
        assert not torch.allclose(model(images).features, model(images.flip(1)).features, atol=1e-5)


def test_average_model_is_the_mean_of_the_backbone() -> None:
    model = build("average", backbone="seres18")
    torch.manual_seed(0)
    image_model = build_model("seres18").eval()
    images = clips(2, 3, 3, 32, 16)
    with torch.no_grad():
        frames = torch.stack([image_model(images[:, t]).features for t in range(3)], dim=1)
        assert torch.allclose(model(images).features, frames.mean(dim=1), atol=1e-4)


@pytest.mark.parametrize("backbone", list_models())
def test_every_backbone_pools_over_time(backbone: str) -> None:
    torch.manual_seed(0)
    model = build_video_model("attention", backbone, 3, height=64, width=32, hidden=4)
    output = model(clips(2, 2, 3, 64, 32))
    assert output.embeddings.shape == (2, model.embedding_size)
    output.logits.sum().backward()
    # Under several processes a parameter without a gradient is an error.
    assert all(p.grad is not None for n, p in model.named_parameters() if n.startswith("frames") and p.requires_grad)


def test_shortcut_a_takes_every_second_position() -> None:
    x = clips(1, 2, 3, 5, 4)
    y = ZeroPadShortcut(3, 2)(x)
    assert y.shape == (1, 3, 2, 3, 2) and bool((y[:, 2] == 0).all())
    for t in range(2):
        for h in range(3):
            for w in range(2):
                assert torch.equal(y[0, :2, t, h, w], x[0, :, 2 * t, 2 * h, 2 * w])
    assert BasicBlock3d(2, 3, 2, ZeroPadShortcut(3, 2))(x).shape == y.shape


def test_resnet3d_has_the_papers_size_and_strides() -> None:
    def count(model: torch.nn.Module) -> float:
        return sum(p.numel() for p in model.parameters()) / 1e6

    assert round(count(resnet3d18()), 1) == 33.0 and round(count(resnet3d50()), 1) == 46.2
    assert not any("downsample" in name for name, _ in resnet3d18().named_parameters())
    with torch.no_grad():
        assert [resnet3d18(last_stride=s).layer4(torch.zeros(1, 256, 2, 4, 2)).shape for s in (1, 2)] == [
            (1, 512, 2, 4, 2),
            (1, 512, 1, 2, 1),
        ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mean",), "video model: got 'mean', allowed: average"),
        (("average", "vgg"), "backbone: got 'vgg'"),
        (("resnet3d18", "cares18"), "a network of its own"),
    ],
)
def test_unknown_names_are_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_video_model(*arguments)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("average", {"cam_factor": 1.0, "num_cameras": 2}, "cam_factor, num_cameras: .* images only"),
        ("average", {"width_factor": 2}, "unknown option width_factor"),
        ("average", {"hidden": 4}, "hidden: got 4 with average, allowed: 1 or more, with attention and lstm"),
        ("lstm", {"hidden": 0}, "hidden: got 0 with lstm"),
        ("resnet3d18", {"hidden": 4}, "unknown option hidden"),
        ("resnet3d18", {"ibn": True}, "unknown option ibn; allowed: last_stride"),
        ("resnet3d50", {"last_stride": 3}, "last_stride: got 3"),
    ],
)
def test_unknown_options_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_video_model(name, **options)  # type: ignore[arg-type]
