"""8-bit networks whose first layer takes the pixels."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from reid.data.images import Preprocessing
from reid.onnx_backend import open_session
from reid.quantise import QuantiseOptions, quantise_onnx
from reid.quantise_input import fold_normalisation, skip_normalisation

SIZE = Preprocessing(16, 16)


def network(pad: int = 1, kind: str = "Div", bias: bool = True, taken: int = TensorProto.UINT8) -> onnx.ModelProto:
    """Normalisation, a convolution, a ReLU, a mean over places and a matrix."""
    random = np.random.default_rng(0)
    std = 255 * np.array(SIZE.std, np.float32).reshape(1, 3, 1, 1)
    values = {
        "mean": 255 * np.array(SIZE.mean, np.float32).reshape(1, 3, 1, 1),
        "std": std if kind == "Div" else 1 / std,
        "first": random.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "bias": random.normal(size=8).astype(np.float32),
        "last": random.normal(size=(8, 4)).astype(np.float32),
        "axes": np.array([2, 3], np.int64),
    }
    inputs = ["normal", "first", *(["bias"] if bias else [])]
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "mean"], ["centred"], name="sub"),
        helper.make_node(kind, ["centred", "std"], ["normal"], name="scale"),
        helper.make_node("Conv", inputs, ["a"], name="conv", pads=[pad] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("ReduceMean", ["b", "axes"], ["d"], name="pool", keepdims=0),
        helper.make_node("MatMul", ["d", "last"], ["embeddings"], name="matrix"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", taken, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("embeddings", "a")],
        [numpy_helper.from_array(value, name) for name, value in values.items() if bias or name != "bias"],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def images(count: int = 12) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 3, 16, 16), dtype=np.uint8)


def run(model: onnx.ModelProto, path: Path, pixels: np.ndarray) -> list[np.ndarray]:
    onnx.save(model, str(path))
    return open_session(path, "cpu", 1).run(None, {"images": pixels})


@pytest.mark.parametrize(("pad", "kind", "bias"), [(1, "Div", True), (0, "Mul", False)])
def test_folding_changes_the_border_alone(tmp_path: Path, pad: int, kind: str, bias: bool) -> None:
    model = network(pad, kind, bias)
    before = run(model, tmp_path / "m.onnx", images())[1]
    ranges = fold_normalisation(model)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    after = run(model, tmp_path / "m.onnx", images())[1]
    assert np.allclose(after[:, :, pad:, pad:], before[:, :, pad:, pad:], atol=1e-4)
    assert np.abs(after - before).max() < (2 if pad else 1e-4) and np.allclose(after, before, atol=1e-4) == (pad == 0)
    (low, high) = ranges["normal"]
    assert np.isclose((high - low) * np.mean(SIZE.std), 1, atol=0.02) and round(-low / (high - low) * 255) == 114


def test_border_is_the_mean_grey(tmp_path: Path) -> None:
    """What a convolution adds around an image is what a frame of that grey, in the image itself, would have given."""
    model, pixels = network(1), images(3)
    framed = np.pad(pixels, ((0, 0), (0, 0), (2, 0), (2, 0)), constant_values=114)[:, :, :16, :16]
    expected = run(model, tmp_path / "m.onnx", framed)[1][:, :, 1:, 1:]
    fold_normalisation(model)
    found = run(model, tmp_path / "m.onnx", pixels)[1][:, :, :7, :7]
    assert np.allclose(found, expected, atol=1e-4)


def test_quantised_network_reads_the_pixels(tmp_path: Path) -> None:
    model = network()
    del model.graph.output[1]
    onnx.save(model, str(tmp_path / "float.onnx"))
    found = quantise_onnx(tmp_path / "float.onnx", tmp_path / "int8.onnx", images(), QuantiseOptions("minmax"))
    assert found.mean_cosine > 0.99 and not found.float_layers
    graph = onnx.load(str(tmp_path / "int8.onnx")).graph
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    (reader,) = [node for node in graph.node if "images" in node.input]
    assert reader.op_type == "DequantizeLinear"
    assert not {"Cast", "Sub", "Div", "Mul"} & {node.op_type for node in graph.node}
    assert {name for node in graph.node for name in node.input} >= {entry.name for entry in graph.initializer}
    # Some layers have to stay in float for this, the first among them: it is normalised in float then.
    options = QuantiseOptions("minmax", min_cosine=0.9999999)
    kept = quantise_onnx(tmp_path / "float.onnx", tmp_path / "kept.onnx", images(), options)
    assert "conv" in kept.float_layers and kept.mean_cosine > 0.9999999
    assert {"Cast", "Sub", "Div"} < {node.op_type for node in onnx.load(str(tmp_path / "kept.onnx")).graph.node}


def test_other_networks_stay_as_they_are() -> None:
    float_input = network(taken=TensorProto.FLOAT)
    read_twice = network()
    read_twice.graph.node.insert(3, helper.make_node("Relu", ["normal"], ["other"], name="other"))
    inverted = network()
    inverted.graph.node[1].input[:] = ["mean", "floats"]
    plain = network()
    for model in (float_input, read_twice, inverted):
        before = model.SerializeToString()
        assert fold_normalisation(model) == {} and model.SerializeToString() == before
    nodes = [node.name for node in plain.graph.node]
    assert [node.name for node in skip_normalisation(plain).graph.node] == nodes
