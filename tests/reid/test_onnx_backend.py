"""What onnxruntime is told, and which networks and numbers of threads are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from reid import onnx_backend
from reid.data.images import Preprocessing
from reid.embedder import Embedder

CROPS = [np.full((20, 10, 3), 100, np.uint8)]


def write_onnx(path: Path, shape: list[int | str], keep: int = 0, squeezed: bool = False) -> None:
    """A network whose embedding is the mean of each channel, with its height and width when they are kept."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=keep or int(squeezed))]
    if squeezed:  # no axes: the number of dimensions depends on the batch
        nodes.append(helper.make_node("Squeeze", ["y"], ["z"]))
    own = None if squeezed else [shape[0], 3] + [1, 1] * keep
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, own)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options that TensorRT gets, on a machine that has none."""
    found: list[dict[str, Any]] = []
    real = ort.InferenceSession

    def session(file, options, providers):
        found.append(providers[0][1])
        return real(file, options, providers=["CPUExecutionProvider"])

    here = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnx_backend.ort, "get_available_providers", lambda: here)
    monkeypatch.setattr(onnx_backend.ort, "InferenceSession", session)
    return found


def test_an_engine_is_built_for_all_batches_at_once(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    write_onnx(tmp_path / "open.onnx", ["n", 3, "h", "w"])
    write_onnx(tmp_path / "sized.onnx", ["n", 3, 32, 16])
    write_onnx(tmp_path / "fixed.onnx", [4, 3, 32, 16])
    for name, options in (
        ("open", {"preprocessing": Preprocessing(64, 32), "batch_size": 8, "precision": "fp16", "device": "cuda:1"}),
        ("sized", {"batch_size": 16}),
        ("fixed", {"precision": "fp16"}),
    ):
        with pytest.raises(ValueError, match="onnxruntime has no TensorRT here"):
            Embedder(tmp_path / f"{name}.onnx", provider="tensorrt", **options)
    cache = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(tmp_path)}

    def profile(image: str, largest: int) -> dict[str, str]:
        counts = {"min": 1, "opt": largest, "max": largest}
        return {f"trt_profile_{name}_shapes": f"x:{count}x{image}" for name, count in counts.items()}

    assert asked == [
        cache | {"device_id": 1, "trt_fp16_enable": True} | profile("3x64x32", 8),
        cache | {"device_id": 0, "trt_fp16_enable": False} | profile("3x32x16", 16),
        cache | {"device_id": 0, "trt_fp16_enable": True},
    ]
    with pytest.raises(ValueError, match="batch_size: got 0"):
        Embedder(tmp_path / "sized.onnx", provider="tensorrt", batch_size=0)
    (tmp_path / "damaged.onnx").write_text("no network")
    with pytest.raises(ValueError, match=r"damaged\.onnx: onnxruntime cannot open it"):
        Embedder(tmp_path / "damaged.onnx", provider="tensorrt")
    with pytest.raises(ValueError, match=r"precision: got 'fp16' .*but for fp16 with provider='tensorrt'"):
        Embedder(tmp_path / "sized.onnx", precision="fp16")


def test_threads_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    write_onnx(tmp_path / "sized.onnx", ["n", 3, 32, 16])
    for threads in (0, -2, 5, 10000):
        with pytest.raises(ValueError, match=f"threads: got {threads}, allowed: 1 to 4"):
            Embedder(tmp_path / "sized.onnx", device="cpu", threads=threads)
        with pytest.raises(ValueError, match=f"threads: got {threads}, allowed: 1 to 4"):
            onnx_backend.open_session(tmp_path / "sized.onnx", "cpu", threads)
    for allowed in (None, 1, 4):
        assert Embedder(tmp_path / "sized.onnx", device="cpu", threads=allowed)(CROPS).shape == (1, 3)


def test_other_outputs_than_one_row_an_image_are_refused(tmp_path: Path) -> None:
    write_onnx(tmp_path / "maps.onnx", ["n", 3, 32, 16], keep=1)
    told = r"maps\.onnx: got output y of shape \(n, 3, 1, 1\), allowed: \(N, D\), .*pooled and flattened"
    with pytest.raises(ValueError, match=told):
        Embedder(tmp_path / "maps.onnx", device="cpu")
    write_onnx(tmp_path / "squeezed.onnx", ["n", 3, 32, 16], squeezed=True)
    embedder = Embedder(tmp_path / "squeezed.onnx", device="cpu")
    assert embedder(CROPS * 2).shape == (2, 3)
    with pytest.raises(ValueError, match=r"squeezed\.onnx: returned shape \(3,\) for 1 images, allowed: \(N, D\)"):
        embedder(CROPS)


def test_other_outputs_of_torchscript_are_refused(tmp_path: Path) -> None:
    class Boxes(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(2)

    torch.jit.save(torch.jit.trace(Boxes(), torch.zeros(1, 3, 32, 16)), str(tmp_path / "boxes.torchscript"))
    embedder = Embedder(tmp_path / "boxes.torchscript", device="cpu", preprocessing=Preprocessing(32, 16))
    with pytest.raises(ValueError, match=r"boxes\.torchscript: returned shape \(1, 3, 512\)"):
        embedder(CROPS)


def test_other_outputs_and_damage_with_openvino(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    write_onnx(tmp_path / "maps.onnx", ["n", 3, 32, 16], keep=1)
    with pytest.raises(ValueError, match=r"maps\.onnx: got output y of shape \(\?, 3, 1, 1\)"):
        Embedder(tmp_path / "maps.onnx", provider="openvino")
    write_onnx(tmp_path / "sized.onnx", ["n", 3, 32, 16])
    path = tmp_path / "sized.xml"
    openvino.save_model(openvino.Core().read_model(str(tmp_path / "sized.onnx")), str(path))
    assert Embedder(path, threads=1)(CROPS).shape == (1, 3)
    with pytest.raises(ValueError, match="threads: got 0"):
        Embedder(path, threads=0)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match=r"sized\.xml: OpenVINO cannot open it: \w.*; copy it"):
        Embedder(path)
