"""Checkpoints to ONNX, checked against torch before the file is put in place."""

import dataclasses
import json
import logging
import os
import sys
import warnings
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import onnx
import torch
from torch import nn

from reid.checkpoint import Card
from reid.config import run_entry_point
from reid.data.images import Preprocessing
from reid.files import atomic_path, write_json
from reid.models.reparameterise import reparameterise
from reid.onnx_backend import CARD_KEY, open_session
from reid.torch_backend import count_cameras, load_model

INPUT_KINDS = ("float32", "uint8")
OPSET = 18


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Exports a checkpoint to one ONNX file with the weights inside and a dynamic batch size."""

    ckpt: Path
    """The .safetensors checkpoint."""
    out: Path
    """The .onnx file to write; its card goes beside it as .onnx.json, for people."""
    input_kind: str = "float32"
    """"float32" takes normalised images, "uint8" has the normalisation inside."""
    camera: int | None = None
    """The camera whose images the file will see; asked for, and only taken, where the network has camera vectors."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far ONNX and torch are apart on the same images.

    Attributes:
        max_abs_difference: Largest difference of an embedding's value.
        min_cosine: Smallest cosine between the two embeddings of an image.
        num_images: How many images were compared.
    """

    max_abs_difference: float
    min_cosine: float
    num_images: int


class EmbeddingNetwork(nn.Module):
    """What is exported: images to embeddings, with the normalisation inside for uint8 images.

    Args:
        model: Returns a `ReIDOutput`.
        preprocessing: Mean and standard deviation.
        input_kind: "float32" or "uint8".
        camera: The camera of all images, None for a model without cameras.
    """

    def __init__(
        self, model: nn.Module, preprocessing: Preprocessing, input_kind: str, camera: int | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("camera", None if camera is None else torch.tensor([camera]))
        self.model = model
        self.inside = input_kind == "uint8"
        self.register_buffer("mean", 255.0 * torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255.0 * torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (N, 3, H, W) to embeddings (N, D), not L2-normalised."""
        if self.inside:
            images = (images.float() - self.mean) / self.std  # type: ignore[operator]
        # One number for the whole batch: its vector is added to every row.
        return self.model(images, self.camera).embeddings


def export_onnx(
    checkpoint: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    input_kind: str = "float32",
    min_cosine: float = 0.9999,
    camera: int | None = None,
) -> Parity:
    """Writes a checkpoint as ONNX and compares it with torch.

    Args:
        checkpoint: A .safetensors checkpoint.
        path: The .onnx file; it appears only when the comparison holds.
        input_kind: "float32": the input `images` is (N, 3, H, W), normalised already. "uint8": it is uint8 RGB.
        min_cosine: The least cosine between torch's and ONNX's embedding of an image.
        camera: For a network with camera vectors, the one that goes into the file, which then takes images alone.

    Returns:
        What the comparison gave, on images in batches of 1 and 5.

    Raises:
        ValueError: When the input kind is unknown, the path does not end in .onnx, the two do not agree, or camera
            is missing, unknown, or given for a network without camera vectors.
    """
    path = Path(path)
    if input_kind not in INPUT_KINDS:
        raise ValueError(f"input_kind: got {input_kind!r}, allowed: {', '.join(INPUT_KINDS)}")
    if path.suffix != ".onnx":
        raise ValueError(f"out: got {path}, allowed: a file name that ends in .onnx")
    model, card = load_model(Path(checkpoint), with_classifier=False)
    _check_camera(camera, count_cameras(model))
    # What is written is merged; what it is compared with is not.
    network, merged = (
        EmbeddingNetwork(part, card.preprocessing, input_kind, camera).eval() for part in (model, reparameterise(model))
    )
    options = card.options if camera is None else card.options | {"camera": camera}
    card = dataclasses.replace(card, num_classes=0, input_kind=input_kind, options=options)
    if camera is not None:
        # Its distances were those of images that each had the vector of their own camera.
        card = dataclasses.replace(card, calibration=None)
    with atomic_path(path) as temporary:
        _write(merged, card, temporary)
        parity = _compare(network, card, temporary)
        if not parity.min_cosine >= min_cosine:  # NaN fails too
            raise ValueError(f"{checkpoint}: ONNX and torch disagree ({parity}), allowed: cosine {min_cosine} or more")
    write_json(path.with_name(f"{path.name}.json"), card.to_dict() | {"parity": dataclasses.asdict(parity)})
    return parity


def _check_camera(camera: int | None, num_cameras: int) -> None:
    if num_cameras and (camera is None or not 0 <= camera < num_cameras):
        raise ValueError(f"camera: got {camera}, allowed: 0 to {num_cameras - 1}, one of the training's cameras")
    if not num_cameras and camera is not None:
        raise ValueError(f"camera: got {camera}, allowed: none, for this network has no camera vectors")


def _example(card: Card, count: int) -> torch.Tensor:
    """Returns smooth random images: flat noise would leave most activations at their mean."""
    size = (card.preprocessing.height, card.preprocessing.width)
    noise = torch.rand((count, 3, 8, 4), generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(noise, size, mode="bilinear")
    if card.input_kind == "uint8":
        return (images * 255).to(torch.uint8)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (card.preprocessing.mean, card.preprocessing.std))
    return (images - mean) / std


def _write(network: EmbeddingNetwork, card: Card, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (_example(card, 2),),
            str(path),
            input_names=["images"],
            output_names=["embeddings"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    model = onnx.load(str(path))
    onnx.checker.check_model(model)
    model.metadata_props.add(key=CARD_KEY, value=json.dumps(card.to_dict()))
    onnx.save(model, str(path))


def _compare(network: EmbeddingNetwork, card: Card, path: Path) -> Parity:
    session = open_session(path, "cpu", None)
    ours, theirs = [], []
    for count in (1, 5):
        images = _example(card, count)
        with torch.inference_mode():
            ours.append(network(images).numpy())
        theirs.append(session.run(None, {"images": images.numpy()})[0])
    a, b = np.concatenate(ours), np.concatenate(theirs)
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return Parity(float(np.abs(a - b).max()), float(cosine.min()), len(a))


def main(config: ExportConfig) -> None:
    """Exports and prints the comparison."""
    parity = export_onnx(config.ckpt, config.out, input_kind=config.input_kind, camera=config.camera)
    size = config.out.stat().st_size / 2**20
    print(f"wrote {config.out} ({size:.1f} MiB, {config.input_kind} input)")
    print(
        f"against torch on {parity.num_images} images: cosine >= {parity.min_cosine:.6f}, "
        f"difference <= {parity.max_abs_difference:.2e}"
    )


if __name__ == "__main__":
    run_entry_point(main, ExportConfig)
