"""Float ONNX graphs, rewritten without a change of what they compute, so that less of them is left outside 8 bits."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# What is computed from shapes: single integers and short lists of them.
_OF_SHAPES = ("Add", "Cast", "Concat", "Div", "Gather", "Mul", "Slice", "Squeeze", "Sub", "Unsqueeze")
_MAX_INTEGERS = 16


def rewrite(model: onnx.ModelProto) -> set[str]:
    """Rewrites a network in place by all that is below.

    Returns:
        Names of the convolutions that only average; they are no layers.
    """
    fold_shapes(model)
    join_slices(model)
    fold_norms(model)
    return set(fold_means(model))


def map_tensors(model: onnx.ModelProto) -> set[str]:
    """Returns the names of the activations that are maps, (N, C, H, W) with more than one place."""
    return {name for name, sizes in _shapes(model).items() if len(sizes) == 4 and sizes[2:] != [1, 1]}


def fold_shapes(model: onnx.ModelProto) -> None:
    """Puts numbers, in place, where a graph reads them off the shapes of activations, as far as shapes are known.

    Each such reading would turn an activation of 8 bits into a float one, of which nothing but the shape is wanted.

    Args:
        model: A network with constants as initializers; its batch may be open.
    """
    graph = model.graph
    while True:
        shapes, values = _shapes(model), _constants(graph)
        read = {node.output[0]: node.input[0] for node in graph.node if _reads_all_sizes(node)}
        found: dict[str, np.ndarray] = {}
        for node in graph.node:
            if node.op_type == "Gather" and node.input[0] in read and node.input[1] in values:
                sizes, index = shapes.get(read[node.input[0]], []), values[node.input[1]]
                if sizes and index.ndim == 0 and sizes[int(index)] is not None:
                    found[node.output[0]] = np.array(sizes[int(index)], np.int64)
            elif node.op_type in _OF_SHAPES and all(_is_short(values.get(name)) for name in node.input):
                found[node.output[0]] = _evaluated(node, values, model)
            values |= found
        if not found:
            return
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in found.items())
        _remove(graph, [node for node in graph.node if node.output[0] in found])
        wanted = {name for node in graph.node for name in node.input} | {entry.name for entry in graph.output}
        _remove(graph, [node for node in graph.node if node.output[0] in read and node.output[0] not in wanted])


def join_slices(model: onnx.ModelProto) -> None:
    """Makes slices that together are all of an activation one split, in place, which has an 8-bit kernel.

    Args:
        model: A network with constants as initializers.
    """
    graph = model.graph
    shapes, values = _shapes(model), _constants(graph)
    groups: dict[tuple[str, int], list[tuple[int, int, onnx.NodeProto]]] = {}
    for node in [node for node in graph.node if node.op_type == "Slice"]:
        told = [values[name].tolist() for name in node.input[1:] if name in values]
        if not 3 <= len(told) == len(node.input) - 1 or told[3:] not in ([], [[1]]):
            continue
        (start, *_), (end, *_), axes = told[:3]
        sizes = shapes.get(node.input[0], [])
        if len(axes) == 1 and 0 <= axes[0] < len(sizes) and (size := sizes[axes[0]]) is not None:
            start, end, _ = slice(start, end).indices(size)
            groups.setdefault((node.input[0], axes[0]), []).append((start, end, node))
    for (name, axis), parts in groups.items():
        parts.sort(key=lambda part: part[:2])
        bounds = [0, *(end for _, end, _ in parts)]
        if len(parts) < 2 or [start for start, _, _ in parts] != bounds[:-1] or bounds[-1] != shapes[name][axis]:
            continue
        nodes = [node for _, _, node in parts]
        told_sizes = f"{name}_sizes_{axis}"
        graph.initializer.append(numpy_helper.from_array(np.diff(bounds).astype(np.int64), told_sizes))
        outputs = [node.output[0] for node in nodes]
        first = min(list(graph.node).index(node) for node in nodes)
        joined = helper.make_node("Split", [name, told_sizes], outputs, name=nodes[0].name, axis=axis)
        _remove(graph, nodes)
        graph.node.insert(first, joined)


def fold_norms(model: onnx.ModelProto) -> None:
    """Folds, in place, batch normalisation of some channels of a convolution into those channels of its weights.

    onnxruntime folds what normalises all channels. In IBN (arXiv 1807.09441) half of them go to another normalisation.

    Args:
        model: A network with weights as initializers.
    """
    graph = model.graph
    values, makers = _constants(graph), {name: node for node in graph.node for name in node.output}
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        part = makers.get(norm.input[0])
        conv = makers.get(part.input[0]) if part is not None else None
        if part is None or conv is None or conv.op_type != "Conv":
            continue
        known = all(name in values for name in (*norm.input[1:], *conv.input[1:]))
        rows = _parts(graph, conv, values).get(norm.input[0]) if known else None
        if rows is None or any(len(_readers(graph, name)) > 1 for name in (norm.input[0], *conv.input[1:])):
            continue
        scale, bias, mean, variance = (values[name].astype(np.float64) for name in norm.input[1:5])
        factor = scale / np.sqrt(variance + _attribute(norm, "epsilon", 1e-5))
        weight = values[conv.input[1]].copy()
        shift = values[conv.input[2]].copy() if len(conv.input) > 2 else np.zeros(len(weight), weight.dtype)
        weight[rows] = weight[rows] * factor.reshape(-1, *[1] * (weight.ndim - 1))
        shift[rows] = (shift[rows] - mean) * factor + bias
        if len(conv.input) < 3:
            conv.input.append(f"{conv.output[0]}_bias")
        kept = [entry for entry in graph.initializer if entry.name not in conv.input[1:]]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        for name, value in zip(conv.input[1:], (weight, shift), strict=True):
            values[name] = value
            graph.initializer.append(numpy_helper.from_array(value, name))
        # The part takes the name that the readers of the normalised channels know.
        part.output[:] = [norm.output[0] if name == norm.input[0] else name for name in part.output]
        _remove(graph, [norm])


def fold_means(model: onnx.ModelProto) -> list[str]:
    """Makes means along one side of maps depthwise convolutions, in place, and means of whole maps global poolings.

    Both have 8-bit kernels, which means have not. Means that drop their axes are left alone: embeddings come of them.

    Args:
        model: A network whose maps are (N, C, H, W).

    Returns:
        Names of the convolutions.
    """
    graph = model.graph
    shapes, values = _shapes(model), _constants(graph)
    names = []
    for node in [node for node in graph.node if node.op_type == "ReduceMean"]:
        told = values.get(node.input[1], ()) if len(node.input) > 1 else _attribute(node, "axes", ())
        sizes = shapes.get(node.input[0], [])
        if len(sizes) != 4 or not _attribute(node, "keepdims", 1):
            continue
        axes = sorted(int(axis) % 4 for axis in told)
        channels = sizes[1]
        if axes == [2, 3]:
            made = helper.make_node("GlobalAveragePool", node.input[:1], node.output)
        elif axes in ([2], [3]) and channels and (length := sizes[axes[0]]):
            kernel = [length, 1] if axes == [2] else [1, length]
            weight = np.full((channels, 1, *kernel), 1.0 / length, np.float32)
            graph.initializer.append(numpy_helper.from_array(weight, f"{node.output[0]}_weight"))
            inputs = [node.input[0], f"{node.output[0]}_weight"]
            made = helper.make_node("Conv", inputs, node.output, kernel_shape=kernel, group=channels)
            names.append(node.name)
        else:
            continue
        made.name = node.name
        node.CopyFrom(made)
    return names


def _parts(graph: onnx.GraphProto, conv: onnx.NodeProto, values: dict[str, np.ndarray]) -> dict[str, slice]:
    """Returns the channels in each part that a convolution is split into; none when it is read otherwise as well."""
    readers = _readers(graph, conv.output[0])
    node = readers[0]
    lone = len(readers) == 1 and node.op_type == "Split" and _attribute(node, "axis", 0) == 1
    outputs = {entry.name for entry in graph.output}
    if not lone or len(node.input) < 2 or node.input[1] not in values or outputs & {conv.output[0], *node.output}:
        return {}
    sizes = values[node.input[1]].tolist()
    return {name: slice(end - size, end) for name, end, size in zip(node.output, np.cumsum(sizes), sizes, strict=True)}


def _shapes(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """Returns the sizes of activations, None for what is open."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {}
    for entry in (*graph.input, *graph.value_info, *graph.output):
        sizes = entry.type.tensor_type.shape.dim
        found[entry.name] = [size.dim_value if size.HasField("dim_value") else None for size in sizes]
    return found


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    return {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}


def _readers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name in node.input]


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)


def _remove(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    for node in nodes:
        graph.node.remove(node)


def _reads_all_sizes(node: onnx.NodeProto) -> bool:
    return node.op_type == "Shape" and _attribute(node, "start", 0) == 0 and _attribute(node, "end", None) is None


def _is_short(value: np.ndarray | None) -> bool:
    return value is not None and value.dtype.kind == "i" and value.size <= _MAX_INTEGERS


def _evaluated(node: onnx.NodeProto, values: dict[str, np.ndarray], model: onnx.ModelProto) -> np.ndarray:
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in node.input]
    outputs = [helper.make_tensor_value_info(node.output[0], TensorProto.INT64, None)]
    single = helper.make_model(helper.make_graph([node], "one", inputs, outputs), opset_imports=model.opset_import)
    found: Any = ReferenceEvaluator(single).run(None, {name: values[name] for name in node.input})
    return np.asarray(found[0])
