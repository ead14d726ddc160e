"""8-bit networks fitted to onnxruntime's kernels: the same numbers, the file untouched."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from reid.onnx_backend import open_session
from reid.onnx_kernels import fit_to_cpu, pool_channels_last, shift_weights, widen_stem
from reid.quantise import QuantiseOptions, quantise_onnx


def write_small(
    path: Path, kernel: int = 3, width: int = 16, pads: tuple[int, int] = (1, 1), stride: int = 2, tail: bool = True
) -> np.ndarray:
    """Writes a stem, a convolution with long sums, a short one and a GeM head, in 8 bits; returns images."""
    random = np.random.default_rng(0)
    values = {"stem": random.normal(size=(32, 3, kernel, kernel)), "shift": random.normal(size=32)}
    values |= {"long": random.normal(size=(16, 32, 3, 3)), "short": random.normal(size=(8, 16, 1, 1))}
    values |= {"least": np.array(1e-6), "power": np.array(3.0)}
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
    sides = [1, pads[0], 1, pads[1]]
    nodes = [
        helper.make_node("Conv", ["images", "stem", "shift"], ["a"], name="a", pads=sides, strides=[stride, stride]),
        helper.make_node("Relu", ["a"], ["b"], name="b"),
        helper.make_node("Conv", ["b", "long"], ["c"], name="c", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "short"], ["d"], name="d"),
        helper.make_node("Clip", ["d", "least"], ["e"], name="e"),
        helper.make_node("Log", ["e"], ["f"], name="f"),
        helper.make_node("Mul", ["f", "power"], ["g"], name="g"),
        helper.make_node("Exp", ["g"], ["h"], name="h"),
        helper.make_node("ReduceMean", ["h"], ["embeddings"], name="i", axes=[2, 3] if tail else [1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 24, width])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, None)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path) + ".float")
    images = random.normal(size=(6, 3, 24, width)).astype(np.float32)
    quantise_onnx(str(path) + ".float", path, images, QuantiseOptions("minmax", min_cosine=1e-9))
    return images


def run(model: onnx.ModelProto | bytes, images: np.ndarray, optimised: bool = True) -> np.ndarray:
    options = ort.SessionOptions()
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


@pytest.mark.parametrize(
    ("kernel", "pads"), [(3, (1, 1)), (7, (3, 3)), (5, (2, 2)), (4, (1, 1)), (2, (0, 0)), (3, (0, 1))]
)
def test_a_wide_stem_computes_the_same(tmp_path: Path, kernel: int, pads: tuple[int, int]) -> None:
    images = write_small(tmp_path / "q.onnx", kernel, pads=pads)
    model = onnx.load(str(tmp_path / "q.onnx"))
    before = run(model, images)
    widen_stem(model)
    onnx.checker.check_model(model, full_check=True)
    weights = {entry.name: entry.dims for entry in model.graph.initializer}
    assert weights["stem_quantized_wide"][:2] == [64, 12] and "stem_quantized" not in weights
    np.testing.assert_array_equal(run(model, images), before)
    np.testing.assert_array_equal(run(model, images[:1]), before[:1])


def test_a_wide_stem_takes_uint8_images(tmp_path: Path) -> None:
    write_small(tmp_path / "q.onnx")
    model = onnx.load(str(tmp_path / "q.onnx"))
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "images")
    reader = next(node for node in model.graph.node if first.output[0] in node.input)
    reader.input[0] = "images"
    model.graph.node.remove(first)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    images = np.random.default_rng(1).integers(0, 256, (3, 3, 24, 16)).astype(np.uint8)
    before = run(model, images)
    widen_stem(model)
    assert any(entry.name == "stem_quantized_wide" for entry in model.graph.initializer)
    np.testing.assert_array_equal(run(model, images), before)


def test_other_stems_are_left_alone(tmp_path: Path) -> None:
    for number, kinds in enumerate(({"width": 18}, {"stride": 1}, {"pads": (2, 3)})):
        write_small(tmp_path / f"{number}.onnx", **kinds)  # type: ignore[arg-type]
        model = onnx.load(str(tmp_path / f"{number}.onnx"))
        before = model.SerializeToString()
        widen_stem(model)
        assert model.SerializeToString() == before, kinds


def test_shifted_weights_compute_the_same(tmp_path: Path) -> None:
    images = write_small(tmp_path / "q.onnx")
    model = onnx.load(str(tmp_path / "q.onnx"))
    before = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    outcome = run(model, images)
    shift_weights(model)
    after = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    # Sums of 288, 27 and 16 products.
    shifted = {name.removesuffix("_shifted") for name in after if name.endswith("_shifted")}
    assert shifted == {"long_quantized"}
    np.testing.assert_array_equal(after["long_quantized_shifted"].astype(int) + 1, before["long_quantized"])
    np.testing.assert_array_equal(run(model, images), outcome)
    shift_weights(model)
    assert not any(entry.name.endswith("_shifted_shifted") for entry in model.graph.initializer)


def test_a_mean_right_behind_the_stem(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = numpy_helper.from_array(random.normal(size=(8, 3, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["a"], name="a", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("ReduceMean", ["a"], ["embeddings"], name="b", axes=[2, 3], keepdims=0),
    ]
    ends = [("images", ["n", 3, 8, 8]), ("embeddings", None)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends]
    graph = helper.make_graph(nodes, "short", infos[:1], infos[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "m.onnx"))
    images = random.normal(size=(8, 3, 8, 8)).astype(np.float32)
    assert quantise_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", images).mean_cosine > 0.99
    fitted = fit_to_cpu(tmp_path / "q.onnx")
    assert fitted is not None
    np.testing.assert_allclose(run(fitted, images), run(onnx.load(str(tmp_path / "q.onnx")), images), atol=1e-6)


def test_heads_pool_with_channels_last(tmp_path: Path) -> None:
    images = write_small(tmp_path / "q.onnx")
    model = onnx.load(str(tmp_path / "q.onnx"))
    before = run(model, images)
    pool_channels_last(model)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Transpose"] == kinds["Reshape"] == 1
    np.testing.assert_allclose(run(model, images), before, rtol=1e-5)
    write_small(tmp_path / "other.onnx", tail=False)
    model = onnx.load(str(tmp_path / "other.onnx"))
    pool_channels_last(model)
    assert not any(node.op_type == "Transpose" for node in model.graph.node)


def test_sessions_are_fitted_and_files_are_not(tmp_path: Path) -> None:
    images = write_small(tmp_path / "q.onnx")
    content = (tmp_path / "q.onnx").read_bytes()
    plain = fit_to_cpu(tmp_path / "q.onnx", amx=False)
    tiles = fit_to_cpu(tmp_path / "q.onnx", amx=True)
    assert plain is not None and tiles is not None
    assert b"long_quantized_shifted" in tiles and b"long_quantized_shifted" not in plain and b"_wide" in plain
    expected = run(content, images)
    for other in (run(plain, images), run(tiles, images), run(tiles, images, optimised=False)):
        np.testing.assert_allclose(other, expected, rtol=1e-4)
    session = open_session(tmp_path / "q.onnx", "cpu", 1)
    np.testing.assert_allclose(session.run(None, {"images": images})[0], expected, rtol=1e-5)
    assert "quantisation" in session.get_modelmeta().custom_metadata_map
    assert (tmp_path / "q.onnx").read_bytes() == content
    # A float network, a damaged one, one that is not there, one with its weights apart.
    assert fit_to_cpu(tmp_path / "q.onnx.float") is None
    (tmp_path / "broken.onnx").write_bytes(b"DequantizeLinear" + content[:1000])
    assert fit_to_cpu(tmp_path / "broken.onnx") is None
    assert fit_to_cpu(tmp_path / "absent.onnx") is None
    onnx.save(
        onnx.load_from_string(content), str(tmp_path / "apart.onnx"), save_as_external_data=True, size_threshold=0
    )
    assert fit_to_cpu(tmp_path / "apart.onnx") is None
