"""Checkpoints, and ONNX files of anybody's, to ONNX in 8 bits."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from reid.embedder import Embedder
from reid.export_network import load_exportable
from reid.export_onnx import DEFAULT_OPSET, write_onnx
from reid.files import write_json
from reid.quantise import Quantised, QuantiseOptions, quantise_onnx
from reid.quantise_images import network_input


def export_int8(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    images: Sequence[np.ndarray],
    options: QuantiseOptions | None = None,
    *,
    input_kind: str = "float32",
    camera: int | None = None,
    opset: int = DEFAULT_OPSET,
) -> Quantised:
    """Writes a network with weights and activations of 8 bits.

    Distances of false match rates on the card are those of the float network: 8 bits move them by little, and a tracker
    without them lost 3 points of HOTA. `python -m reid.calibrate` finds the file's own.

    Args:
        source: A .safetensors checkpoint, or a float .onnx file, whose input and output keep their names.
        path: The .onnx file.
        images: Calibration images, uint8 RGB of any size.
        options: None takes the defaults.
        input_kind: As in `reid.export_onnx.export_onnx`; an .onnx file has its own.
        camera: As there.
        opset: As there.

    Returns:
        What stayed in float, and how near the embeddings are.

    Raises:
        FileNotFoundError: When the source is missing.
        ValueError: When the source is damaged, a path does not end in .onnx, or an option does not fit.
    """
    source, path = Path(source), Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"out: got {path}, allowed: a file name that ends in .onnx")
    if source.suffix == ".onnx":
        if camera is not None or input_kind != "float32":
            raise ValueError(
                f"camera, input_kind: got them for {source}, allowed: with a checkpoint; they are in the file"
            )
        return _from_onnx(source, path, images, options)
    network = load_exportable(source, input_kind, camera)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float.onnx"
        write_onnx(network, whole, opset)
        batch = network_input(images, network.card.preprocessing, input_kind)
        result = quantise_onnx(whole, path, batch, options)
    write_json(
        path.with_name(f"{path.name}.json"), network.card.to_dict() | {"quantisation": dataclasses.asdict(result)}
    )
    return result


def _from_onnx(source: Path, path: Path, images: Sequence[np.ndarray], options: QuantiseOptions | None) -> Quantised:
    embed = Embedder(source, device="cpu")  # says what is wrong with the file, and knows its preprocessing
    model = onnx.load(str(source))
    taken = model.graph.input[0].type.tensor_type.elem_type
    batch = network_input(images, embed.preprocessing, "uint8" if taken == onnx.TensorProto.UINT8 else "float32")
    return quantise_onnx(source, path, batch, options)
