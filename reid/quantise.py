"""ONNX networks in 8 bits: static quantisation with calibration images, layers that suffer left in float."""

import contextlib
import dataclasses
import io
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter

from reid.files import atomic_path
from reid.onnx_backend import open_session
from reid.quantise_images import HELD_OUT
from reid.quantise_input import fold_normalisation, skip_normalisation
from reid.quantise_ranges import activation_ranges
from reid.quantise_rewrites import map_tensors, rewrite
from reid.quantise_search import choose_float_layers, search_progress

QUANTISATION_KEY = "quantisation"  # of the metadata
# Layers with weights; each may stay in float.
WEIGHTED = ("Conv", "Gemm", "MatMul")
# What lies between them and has 8-bit kernels. Powers and norms have none or lose too much.
_BETWEEN = ("Relu", "Clip", "Add", "Mul", "Sigmoid", "MaxPool", "GlobalAveragePool", "Concat", "Split")
# What of it may stand behind the last layer, on maps: gates and the residual connection of the last block.
_BEHIND = ("Relu", "Add", "Mul", "Sigmoid")

_OPSET = 13  # the first with a scale a channel


@dataclasses.dataclass(frozen=True)
class QuantiseOptions:
    """How a network is quantised.

    Attributes:
        method: A key of `reid.quantise_ranges.METHODS`.
        percentile: Share of values that "percentile" keeps, in percent.
        min_cosine: Mean cosine between the embeddings of float and 8 bits, on images that were not calibrated with,
            which layers are left in float for. At 0.99 OSNet x0.25 kept its mAP to 0.1 points; the search is slow
            (a trial a layer), and 120 of its 188 layers in float (0.994) gave no more.

    Raises:
        ValueError: When min_cosine is not below 1.
    """

    method: str = "percentile"
    percentile: float = 99.999
    min_cosine: float = 0.99

    def __post_init__(self) -> None:
        if not 0 < self.min_cosine < 1:
            raise ValueError(f"min_cosine: got {self.min_cosine}, allowed: above 0, below 1")


@dataclasses.dataclass(frozen=True)
class Quantised:
    """What came of a quantisation.

    Attributes:
        num_layers: Layers with weights.
        float_layers: Names of those that stayed in float.
        mean_cosine: Between the embeddings of float and 8 bits, on images that were not calibrated with.
        min_cosine: The smallest of them.
        num_images: Calibration images.
    """

    num_layers: int
    float_layers: tuple[str, ...]
    mean_cosine: float
    min_cosine: float
    num_images: int


def quantise_onnx(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    images: np.ndarray,
    options: QuantiseOptions | None = None,
) -> Quantised:
    """Writes an ONNX network with 8-bit weights (a scale a channel) and activations (a scale a tensor).

    QuantizeLinear and DequantizeLinear pairs stand around each layer, uint8 activations and int8 weights, which
    onnxruntime, OpenVINO and TensorRT fuse into integer kernels. Before, the graph is rewritten so that less stands
    between them (`reid.quantise_rewrites`), and the first layer takes uint8 images as they are
    (`reid.quantise_input`). Pooling and norm behind the last layer with weights stay in float. The metadata of the
    source is kept.

    Args:
        source: A float .onnx file with one input.
        path: The .onnx file to write.
        images: As the network's input wants them, (N, 3, H, W), N of 2 or more. Each fourth is for measuring.
        options: None takes the defaults.

    Returns:
        What stayed in float, and how near the embeddings are.

    Raises:
        ValueError: When the network is damaged, has no layer to quantise or is quantised already, an option is
            wrong, or even a network all in float would miss min_cosine.
    """
    options = options or QuantiseOptions()
    source, path = Path(source), Path(path)
    if len(images) < 2:
        raise ValueError(f"calibration_images: got {len(images)}, allowed: 2 or more")
    session = open_session(source, "cpu", None)
    name = session.get_inputs()[0].name
    held_out, calibration = images[HELD_OUT], np.delete(images, HELD_OUT, axis=0)
    original = _embed(session, name, held_out)
    model = _prepared(source)
    quantiser = _Quantiser(model, calibration, options, source)

    def measure(float_layers: Sequence[str]) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            trial = Path(folder) / "trial.onnx"
            onnx.save(quantiser.build(float_layers), str(trial))
            found = _embed(open_session(trial, "cpu", None), name, held_out)
        return (original * found).sum(axis=1)

    with search_progress() as tell:
        float_layers, cosines = choose_float_layers(quantiser.layers, measure, options.min_cosine, tell)
    result = Quantised(
        len(quantiser.layers), tuple(float_layers), float(cosines.mean()), float(cosines.min()), len(calibration)
    )
    built = quantiser.build(float_layers)
    _copy_metadata(source, built, result, options)
    with atomic_path(path) as temporary:
        onnx.save(built, str(temporary))
    return result


class _Quantiser:
    """Builds 8-bit versions of one network, which differ in the layers that stay in float."""

    def __init__(self, model: onnx.ModelProto, images: np.ndarray, options: QuantiseOptions, source: Path) -> None:
        nodes = model.graph.node
        if any(node.op_type in ("QuantizeLinear", "DequantizeLinear", "QLinearConv") for node in nodes):
            raise ValueError(f"{source}: is quantised already, allowed: a float network")
        averages = rewrite(model)
        self.unfolded = onnx.ModelProto()  # for a first layer in float, which loses nothing this way
        self.unfolded.CopyFrom(model)
        pixels = fold_normalisation(model)
        self.first = {node.name for node in nodes if node.input and node.input[0] in pixels}
        constants = {entry.name for entry in model.graph.initializer}
        self.layers = [
            n.name for n in nodes if n.op_type in WEIGHTED and n.input[1] in constants and n.name not in averages
        ]
        if not self.layers:
            raise ValueError(f"{source}: has no layer of {', '.join(WEIGHTED)} to quantise")
        self.following = _following(nodes, self.layers, averages, map_tensors(model))
        quantised = {*self.layers, *(name for names in self.following.values() for name in names)}
        touched = [n for n in nodes if n.name in quantised]
        tensors = {name for node in touched for name in (*node.input, *node.output)} - constants
        found = activation_ranges(model, tensors, images, options.method, percentile=options.percentile)
        self.ranges = _without_negatives(model, found) | pixels
        self.model = model

    def build(self, float_layers: Sequence[str]) -> onnx.ModelProto:
        """Returns the network with all but these layers in 8 bits."""
        from onnxruntime.quantization import CalibrationMethod, QuantType
        from onnxruntime.quantization.calibrate import TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copied = onnx.ModelProto()
        copied.CopyFrom(self.unfolded if self.first & set(float_layers) else self.model)
        ranges = {
            name: (np.array(low, np.float32), np.array(high, np.float32)) for name, (low, high) in self.ranges.items()
        }
        kept = set(float_layers)
        chosen = [name for layer in self.layers if layer not in kept for name in (layer, *self.following[layer])]
        if not chosen:
            return copied
        with _silence():
            quantizer = QDQQuantizer(
                copied,
                per_channel=True,
                reduce_range=False,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
                nodes_to_quantize=chosen,
                nodes_to_exclude=[],
                op_types_to_quantize=[*WEIGHTED, *_BETWEEN],
                extra_options={},
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
        return skip_normalisation(quantizer.model.model)


def _following(
    nodes: Sequence[onnx.NodeProto], layers: Sequence[str], averages: Set[str], maps: Set[str]
) -> dict[str, list[str]]:
    """Returns, for each layer, the nodes behind it that share its arithmetic: those up to the next layer.

    Behind the last one these are the nodes on maps that come first: pooling and norm stay in float.
    """
    found: dict[str, list[str]] = {name: [] for name in layers}
    layer, ended = "", False
    for node in nodes:
        if node.name in found:
            layer = node.name
        elif layer == layers[-1]:
            ended = ended or node.op_type not in _BEHIND or node.output[0] not in maps
            found[layer] += [] if ended else [node.name]
        elif layer and (node.op_type in _BETWEEN or node.name in averages):
            found[layer].append(node.name)
    return found


def _without_negatives(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Gives tensors that only a ReLU, or a bound from below at zero or above, reads no room for what it cuts off."""
    values = {entry.name: entry for entry in model.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def cuts(node: onnx.NodeProto) -> bool:
        if node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in values:
            return float(onnx.numpy_helper.to_array(values[node.input[1]])) >= 0
        return node.op_type == "Relu"

    return {
        name: (0.0 if readers.get(name) and all(map(cuts, readers[name])) else low, high)
        for name, (low, high) in ranges.items()
    }


def _prepared(source: Path) -> onnx.ModelProto:
    """Returns the network with normalisations folded into convolutions, constants computed and names for all nodes."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _silence():
        target = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
        model = onnx.load(str(target))
    if next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) < _OPSET:
        model = onnx.version_converter.convert_version(model, _OPSET)
    taken = {node.name for node in model.graph.node}
    for number, node in enumerate(model.graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{number}"
            while node.name in taken:
                node.name += "_"
    return model


def _copy_metadata(source: Path, model: onnx.ModelProto, result: Quantised, options: QuantiseOptions) -> None:
    del model.metadata_props[:]
    for entry in onnx.load(str(source), load_external_data=False).metadata_props:
        if entry.key != QUANTISATION_KEY:
            model.metadata_props.add(key=entry.key, value=entry.value)
    told = dataclasses.asdict(result) | dataclasses.asdict(options) | {"min_cosine": result.min_cosine}
    model.metadata_props.add(key=QUANTISATION_KEY, value=json.dumps(told))


def _embed(session: Any, name: str, images: np.ndarray) -> np.ndarray:
    """Returns embeddings of norm 1."""
    entry = session.get_inputs()[0].shape[0]
    step = entry if isinstance(entry, int) else 16
    rows = []
    for start in range(0, len(images), step):
        batch = images[start : start + step]
        full = (
            np.concatenate([batch, np.repeat(batch[-1:], step - len(batch), axis=0)])
            if isinstance(entry, int)
            else batch
        )
        rows.append(session.run(None, {name: full})[0][: len(batch)])
    found = np.concatenate(rows)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


@contextlib.contextmanager
def _silence() -> Any:
    """Keeps onnxruntime's tools from printing and from warning on the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
