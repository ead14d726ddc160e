import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reid.checkpoint import Card, save_checkpoint
from reid.data.base import Sample
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.evaluation import embed_samples
from reid.export import export_onnx
from reid.models import build_model

SIZE = Preprocessing(64, 32)
OPTIONS = {"num_cameras": 3, "cam_factor": 2.0}
VIT = "timm:test_vit"
SMALL = "timm:test_resnet"


def crops(count: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (60, 30, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("cameras") / "model.safetensors"
    model = build_model(SMALL, 3, **OPTIONS)
    torch.nn.init.normal_(model.head.cameras.vectors, generator=torch.Generator().manual_seed(1))
    save_checkpoint(path, model.state_dict(), Card(SMALL, OPTIONS, 3, model.embedding_size, SIZE))
    return path


def test_the_vector_is_added_behind_the_neck_in_training_and_inference_alike() -> None:
    torch.manual_seed(0)
    plain = build_model("seres18", 5)
    model = build_model("seres18", 5, **OPTIONS)
    assert model.load_state_dict(plain.state_dict(), strict=False).missing_keys == ["head.cameras.vectors"]
    images, camids = torch.randn(4, 3, 64, 32), torch.tensor([0, 2, 2, 1])
    for mode in (True, False):
        expected, output = plain.train(mode)(images), model.train(mode)(images, camids)
        added = 2.0 * model.head.cameras.vectors[camids]
        assert torch.allclose(output.embeddings, expected.embeddings + added, atol=1e-5)
        assert torch.allclose(output.features, expected.features, atol=1e-5)
        assert torch.allclose(output.logits, model.head.classifier(output.embeddings))
    output.embeddings.sum().backward()
    assert torch.equal(model.head.cameras.vectors.grad[:, 0], 2.0 * torch.tensor([1.0, 1.0, 2.0]))


def test_a_factor_of_zero_is_exactly_off() -> None:
    torch.manual_seed(0)
    plain = build_model("seres18", 5).train()
    torch.manual_seed(0)
    off = build_model("seres18", 5, num_cameras=3, cam_factor=0.0).train()
    assert list(plain.state_dict()) == list(off.state_dict())
    images = torch.randn(4, 3, 64, 32)
    camids = torch.tensor([0, 1, 2, 9])
    assert torch.equal(plain(images).embeddings, off(images, camids).embeddings)
    assert torch.equal(plain.eval()(images, camids).embeddings, off.eval()(images).embeddings)


@pytest.mark.parametrize("name", ["cares18", VIT])
def test_missing_and_unknown_cameras_are_refused(name: str) -> None:
    model = build_model(name, **OPTIONS).eval()
    images = torch.randn(2, 3, 64, 32)
    with pytest.raises(ValueError, match="camids: got none, but this model was trained with 3 cameras"):
        model(images)
    with pytest.raises(ValueError, match="camids: got 3, allowed: 0 to 2"):
        model(images, torch.tensor([0, 3]))


def test_tokens_of_a_transformer_get_the_vector() -> None:
    model = build_model(VIT, **OPTIONS).eval()
    assert model.head.cameras is None
    tokens = []
    model.trunk.pos_drop.register_forward_hook(lambda module, inputs, output: tokens.append(output - inputs[0]))
    images, camids = torch.randn(2, 3, 64, 32), torch.tensor([1, 2])
    with torch.no_grad():
        first, second = model(images, camids), model(images, camids.flip(0))
    expected = 2.0 * model.trunk.pos_drop.cameras.vectors[camids][:, None].expand_as(tokens[0])
    assert torch.allclose(tokens[0], expected, atol=1e-5)
    assert not torch.allclose(first.embeddings, second.embeddings)
    assert model.trunk.pos_drop.camids is None


def test_embedder_takes_cameras_a_crop_or_one_for_all(checkpoint: Path) -> None:
    embedder = Embedder(checkpoint, device="cpu", batch_size=3)
    assert embedder.needs_cameras
    mixed = embedder(crops(), [0, 1, 2, 1])
    fixed = [Embedder(checkpoint, device="cpu", camera=camera) for camera in range(3)]
    assert not fixed[0].needs_cameras
    for row, camera in enumerate([0, 1, 2, 1]):
        assert np.allclose(mixed[row], fixed[camera](crops())[row], atol=1e-5)
    assert not np.allclose(fixed[0](crops()), fixed[1](crops()), atol=1e-2)
    assert np.array_equal(fixed[1](crops(), [1] * 4), fixed[1](crops()))
    for camids, message in [
        (None, "got none"),
        ([0, 1], r"got shape \(2,\), allowed: \(4,\)"),
        ([0, 1, 2, 3], "got 3, allowed: 0 to 2"),
        ([0, 1, 2, -1], "got -1, allowed: 0 to 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            embedder(crops(), camids)
    with pytest.raises(ValueError, match=r"got 2, but model\.safetensors is fixed to camera 1"):
        fixed[1](crops(), [1, 1, 2, 1])
    for camera in (3, -1):
        with pytest.raises(ValueError, match=f"camera: got {camera}, allowed: 0 to 2"):
            Embedder(checkpoint, device="cpu", camera=camera)


def test_models_without_cameras_take_them_and_give_the_same(tmp_path: Path) -> None:
    model = build_model(SMALL)
    embedder = Embedder.from_model(model, SIZE)
    assert not embedder.needs_cameras
    assert np.array_equal(embedder(crops()), embedder(crops(), [5, 6, 7, 8]))
    assert np.array_equal(embedder(crops()), Embedder.from_model(model, SIZE, camera=4)(crops()))


def test_export_bakes_one_camera_in(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert export_onnx(checkpoint, path, camera=1).min_cosine > 0.9999
    embedder = Embedder(path, device="cpu")
    assert not embedder.needs_cameras
    assert np.allclose(embedder(crops()), Embedder(checkpoint, device="cpu", camera=1)(crops()), atol=1e-3)
    assert json.loads(path.with_name("model.onnx.json").read_text())["options"]["camera"] == 1
    assert np.array_equal(embedder(crops(), [1] * 4), embedder(crops()))
    with pytest.raises(ValueError, match=r"got 0, but model\.onnx is fixed to camera 1"):
        embedder(crops(), [1, 0, 1, 1])
    with pytest.raises(ValueError, match=r"camera: got 2, but model\.onnx was exported for camera 1"):
        Embedder(path, device="cpu", camera=2)
    for camera in (None, 3):
        with pytest.raises(ValueError, match=f"camera: got {camera}, allowed: 0 to 2"):
            export_onnx(checkpoint, path, camera=camera)
    plain = build_model(SMALL)
    card = Card(SMALL, {}, 0, plain.embedding_size, SIZE)
    save_checkpoint(tmp_path / "p.safetensors", plain.state_dict(), card)
    with pytest.raises(ValueError, match="camera: got 1, allowed: none"):
        export_onnx(tmp_path / "p.safetensors", path, camera=1)


def test_export_of_a_transformer_with_cameras(tmp_path: Path) -> None:
    model = build_model(VIT, **OPTIONS)
    torch.nn.init.normal_(model.trunk.pos_drop.cameras.vectors)
    save_checkpoint(tmp_path / "vit.safetensors", model.state_dict(), Card(VIT, OPTIONS, 0, model.embedding_size, SIZE))
    assert export_onnx(tmp_path / "vit.safetensors", tmp_path / "vit.onnx", camera=2).min_cosine > 0.9999
    ours = Embedder(tmp_path / "vit.safetensors", device="cpu", camera=2)(crops())
    assert np.allclose(Embedder(tmp_path / "vit.onnx", device="cpu")(crops()), ours, atol=1e-3)


def test_evaluation_tells_each_image_its_camera(checkpoint: Path, tmp_path: Path) -> None:
    import cv2

    samples = []
    for index, image in enumerate(crops()):
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), image[:, :, ::-1])
        samples.append(Sample(str(path), pid=0, camid=index % 3, frame=0, source="test"))
    embedder = Embedder(checkpoint, device="cpu")
    expected = embedder(crops(), [0, 1, 2, 0])
    assert np.allclose(embed_samples(embedder, samples, "", quiet=True), expected, atol=1e-5)
