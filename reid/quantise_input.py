"""8-bit networks that take uint8 images: the pixels themselves are the first layer's activation."""

import dataclasses

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclasses.dataclass(frozen=True)
class _Normalisation:
    """What stands between uint8 images and the first layers.

    Attributes:
        cast: What makes floats of the pixels.
        nodes: What follows it, up to the normalised images.
        layers: The convolutions that read these.
        scale: float64 (3,), and
        shift: float64 (3,): normalised = scale * pixel + shift.
    """

    cast: onnx.NodeProto
    nodes: list[onnx.NodeProto]
    layers: list[onnx.NodeProto]
    scale: np.ndarray
    shift: np.ndarray


def fold_normalisation(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """Puts the normalisation of uint8 images, in place, into the weights of the layers that read them.

    What remains before these layers, s (x - z) with one s and one whole z for all channels, is what quantised
    pixels with this scale and this zero point stand for; `skip_normalisation` takes it out. Inside the image nothing
    changes. The zeros that a convolution puts around it have been the mean colour and become the grey z, the mean of
    its channels: 10 of 255 away in ImageNet's red and blue.

    Args:
        model: A float network, with constants as initializers.

    Returns:
        The range of the tensor whose quantised values are the pixels, by its name; nothing, with the model as it was,
        where the input is not uint8 or something else than convolutions reads what was normalised.
    """
    found = _find(model.graph)
    if found is None:
        return {}
    graph = model.graph
    name = found.nodes[-1].output[0]
    zero = int(np.clip(np.round((-found.shift / found.scale).mean()), 0, 255))
    step = float(np.float32(found.scale.mean()))
    values = {entry.name: entry for entry in graph.initializer}
    for layer in found.layers:
        weight = numpy_helper.to_array(values[layer.input[1]]).astype(np.float64)  # (O, 3, h, w)
        bias = numpy_helper.to_array(values[layer.input[2]]) if len(layer.input) > 2 else np.zeros(len(weight))
        bias = bias + np.einsum("ochw,c->o", weight, found.scale * zero + found.shift)
        weight = weight * (found.scale / step)[:, None, None]
        inputs = [name, _add(graph, f"{layer.name}.pixel_weight", weight), _add(graph, f"{layer.name}.bias", bias)]
        del layer.input[:]
        layer.input.extend(inputs)
    centred = f"{name}.centred"
    place = list(graph.node).index(found.nodes[0])
    for node in found.nodes:
        graph.node.remove(node)
    centre = _add(graph, f"{name}.zero", np.array(zero))
    graph.node.insert(place, helper.make_node("Sub", [found.cast.output[0], centre], [centred], centred))
    factor = _add(graph, f"{name}.step", np.array(step))
    graph.node.insert(place + 1, helper.make_node("Mul", [centred, factor], [name], f"{name}.scaled"))
    _drop_unused(graph)
    return {name: (-zero * step, (255 - zero) * step)}


def skip_normalisation(model: onnx.ModelProto) -> onnx.ModelProto:
    """Joins, in place, uint8 images with what their quantised normalisation goes to, where that gives them back.

    Args:
        model: What became of a network that `fold_normalisation` changed; any other stays as it is.

    Returns:
        The model.
    """
    graph = model.graph
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    source = graph.input[0]
    if source.type.tensor_type.elem_type != TensorProto.UINT8:
        return model
    pixels = np.arange(256)
    chain = {source.name: pixels.astype(np.float32)}  # tensor: its value at each pixel value
    for node in graph.node:
        if not node.input or node.input[0] not in chain:
            continue
        held, others = chain[node.input[0]], [values.get(name) for name in node.input[1:]]
        if node.op_type == "Cast":
            chain[node.output[0]] = held
        elif node.op_type in ("Sub", "Mul") and others[0] is not None and others[0].size == 1:
            chain[node.output[0]] = held - others[0].item() if node.op_type == "Sub" else held * others[0].item()
        elif node.op_type == "QuantizeLinear" and all(other is not None and other.size == 1 for other in others):
            step, zero = (np.asarray(other) for other in others)
            levels = np.clip(np.rint(held / step) + zero.item(), 0, 255)
            if zero.dtype == np.uint8 and np.array_equal(levels, pixels):
                _rename(graph, node.output[0], source.name)
    _drop_unused(graph)
    return model


def _find(graph: onnx.GraphProto) -> _Normalisation | None:
    """Follows uint8 images to the convolutions; None where there is something else on the way."""
    if len(graph.input) != 1 or graph.input[0].type.tensor_type.elem_type != TensorProto.UINT8:
        return None
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    (cast, *others) = readers.get(graph.input[0].name, [None])
    if cast is None or others or cast.op_type != "Cast" or cast.attribute[0].i != TensorProto.FLOAT:
        return None
    scale, shift, nodes, name = np.ones(3), np.zeros(3), [], cast.output[0]
    while True:
        reading = readers.get(name, [])
        if reading and all(_reads_pixels(node, name, values) for node in reading):
            break
        constant = _constant(reading[0], name, values) if len(reading) == 1 else None
        if constant is None:
            return None
        kind = reading[0].op_type
        if kind in ("Add", "Sub"):
            shift = shift + constant if kind == "Add" else shift - constant
        else:
            factor = constant if kind == "Mul" else 1 / constant
            scale, shift = scale * factor, shift * factor
        nodes.append(reading[0])
        name = reading[0].output[0]
    if not nodes or (scale <= 0).any():
        return None
    return _Normalisation(cast, nodes, reading, scale, shift)


def _reads_pixels(node: onnx.NodeProto, name: str, values: dict[str, np.ndarray]) -> bool:
    """Whether this is a convolution of these three channels with known weights."""
    known = node.op_type == "Conv" and node.input[0] == name and all(entry in values for entry in node.input[1:])
    return known and values[node.input[1]].ndim == 4 and values[node.input[1]].shape[1] == 3


def _constant(node: onnx.NodeProto, name: str, values: dict[str, np.ndarray]) -> np.ndarray | None:
    """Returns float64 (3,), what each channel is combined with; None where that is something else."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    first, second = node.input
    if second == name and node.op_type in ("Add", "Mul"):
        first, second = second, first
    value = values.get(second) if first == name else None
    if value is None or value.shape[-3:] not in ((), (1,), (1, 1, 1), (3, 1, 1)) or value.size not in (1, 3):
        return None
    return np.broadcast_to(value.astype(np.float64).reshape(-1), (3,))


def _add(graph: onnx.GraphProto, name: str, value: np.ndarray) -> str:
    """Adds a float32 constant; returns its name, changed where that is taken."""
    taken = {entry.name for entry in graph.initializer} | {entry for node in graph.node for entry in node.output}
    while name in taken:
        name += "_"
    graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    return name


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for number, name in enumerate(node.input):
            if name == old:
                node.input[number] = new


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Takes out, in place, nodes and constants that nothing reads."""
    while True:
        wanted = {name for node in graph.node for name in node.input} | {entry.name for entry in graph.output}
        unused = [node for node in graph.node if not any(name in wanted for name in node.output)]
        if not unused:
            break
        for node in unused:
            graph.node.remove(node)
    for entry in [entry for entry in graph.initializer if entry.name not in wanted]:
        graph.initializer.remove(entry)
