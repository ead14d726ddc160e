"""Rewritten graphs: the same embeddings, and nothing left that keeps 8 bits out."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from reid.models.layers import IBN, CoordinateAttention, SEBlock
from reid.quantise import QuantiseOptions, _prepared, quantise_onnx
from reid.quantise_rewrites import fold_means, fold_norms, fold_shapes, join_slices, map_tensors, rewrite


class Small(nn.Module):
    """One of each layer that is rewritten; the last gates stand behind the last convolution."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=bias)
        self.norm = IBN(8)
        self.squeeze = SEBlock(8)
        self.attention = CoordinateAttention(8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = self.stem(images).relu()
        x = self.squeeze(self.norm(self.conv(first)).relu())
        x = (self.attention(x) + first).relu()
        return (x.clamp(min=1e-6).log() * 3.0).exp().mean(dim=(2, 3))


def write_small(path: Path, opset: int, bias: bool = True) -> np.ndarray:
    """Writes the network and returns images for it."""
    torch.manual_seed(0)
    network = Small(bias)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    images = torch.randn(12, 3, 16, 8)
    axes = {"images": {0: "n"}, "embeddings": {0: "n"}}
    names = {"input_names": ["images"], "output_names": ["embeddings"]}
    torch.onnx.export(
        network.eval(), (images,), str(path), **names, dynamic_axes=axes, opset_version=opset, dynamo=False
    )
    return images.numpy()


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("opset", "bias"), [(13, True), (17, False), (18, True)])
def test_the_same_comes_out_and_no_shapes_norms_and_means_are_left(tmp_path: Path, opset: int, bias: bool) -> None:
    images = write_small(tmp_path / "m.onnx", opset, bias)
    model = _prepared(tmp_path / "m.onnx")
    before = run(model, images)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Shape"] and kinds["Slice"] == 4 and kinds["BatchNormalization"] == 1 and kinds["ReduceMean"] == 4
    averages = rewrite(model)
    onnx.checker.check_model(model, full_check=True)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert not kinds["Shape"] and not kinds["Slice"] and not kinds["BatchNormalization"] and not kinds["Gather"]
    # The means of the gates; the one of the embedding stays.
    assert kinds["Split"] == 2 and kinds["GlobalAveragePool"] == 1 and kinds["ReduceMean"] == 1
    assert len(averages) == 2 == sum(node.name in averages and node.op_type == "Conv" for node in model.graph.node)
    for count in (12, 1):
        np.testing.assert_allclose(run(model, images[:count]), before[:count], atol=1e-5, rtol=1e-5)
    again = onnx.ModelProto()
    again.CopyFrom(model)
    assert rewrite(again) == set() and again.graph.node == model.graph.node


@pytest.mark.filterwarnings("ignore")
def test_gates_of_the_last_block_are_in_8_bits_and_means_are_no_layers(tmp_path: Path) -> None:
    images = write_small(tmp_path / "m.onnx", 17)
    found = quantise_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", images, QuantiseOptions("minmax"))
    assert found.num_layers == 7 and found.float_layers == () and found.mean_cosine > 0.995
    model = onnx.load(str(tmp_path / "q.onnx"))
    makers = {name: node for node in model.graph.node for name in node.output}
    readers = {name: node for node in model.graph.node for name in node.input}
    gates = [node for node in model.graph.node if node.op_type in ("Mul", "Add", "GlobalAveragePool", "Split")]
    assert (
        len(gates) == 1 + 1 + 2 + 1 + 1 + 1 + 2
    )  # products in SE, SiLU, of gates, of the logarithm; sum; pool; splits
    in_float = [
        node.op_type
        for node in gates
        if any(name in makers and makers[name].op_type != "DequantizeLinear" for name in node.input)
        or any(readers[name].op_type != "QuantizeLinear" for name in node.output)
    ]
    assert in_float == ["Mul"]  # of the logarithm


def slices(*bounds: tuple[int, int], axis: int = 1) -> onnx.ModelProto:
    """A convolution of 6 channels that is cut into pieces, of which the last is normalised."""
    random = np.random.default_rng(0)
    values = {"weight": random.normal(size=(6, 3, 1, 1)), "scale": random.uniform(1, 2, 3), "shift": np.ones(3)}
    values |= {"mean": random.normal(size=3), "variance": random.uniform(1, 2, 3)}
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
    nodes = [helper.make_node("Conv", ["images", "weight"], ["a"], name="conv")]
    for number, (start, end) in enumerate(bounds):
        for part, value in (("from", start), ("to", end), ("axis", axis)):
            constants.append(numpy_helper.from_array(np.array([value], np.int64), f"{part}{number}"))
        inputs = ["a", *(f"{part}{number}" for part in ("from", "to", "axis"))]
        nodes.append(helper.make_node("Slice", inputs, [f"p{number}"], name=f"slice{number}"))
    last = f"p{len(bounds) - 1}"
    nodes.append(helper.make_node("BatchNormalization", [last, "scale", "shift", "mean", "variance"], ["n"], name="n"))
    parts = [*(f"p{number}" for number in range(len(bounds) - 1)), "n"]
    nodes.append(helper.make_node("Concat", parts, ["embeddings"], name="together", axis=1))
    ends = [("images", ["n", 3, 6, 6]), ("embeddings", None)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends]
    graph = helper.make_graph(nodes, "cut", infos[:1], infos[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_only_slices_without_gap_or_overlap_become_a_split() -> None:
    images = np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)
    for bounds, joined in (
        (((0, 3), (3, 6)), 1),
        (((-6, -3), (3, 99)), 1),
        (((0, 4), (3, 6)), 0),
        (((1, 3), (3, 6)), 0),
    ):
        model = slices(*bounds)
        before = run(model, images)
        join_slices(model)
        fold_norms(model)
        kinds = Counter(node.op_type for node in model.graph.node)
        assert kinds["Split"] == joined and kinds["Slice"] == 2 * (1 - joined)
        assert kinds["BatchNormalization"] == 1 - joined
        np.testing.assert_allclose(run(model, images), before, atol=1e-5)


def test_what_is_read_twice_or_handed_out_is_not_folded() -> None:
    images = np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)
    for name in ("a", "p1"):  # the whole convolution, the normalised part
        model = slices((0, 3), (3, 6))
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        before = run(model, images)
        join_slices(model)
        fold_norms(model)
        assert "BatchNormalization" in [node.op_type for node in model.graph.node]
        np.testing.assert_allclose(run(model, images), before, atol=1e-5)


def test_open_sizes_are_left_alone() -> None:
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["m"], name="m", axes=[3], keepdims=1),
        helper.make_node("Shape", ["m"], ["s"], name="s"),
        helper.make_node("Gather", ["s", "two"], ["h"], name="h"),
        helper.make_node("Unsqueeze", ["h", "zero"], ["u"], name="u"),
        helper.make_node("Slice", ["m", "zero", "u", "axis"], ["embeddings"], name="cut"),
    ]
    told = {"two": np.array(2), "zero": np.array([0]), "axis": np.array([2])}
    infos = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])]
    out = [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "open", infos, out, [numpy_helper.from_array(v, k) for k, v in told.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    kinds = [node.op_type for node in model.graph.node]
    fold_shapes(model)
    assert fold_means(model) == [] and [node.op_type for node in model.graph.node] == kinds
    assert map_tensors(model) >= {"images", "m"}
