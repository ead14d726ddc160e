import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from reid.checkpoint import Card, save_checkpoint
from reid.data.images import Preprocessing
from reid.devices import parse_device
from reid.embedder import Embedder
from reid.export import export_onnx
from reid.models import build_model

SIZE = Preprocessing(64, 32)


def crops(count: int = 5) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (40 + 7 * i, 20 + 3 * i, 3), dtype=np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("embedder") / "model.safetensors"
    model = build_model("cares18", 3)
    model.train()(torch.randn(8, 3, 64, 32))  # moves the running statistics away from 0 and 1
    save_checkpoint(path, model.state_dict(), Card("cares18", {}, 3, 512, SIZE))
    return path


def test_checkpoint_gives_the_models_embeddings(checkpoint: Path) -> None:
    from reid.torch_backend import load_model

    embeddings = Embedder(checkpoint, device="cpu", batch_size=2)(crops())
    assert embeddings.shape == (5, 512) and embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    model, _ = load_model(checkpoint)
    images = torch.from_numpy(SIZE.normalise(SIZE.batch(crops())))
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model(images).embeddings).numpy()
    assert np.allclose(embeddings, expected, atol=1e-4)


@pytest.mark.parametrize("input_kind", ["float32", "uint8"])
def test_onnx_gives_the_same_embeddings(checkpoint: Path, tmp_path: Path, input_kind: str) -> None:
    parity = export_onnx(checkpoint, tmp_path / "model.onnx", input_kind=input_kind)
    assert parity.min_cosine > 0.9999
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == ("tensor(float)" if input_kind == "float32" else "tensor(uint8)")
    assert list(tmp_path.glob("*.data")) == []
    assert b"stack_trace" not in (tmp_path / "model.onnx").read_bytes()  # it would name folders of the machine
    embedder = Embedder(tmp_path / "model.onnx", batch_size=3)
    assert embedder.preprocessing == SIZE
    assert np.allclose(embedder(crops()), Embedder(checkpoint, device="cpu")(crops()), atol=1e-3)


def test_mean_and_deviation_are_the_networks(checkpoint: Path, tmp_path: Path) -> None:
    export_onnx(checkpoint, tmp_path / "model.onnx")
    told = Preprocessing(64, 32, (0.1, 0.1, 0.1), (0.9, 0.9, 0.9))
    for path in (checkpoint, tmp_path / "model.onnx"):
        embedder = Embedder(path, device="cpu", preprocessing=told)
        assert np.allclose(embedder(crops()), Embedder(path, device="cpu")(crops()), atol=1e-6)


def test_export_refuses_and_leaves_nothing_behind(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="disagree"):
        export_onnx(checkpoint, tmp_path / "model.onnx", min_cosine=1.1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="input_kind"):
        export_onnx(checkpoint, tmp_path / "model.onnx", input_kind="int8")
    with pytest.raises(ValueError, match=r"ends in \.onnx"):
        export_onnx(checkpoint, tmp_path / "model.pt")


def test_nan_weights_are_not_exported(tmp_path: Path) -> None:
    model = build_model("seres18")
    torch.nn.init.constant_(model.conv1.weight, float("nan"))
    save_checkpoint(tmp_path / "nan.safetensors", model.state_dict(), Card("seres18", {}, 0, 512, SIZE))
    with pytest.raises(ValueError, match="disagree"):
        export_onnx(tmp_path / "nan.safetensors", tmp_path / "out" / "model.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_export_leaves_the_checkpoints_card_alone(checkpoint: Path) -> None:
    before = checkpoint.with_suffix(".json").read_text()
    export_onnx(checkpoint, checkpoint.with_suffix(".onnx"))
    assert checkpoint.with_suffix(".json").read_text() == before
    assert '"parity"' in checkpoint.with_name("model.onnx.json").read_text()


def test_device_names(checkpoint: Path, tmp_path: Path) -> None:
    assert [parse_device(name) for name in ("auto", "cpu", "cuda", "cuda:3")] == [
        *(("auto", 0), ("cpu", 0), ("cuda", 0), ("cuda", 3))
    ]
    write_onnx(tmp_path / "m.onnx", [2, 3, 32, 16])
    for source in (checkpoint, tmp_path / "m.onnx"):
        for device in ("gpu", "cpu:1", "cuda:-1"):
            with pytest.raises(ValueError, match="allowed: auto, cpu, cuda, cuda:N"):
                Embedder(source, device=device)
        with pytest.raises(ValueError, match="CUDA"):
            Embedder(source, device="cuda:99")


def test_bf16_is_near_fp32_and_not_equal(checkpoint: Path) -> None:
    full, half = (
        Embedder(checkpoint, device="cpu", precision=precision, preprocessing=Preprocessing(64, 40))(crops())
        for precision in ("fp32", "bf16")
    )
    assert 0.99 < (full * half).sum(1).min() and not np.array_equal(full, half)


def test_no_images_give_no_rows(checkpoint: Path) -> None:
    assert Embedder(checkpoint, device="cpu")([]).shape[0] == 0


def write_onnx(path: Path, shape: list[int | str]) -> None:
    """A network whose embedding is the mean of each channel."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], 3])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))


def test_foreign_onnx_files(tmp_path: Path) -> None:
    write_onnx(tmp_path / "fixed.onnx", [2, 3, 32, 16])
    embedder = Embedder(tmp_path / "fixed.onnx")
    assert (embedder.preprocessing.height, embedder.preprocessing.width) == (32, 16)
    assert embedder(crops(5)).shape == (5, 3)  # the batch of 2 is filled up
    write_onnx(tmp_path / "open.onnx", ["n", 3, "h", "w"])
    with pytest.raises(ValueError, match="no fixed input size"):
        Embedder(tmp_path / "open.onnx")
    assert Embedder(tmp_path / "open.onnx", preprocessing=SIZE)(crops(2)).shape == (2, 3)
    model = onnx.load(str(tmp_path / "open.onnx"))
    model.metadata_props.add(key="card", value='{"preprocessing": {"height": 64}}')
    onnx.save(model, str(tmp_path / "carded.onnx"))
    with pytest.raises(ValueError, match=r"carded\.onnx: its card cannot be read"):
        Embedder(tmp_path / "carded.onnx")
    write_onnx(tmp_path / "flat.onnx", [1, 1, 32, 16])
    with pytest.raises(ValueError, match="one of shape"):
        Embedder(tmp_path / "flat.onnx")


def test_another_size_keeps_the_mean_and_deviation_of_the_training(tmp_path: Path) -> None:
    write_onnx(tmp_path / "open.onnx", ["n", 3, "h", "w"])
    own = Preprocessing(64, 32, mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.5))
    model = onnx.load(str(tmp_path / "open.onnx"))
    model.metadata_props.add(key="card", value=json.dumps({"preprocessing": own.to_dict()}))
    onnx.save(model, str(tmp_path / "carded.onnx"))
    image = [np.full((8, 4, 3), 200, np.uint8)]  # the same in every size
    same, other = (
        Embedder(tmp_path / "carded.onnx", preprocessing=size)(image) for size in (None, Preprocessing(48, 24))
    )
    assumed = Embedder(tmp_path / "open.onnx", preprocessing=SIZE)(image)
    assert np.allclose(same, other) and not np.allclose(same, assumed)


def test_unusable_sources_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not onnx")
    with pytest.raises(ValueError, match=r"broken\.onnx: onnxruntime cannot open it"):
        Embedder(tmp_path / "broken.onnx")
    with pytest.raises(FileNotFoundError, match="no such model file"):
        Embedder(tmp_path / "absent.onnx")
    with pytest.raises(ValueError, match=r"got a \.pth file"):
        Embedder(tmp_path / "model.pth")
    with pytest.raises(ValueError, match="precision"):
        Embedder(checkpoint, precision="int4")
    with pytest.raises(ValueError, match="batch_size"):
        Embedder(checkpoint, device="cpu", batch_size=0)


def test_nan_weights_are_reported(tmp_path: Path) -> None:
    model = build_model("seres18")
    torch.nn.init.constant_(model.conv1.weight, float("nan"))
    save_checkpoint(tmp_path / "nan.safetensors", model.state_dict(), Card("seres18", {}, 0, 512, SIZE))
    with pytest.raises(ValueError, match="NaN or infinity for image 0 of 5"):
        Embedder(tmp_path / "nan.safetensors", device="cpu")(crops())


@pytest.mark.real_data
def test_published_network_runs_and_its_broken_export_is_explained(shared_data: Path) -> None:
    embedder = Embedder(shared_data / "models" / "osnet_x0_25_msmt17.onnx")
    assert (embedder.preprocessing.height, embedder.preprocessing.width) == (256, 128)
    assert embedder(crops(3)).shape == (3, 512)
    with pytest.raises(ValueError, match=r"its weights are kept apart, in .*\.data, which is not in"):
        Embedder(shared_data / "models" / "osnet_x0_25_msmt17-weights-missing.onnx")
