"""8-bit ONNX networks, rewritten while they are opened, so that onnxruntime's CPU takes faster kernels for them.

Not a bit of what comes out changes in integers. The files stay as they are, for other engines and other processors.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_TO_LAST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
# Below it the matrix is too flat for the tiles of AMX: what it takes to lay it out costs more than they save.
_LEAST_SUM = 256
_ELEMENTWISE = ("Clip", "Div", "Exp", "Log", "Mul", "Pow", "Relu", "Sqrt")


def fit_to_cpu(path: Path, amx: bool | None = None) -> bytes | None:
    """Rewrites an 8-bit network for onnxruntime's CPU kernels.

    Args:
        path: An .onnx file.
        amx: Whether the processor has AMX for 8 bits; None looks.

    Returns:
        The network, or None for one that is to be opened as it is: in float, or with weights in other files.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if b"DequantizeLinear" not in content:
        return None
    try:
        model = onnx.load_from_string(content)
    except Exception:  # a damaged file is onnxruntime's to complain of; protobuf has no public class for it
        return None
    if any(entry.data_location == onnx.TensorProto.EXTERNAL for entry in model.graph.initializer):
        return None
    widen_stem(model)
    pool_channels_last(model)
    if has_amx() if amx is None else amx:
        shift_weights(model)
    return model.SerializeToString()


@functools.cache
def has_amx() -> bool:
    """Tells whether the processor multiplies matrices of 8 bits in tiles; only Linux says."""
    try:
        return "amx_int8" in Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False


def shift_weights(model: onnx.ModelProto) -> None:
    """Stores, in place, signed weights less one with a zero point of -1, where sums are long enough.

    onnxruntime has two ways to a convolution in 8 bits: straight on the image, with instructions for dot products
    (VNNI), which takes weights with a zero point of 0 only; and by a matrix, which knows the tiles of AMX.

    Args:
        model: A network of QuantizeLinear and DequantizeLinear pairs.
    """
    graph = _Graph(model)
    for conv in graph.of("Conv"):
        given = graph.makers.get(conv.input[1])
        if given is None or given.op_type != "DequantizeLinear" or len(given.input) < 3:
            continue
        weight, zero = (graph.values.get(given.input[number]) for number in (0, 2))
        if weight is None or zero is None or weight.dtype != np.int8 or zero.any() or weight.min() == -128:
            continue
        lone = all(len(graph.readers[name]) == 1 for name in (given.input[0], given.output[0]))
        if lone and attribute(conv, "group", 1) == 1 and weight[0].size >= _LEAST_SUM:
            given.input[0] = graph.add(f"{given.input[0]}_shifted", weight - np.int8(1))
            given.input[2] = graph.add(f"{given.output[0]}_zero", zero - np.int8(1))
    graph.drop_unread()


def widen_stem(model: onnx.ModelProto) -> None:
    """Makes, in place, a first convolution with a stride of 2 compute two neighbours of a row at once.

    Three channels do not fill a register. Four pixels are read as one of 12 channels and two results written as one of
    twice the channels, with weights of zero where a result does not depend on a pixel. In NHWC that takes no copies.

    Args:
        model: A network of QuantizeLinear and DequantizeLinear pairs, images in float or uint8, of one size.
    """
    graph = _Graph(model)
    found = _stem(graph)
    if found is None:
        return
    conv, image, weights, bias, after = found
    sizes = _shapes(model).get(image.output[0], [])
    weight = graph.values[weights.input[0]]
    count, channels, height, width = weight.shape
    top, left, bottom, right = attribute(conv, "pads", [0, 0, 0, 0])
    rows, columns = sizes[2:] if len(sizes) == 4 else (0, 0)
    lines, half = (rows + top + bottom - height) // 2 + 1, columns // 4
    if not rows or not columns or columns % 4 or (columns + left + right - width) // 2 + 1 != 2 * half:
        return
    # Result j of a pair reads the pixels 2 j - left + k of its block of four, some of them in blocks beside it.
    first, last = -left // 4, (2 - left + width - 1) // 4
    wide = np.zeros((2, count, height, last - first + 1, 4, channels), weight.dtype)
    for result in range(2):
        for column in range(width):
            block, place = divmod(2 * result - left + column, 4)
            wide[result, :, :, block - first, place] = weight[:, :, :, column].transpose(0, 2, 1)
    wide = wide.transpose(0, 1, 4, 5, 2, 3).reshape(2 * count, 4 * channels, height, last - first + 1)
    weights.input[0] = graph.add(f"{weights.input[0]}_wide", np.ascontiguousarray(wide))
    for node in (weights, *bias):
        for number in range(0 if node in bias else 1, len(node.input)):
            value = graph.values[node.input[number]]
            if value.shape == (count,):
                node.input[number] = graph.add(f"{node.output[0]}_{number}_twice", np.tile(value, 2))
    told = {"kernel_shape": [height, last - first + 1], "strides": [2, 1], "pads": [top, -first, bottom, last]}
    del conv.attribute[:]
    conv.attribute.extend(helper.make_attribute(name, value) for name, value in told.items())
    graph.reshape_last(image, [0, rows, half, 4 * channels])
    graph.reshape_last(after, [0, lines, 2 * half, count])
    graph.drop_unread()
    del model.graph.value_info[:]  # onnxruntime infers shapes itself, and some have changed


def pool_channels_last(model: onnx.ModelProto) -> None:
    """Turns what a head pools over height and width, in place, to where convolutions have it: channels last.

    Otherwise onnxruntime turns it before the last gates, whose products then run along rows of a few values.

    Args:
        model: A network of QuantizeLinear and DequantizeLinear pairs.
    """
    graph = _Graph(model)
    shapes = _shapes(model)
    for mean in graph.of("ReduceMean"):
        axes = graph.values.get(mean.input[1]) if len(mean.input) > 1 else attribute(mean, "axes", ())
        if axes is None or sorted(axes) != [2, 3] or attribute(mean, "keepdims", 1):
            continue
        above: onnx.NodeProto | None = graph.makers.get(mean.input[0])
        while above is not None and above.op_type in _ELEMENTWISE:
            if any(graph.values[name].size != 1 for name in above.input[1:] if name in graph.values):
                break
            above = graph.makers.get(above.input[0])
        if above is None or above.op_type != "DequantizeLinear":
            continue
        sizes = shapes.get(mean.input[0], [])
        if len(sizes) != 4 or not sizes[1]:
            continue
        # The list of places keeps onnxruntime from turning everything back.
        names = [f"{mean.input[0]}_turned", f"{mean.input[0]}_places"]
        told = graph.add(f"{names[1]}_shape", np.array([0, -1, sizes[1]], np.int64))
        graph.insert(helper.make_node("Transpose", mean.input[:1], names[:1], name=names[0], perm=_TO_LAST), mean)
        graph.insert(helper.make_node("Reshape", [names[0], told], names[1:], name=names[1]), mean)
        kept = [entry for entry in mean.attribute if entry.name != "axes"]
        mean.input[0] = names[1]
        if len(mean.input) > 1:
            mean.input[1] = graph.add(f"{names[1]}_axes", np.array([1], np.int64))
        else:
            kept.append(helper.make_attribute("axes", [1]))
        del mean.attribute[:]
        mean.attribute.extend(kept)
    graph.drop_unread()


class _Graph:
    """What is needed to find one's way in a graph and to change it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.values = {entry.name: numpy_helper.to_array(entry) for entry in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def of(self, kind: str) -> list[onnx.NodeProto]:
        return [node for node in self.graph.node if node.op_type == kind]

    def add(self, name: str, value: np.ndarray) -> str:
        """Adds a constant and returns its name."""
        self.values[name] = value
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def insert(self, node: onnx.NodeProto, before: onnx.NodeProto) -> None:
        self.graph.node.insert(list(self.graph.node).index(before), node)

    def reshape_last(self, reader: onnx.NodeProto, shape: list[int]) -> None:
        """Gives the first input of a node another shape in NHWC."""
        source, stem = reader.input[0], reader.output[0]
        names = [f"{stem}_{part}" for part in ("last", "shaped", "first")]
        told = self.add(f"{stem}_shape", np.array(shape, np.int64))
        for node in (
            helper.make_node("Transpose", [source], names[:1], name=names[0], perm=_TO_LAST),
            helper.make_node("Reshape", [names[0], told], names[1:2], name=names[1]),
            helper.make_node("Transpose", names[1:2], names[2:], name=names[2], perm=_TO_FIRST),
        ):
            self.insert(node, reader)
        reader.input[0] = names[2]

    def drop_unread(self) -> None:
        """Removes constants that nothing reads any more."""
        read = {name for node in self.graph.node for name in node.input}
        kept = [entry for entry in self.graph.initializer if entry.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)


def _stem(
    graph: _Graph,
) -> tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto, list[onnx.NodeProto], onnx.NodeProto] | None:
    """Returns a convolution of images, what dequantises its image, weights and bias, and what does its result."""
    for conv in graph.of("Conv"):
        given = [graph.makers.get(name) for name in conv.input]
        if any(node is None or node.op_type != "DequantizeLinear" for node in given):
            continue
        image, weights, *bias = [node for node in given if node is not None]
        taken = graph.makers.get(image.input[0])
        plain = attribute(conv, "group", 1) == 1 and set(attribute(conv, "dilations", [1])) == {1}
        plain = plain and attribute(conv, "strides", [1]) == [2, 2]
        plain = plain and attribute(conv, "auto_pad", b"NOTSET") == b"NOTSET"
        known = all(name in graph.values for node in (weights, *bias) for name in node.input)
        if not plain or not known or (taken is not None and taken.op_type != "QuantizeLinear"):
            continue
        if len(weights.input) < 3 or graph.values[weights.input[2]].any():  # it is filled up with zeros
            continue
        weight = graph.values[weights.input[0]]
        if weight.ndim != 4 or weight.shape[1] > 4:
            continue
        out = graph.readers.get(conv.output[0], [])
        after = graph.readers.get(out[0].output[0], []) if len(out) == 1 and out[0].op_type == "QuantizeLinear" else []
        lone = len(graph.readers[image.output[0]]) == 1 and len(after) == 1
        if lone and all(len(graph.readers[node.output[0]]) == 1 for node in (weights, *bias)):
            return conv, image, weights, bias, after[0]
    return None


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Returns the sizes of activations, 0 for what is open."""
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {entry.name: [size.dim_value for size in entry.type.tensor_type.shape.dim] for entry in inferred}


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Returns an attribute of a node."""
    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)
