"""Checkpoints to OpenVINO: an .xml file with the network and the card, and the .bin file of its weights."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from reid.export_network import load_exportable
from reid.export_onnx import DEFAULT_OPSET, Parity, check_parity, compare, write_onnx
from reid.files import atomic_path, write_json
from reid.openvino_backend import CARD_PATH


def export_openvino(
    checkpoint: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    input_kind: str = "float32",
    camera: int | None = None,
    opset: int = DEFAULT_OPSET,
    fp16: bool = False,
) -> Parity:
    """Writes a checkpoint as OpenVINO IR and compares it with torch.

    OpenVINO keeps weights in a file of their own, so there are two: FILE.xml and FILE.bin.

    Args:
        checkpoint: A .safetensors checkpoint.
        path: The .xml file.
        input_kind: As in `reid.export_onnx.export_onnx`.
        camera: As there.
        opset: Of the ONNX network on the way.
        fp16: Stores the weights in half precision; the runtime chooses in what it computes.

    Returns:
        What the comparison gave.

    Raises:
        ModuleNotFoundError: When OpenVINO is not installed.
        ValueError: As `reid.export_onnx.export_onnx`, and when the path does not end in .xml.
    """
    path = Path(path)
    if path.suffix != ".xml":
        raise ValueError(f"out: got {path}, allowed: a file name that ends in .xml")
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("OpenVINO is not installed; pip install openvino") from error
    network = load_exportable(checkpoint, input_kind, camera)
    with tempfile.TemporaryDirectory() as folder:
        onnx_path, own = Path(folder) / "model.onnx", Path(folder) / "model.xml"
        write_onnx(network, onnx_path, opset)
        model = openvino.Core().read_model(str(onnx_path))
        model.set_rt_info(json.dumps(network.card.to_dict()), list(CARD_PATH))
        openvino.save_model(model, str(own), compress_to_fp16=fp16)
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(str(own)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def run(images: np.ndarray) -> np.ndarray:
            return compiled({0: images})[compiled.output(0)]

        parity = compare(network, run)
        check_parity(parity, 0.999 if fp16 else 0.9999, checkpoint, "OpenVINO")
        # The network names no file of weights; it is found by its name, and comes first.
        for source, target in ((own.with_suffix(".bin"), path.with_suffix(".bin")), (own, path)):
            with atomic_path(target) as temporary:
                temporary.write_bytes(source.read_bytes())
    write_json(path.with_name(f"{path.name}.json"), network.card.to_dict() | {"parity": dataclasses.asdict(parity)})
    return parity
