"""What is written for DeepStream, run through nvinfer's own arithmetic in NumPy."""

import configparser
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest
import torch

from reid.checkpoint import Card, save_checkpoint
from reid.config import parse_config
from reid.data.images import Preprocessing
from reid.deepstream import deepstream_config
from reid.embedder import Embedder
from reid.export import ExportConfig, main
from reid.models import build_model

# Unlike in every channel, so that a swapped channel or a common scale would show.
SIZE = Preprocessing(64, 32, (0.5, 0.4, 0.3), (0.1, 0.25, 0.5))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("deepstream") / "model.safetensors"
    model = build_model("reidlite", 0, width_factor=0.5)
    model.train()(torch.randn(8, 3, 64, 32))  # moves the running statistics away from 0 and 1
    save_checkpoint(path, model.state_dict(), Card("reidlite", {"width_factor": 0.5}, 0, 512, SIZE))
    return path


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "nvinfer"
    arguments = ["--ckpt", str(checkpoint), "--deepstream", str(path), "--max-batch", "6", "--fp16", "--opset", "17"]
    main(parse_config(ExportConfig, arguments))
    return path


def settings(folder: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser()
    parser.read_string((folder / "config_infer_secondary_reid.txt").read_text())
    return parser["property"]


def crops(count: int = 6) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (40 + 7 * i, 20 + 3 * i, 3), dtype=np.uint8) for i in range(count)]


def nvinfer_input(images: list[np.ndarray], own: configparser.SectionProxy) -> np.ndarray:
    """y = net-scale-factor * (x - offset), in float32, planar, in the order of model-color-format."""
    channels, height, width = map(int, own["infer-dims"].split(";"))
    offsets = np.array(list(map(float, own["offsets"].split(";"))), np.float32)
    assert (channels, own["maintain-aspect-ratio"], own["scaling-filter"], own["model-color-format"]) == (3, *"010")
    batch = [cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in images]
    values = np.float32(own["net-scale-factor"]) * (np.stack(batch).astype(np.float32) - offsets)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def test_nvinfers_arithmetic_gives_the_embedders_embeddings(folder: Path, checkpoint: Path) -> None:
    own = settings(folder)
    session = ort.InferenceSession(str(folder / own["onnx-file"]), providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_outputs()] == [own["output-blob-names"]]
    found = session.run(None, {session.get_inputs()[0].name: nvinfer_input(crops(), own)})[0]
    expected = Embedder(checkpoint, device="cpu")(crops())
    assert np.abs(found - expected).max() < 1e-4
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    # The comparison would notice channels in another order.
    swapped = session.run(None, {"images": nvinfer_input([crop[..., ::-1] for crop in crops()], own)})[0]
    assert np.abs(swapped - expected).max() > 0.01


def test_the_embedder_reads_the_same_file(folder: Path, checkpoint: Path) -> None:
    embedder = Embedder(folder / "model.onnx")
    assert embedder.preprocessing == Preprocessing(64, 32, SIZE.mean, (1.0, 1.0, 1.0))
    assert np.abs(embedder(crops()) - Embedder(checkpoint, device="cpu")(crops())).max() < 1e-4


def test_configuration(folder: Path) -> None:
    own = settings(folder)
    expected = {"process-mode": "2", "network-type": "100", "output-tensor-meta": "1", "batch-size": "6"}
    assert expected.items() <= dict(own).items()
    assert own["network-mode"] == "2" and own["model-engine-file"] == "model.onnx_b6_gpu0_fp16.engine"
    assert (folder / own["labelfile-path"]).read_text() == "person\n"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config_infer_secondary_reid.txt", "labels.txt", "model.onnx", "model.onnx.json", "model.onnx.parity.json"),
    ]
    plain = deepstream_config(Preprocessing(std=(1.0, 1.0, 1.0)), 1, False)
    assert "network-mode=0" in plain and "model.onnx_b1_gpu0_fp32.engine" in plain and "\nbatch-size=1\n" in plain
    with pytest.raises(ValueError, match="std: got"):
        deepstream_config(Preprocessing(), 1, False)


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    for options, message in (
        ({}, "out: got none"),
        ({"deepstream": tmp_path, "out": tmp_path / "a.onnx"}, "allowed: one of the two"),
        ({"deepstream": tmp_path, "input_kind": "uint8"}, "deepstream: got it with onnx and uint8"),
        ({"deepstream": tmp_path, "format": "torchscript"}, "deepstream: got it with torchscript"),
        ({"deepstream": tmp_path, "max_batch": 0}, "max_batch: got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ExportConfig(Path("a.safetensors"), **options)
    assert ExportConfig(Path("a.safetensors"), deepstream=tmp_path).out == tmp_path / "model.onnx"
