"""Checkpoints to ONNX, checked against torch before the file is put in place."""

import dataclasses
import json
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from reid.checkpoint import Card
from reid.export_network import EmbeddingNetwork, Exportable, example_images, load_exportable
from reid.exported_card import CARD_KEY
from reid.files import atomic_path, write_json
from reid.onnx_backend import open_session

OPSETS = (13, 23)
DEFAULT_OPSET = 18
# The newer exporter knows no older operator sets, and its conversion to them fails on every network with a mean.
_OLDEST_OF_NEW_EXPORTER = 18


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far an exported file and torch are apart on the same images.

    Attributes:
        max_abs_difference: Largest difference of a value of an embedding, which has norm 1.
        min_cosine: Smallest cosine between the two embeddings of an image.
        num_images: How many images were compared.
    """

    max_abs_difference: float
    min_cosine: float
    num_images: int


def export_onnx(
    checkpoint: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    input_kind: str = "float32",
    min_cosine: float | None = None,
    camera: int | None = None,
    opset: int = DEFAULT_OPSET,
    fp16: bool = False,
) -> Parity:
    """Writes a checkpoint as ONNX and compares it with torch.

    The input is `images` (N, 3, H, W) with any N, the output `embeddings` (N, D) with rows of norm 1. The weights and
    the card are in the file.

    Args:
        checkpoint: A .safetensors checkpoint.
        path: The .onnx file; it appears only when the comparison holds.
        input_kind: "float32": the input is normalised already. "uint8": it is uint8 RGB.
        min_cosine: The least cosine between torch's and ONNX's embedding of an image; None takes 0.9999, or 0.999 for
            fp16.
        camera: For a network with camera vectors, the one that goes into the file, which then takes images alone.
        opset: ONNX's operator set, 13 to 23. Below 18 torch's older exporter writes the file.
        fp16: Stores weights, and computes all but the powers of GeM and the norm, in half precision.

    Returns:
        What the comparison gave, on images in batches of 1 and 5.

    Raises:
        ValueError: When an option is none of these, the path does not end in .onnx, the two do not agree, or camera
            is missing, unknown, or given for a network without camera vectors.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"out: got {path}, allowed: a file name that ends in .onnx")
    network = load_exportable(checkpoint, input_kind, camera, fp16)
    least = (0.999 if fp16 else 0.9999) if min_cosine is None else min_cosine
    return write_checked_onnx(network, path, opset, least, checkpoint)


def write_checked_onnx(
    network: Exportable, path: Path, opset: int, min_cosine: float, checkpoint: str | os.PathLike[str]
) -> Parity:
    """Writes the file, card inside and beside it, once the comparison with torch holds.

    Args:
        network: What is written.
        path: The .onnx file.
        opset: ONNX's operator set.
        min_cosine: The least cosine between torch's and ONNX's embedding of an image.
        checkpoint: Where the network comes from, for messages.

    Raises:
        ValueError: When the operator set is unknown, torch cannot write the network with it, or the two do not agree.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise ValueError(f"opset: got {opset}, allowed: {OPSETS[0]} to {OPSETS[1]}")
    with atomic_path(path) as temporary:
        write_onnx(network, temporary, opset)
        parity = compare_session(network, temporary)
        check_parity(parity, min_cosine, checkpoint, "ONNX")
    write_json(path.with_name(f"{path.name}.json"), network.card.to_dict() | {"parity": dataclasses.asdict(parity)})
    return parity


def write_onnx(network: Exportable, path: Path, opset: int = DEFAULT_OPSET) -> None:
    """Writes the file, card inside, without any comparison.

    Raises:
        ValueError: When torch cannot write the network with this operator set.
    """
    _export(network.written, network.card, path, opset)
    model = onnx.load(str(path))
    found = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if found != opset:
        raise ValueError(
            f"opset: got {opset}, but torch can write this network with {found} only; give --opset {found}"
        )
    onnx.checker.check_model(model)
    set_card(model, network.card)
    # torch notes for each node which lines of which files, with their folders, made it.
    for part in (model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info):
        del part.metadata_props[:]
    onnx.save(model, str(path))


def set_card(model: onnx.ModelProto, card: Card) -> None:
    """Puts a card into the metadata of a model, in the place of an earlier one."""
    others = [entry for entry in model.metadata_props if entry.key != CARD_KEY]
    kept = [(entry.key, entry.value) for entry in others]
    del model.metadata_props[:]
    for key, value in (*kept, (CARD_KEY, json.dumps(card.to_dict()))):
        model.metadata_props.add(key=key, value=value)


def compare_session(network: Exportable, path: Path) -> Parity:
    """Compares an ONNX file with torch on images in batches of 1 and 5."""
    session = open_session(path, "cpu", None)
    return compare(network, lambda images: session.run(None, {"images": images})[0])


def compare(network: Exportable, run: Callable[[np.ndarray], Any]) -> Parity:
    """Compares what `run` gives with torch on images in batches of 1 and 5."""
    ours, theirs = [], []
    for count in (1, 5):
        images = example_images(network.card, count)
        with torch.inference_mode():
            ours.append(network.reference(images).numpy())
        theirs.append(np.asarray(run(images.numpy()), np.float32))
    a, b = np.concatenate(ours), np.concatenate(theirs)
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return Parity(float(np.abs(a - b).max()), float(cosine.min()), len(a))


def check_parity(parity: Parity, least: float, checkpoint: str | os.PathLike[str], kind: str) -> None:
    """Raises a ValueError when the cosine is below the least one, or NaN."""
    if not parity.min_cosine >= least:
        raise ValueError(f"{checkpoint}: {kind} and torch disagree ({parity}), allowed: cosine {least} or more")


def _export(network: EmbeddingNetwork, card: Card, path: Path, opset: int) -> None:
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["embeddings"], "opset_version": opset}
    names["verbose"] = False  # it would print its steps
    kinds: dict[str, Any] = {
        "dynamo": True,
        "dynamic_shapes": {"images": {0: torch.export.Dim("batch", min=1)}},
        "external_data": False,
    }
    if opset < _OLDEST_OF_NEW_EXPORTER:
        axes = {"images": {0: "batch"}, "embeddings": {0: "batch"}}
        kinds = {"dynamo": False, "dynamic_axes": axes, "do_constant_folding": True}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (example_images(card, 2),), str(path), **names, **kinds)
