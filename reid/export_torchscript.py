"""Checkpoints to TorchScript, for programs that have libtorch and no Python."""

import dataclasses
import json
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from reid.export_network import example_images, load_exportable
from reid.export_onnx import Parity, check_parity, compare
from reid.exported_card import CARD_KEY
from reid.files import atomic_path, write_json


def export_torchscript(
    checkpoint: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    input_kind: str = "float32",
    camera: int | None = None,
) -> Parity:
    """Writes a checkpoint as TorchScript and compares it with torch.

    Args:
        checkpoint: A .safetensors checkpoint.
        path: The .torchscript file; weights and card are inside.
        input_kind: As in `reid.export_onnx.export_onnx`.
        camera: As there.

    Returns:
        What the comparison gave, on images in batches of 1 and 5.

    Raises:
        ValueError: As `reid.export_onnx.export_onnx`, and when the path does not end in .torchscript.
    """
    path = Path(path)
    if path.suffix != ".torchscript":
        raise ValueError(f"out: got {path}, allowed: a file name that ends in .torchscript")
    network = load_exportable(checkpoint, input_kind, camera)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.no_grad():
            script = torch.jit.trace(network.written, (example_images(network.card, 2),), check_trace=False)
        torch.jit.save(script, str(temporary), _extra_files={CARD_KEY: json.dumps(network.card.to_dict())})
        loaded = torch.jit.load(str(temporary), map_location="cpu")

        def run(images: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return loaded(torch.from_numpy(images)).numpy()

        parity = compare(network, run)
        check_parity(parity, 0.9999, checkpoint, "TorchScript")
    write_json(path.with_name(f"{path.name}.json"), network.card.to_dict() | {"parity": dataclasses.asdict(parity)})
    return parity
