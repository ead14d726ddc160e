from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from reid.checkpoint import Card, save_checkpoint
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.export import export_onnx
from reid.models import ReIDOutput, build_model

# timm's own tiny networks: convolutional, transformer, and one whose classifier hides a hidden layer.
NAMES = ["test_resnet", "test_vit", "mobilenetv3_small_050"]
IMAGES = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_one_output_in_every_mode(name: str) -> None:
    model = build_model(f"timm:{name}", 7)
    for mode in (True, False):
        output = model.train(mode)(IMAGES, torch.zeros(4, dtype=torch.int64))
        assert isinstance(output, ReIDOutput)
        assert output.features.shape == output.embeddings.shape == (4, model.embedding_size)
        assert output.logits.shape == (4, 7)
    assert build_model(f"timm:{name}").eval()(IMAGES).logits is None


@pytest.mark.parametrize("name", NAMES)
def test_features_are_what_timm_gives_without_a_classifier(name: str) -> None:
    model = build_model(f"timm:{name}").eval()
    with torch.no_grad():
        assert torch.allclose(model(IMAGES).features, model.trunk(IMAGES), atol=1e-5)


def test_options_change_the_model() -> None:
    def features(**options: object) -> torch.Tensor:
        torch.manual_seed(0)
        return build_model("timm:test_resnet", **options).eval()(IMAGES).features

    usual = features()
    assert features(projection_dim=16).shape == (4, 16)
    assert torch.allclose(features(pooling="avg"), usual, atol=1e-5)  # this network averages by itself
    assert not torch.allclose(features(pooling="max"), usual)
    assert not torch.allclose(features(pooling="gem"), usual)
    assert build_model("timm:test_resnet", renorm="batch").train()(IMAGES).logits is None
    fixed = build_model("timm:test_vit", image_size=(64, 32))
    assert fixed.trunk.patch_embed.img_size == (64, 32)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="timm has no 'resnett18'; near it: resnet18"):
        build_model("timm:resnett18")
    with pytest.raises(ValueError, match="unknown option attention; allowed: pretrained, weights, projection_dim"):
        build_model("timm:test_resnet", attention="se")
    with pytest.raises(ValueError, match="pooling: got 'mean', allowed: timm, gem, avg, max"):
        build_model("timm:test_resnet", pooling="mean")
    with pytest.raises(ValueError, match=r"gives \(4, .*, no map"):
        build_model("timm:test_vit", pooling="gem")(IMAGES)
    with pytest.raises(ValueError, match="takes any size"):
        build_model("timm:test_resnet", image_size=(64, 32))
    with pytest.raises(ValueError, match="projection_dim"):
        build_model("timm:test_resnet", projection_dim=-1)
    with pytest.raises(ValueError, match="choose another image size"):
        build_model("timm:test_vit")(torch.randn(2, 3, 60, 30))
    with pytest.raises(ValueError, match="timm:NAME"):
        build_model("test_resnet")


def test_pretrained_weights_come_from_a_file_alone(tmp_path: Path) -> None:
    donor = timm.create_model("test_resnet")
    save_file(donor.state_dict(), tmp_path / "weights.safetensors")
    model = build_model("timm:test_resnet", pretrained=True, weights=str(tmp_path / "weights.safetensors")).eval()
    assert torch.equal(model.trunk.conv1[0].weight, donor.conv1[0].weight)
    with pytest.raises(FileNotFoundError, match=r"checkpoints.timm.test_resnet\.safetensors: no pretrained .*https://"):
        build_model("timm:test_resnet", pretrained=True)
    with pytest.raises(ValueError, match="without pretrained"):
        build_model("timm:test_resnet", weights="x.safetensors")
    with pytest.raises(ValueError, match=r"allowed: a \.safetensors file"):
        build_model("timm:test_resnet", pretrained=True, weights="x.pth")
    save_file({"nothing": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: lacks \d+ parameters of timm:test_resnet"):
        build_model("timm:test_resnet", pretrained=True, weights=str(tmp_path / "other.safetensors"))
    (tmp_path / "broken.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"broken\.safetensors"):
        build_model("timm:test_resnet", pretrained=True, weights=str(tmp_path / "broken.safetensors"))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_checkpoints_rebuild_themselves_and_export(name: str, tmp_path: Path) -> None:
    size = Preprocessing(64, 32)
    model = build_model(f"timm:{name}", 3, projection_dim=16, renorm="batch")
    # The weights that the training began from are gone.
    options = {
        "projection_dim": 16,
        "renorm": "batch",
        "pretrained": True,
        "weights": str(tmp_path / "gone.safetensors"),
    }
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model.state_dict(), Card(f"timm:{name}", options, 3, 16, size))
    crops = [np.random.default_rng(0).integers(0, 256, (60, 30, 3), dtype=np.uint8) for _ in range(3)]
    ours = Embedder(path, device="cpu")(crops)
    assert np.allclose(ours, Embedder.from_model(model, size)(crops), atol=1e-5)
    export_onnx(path, tmp_path / "model.onnx")
    assert np.allclose(ours, Embedder(tmp_path / "model.onnx", device="cpu")(crops), atol=1e-3)
