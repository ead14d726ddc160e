"""What is exported of a checkpoint: a network from images to embeddings of norm 1, whatever the file format."""

import copy
import dataclasses
import os
from pathlib import Path

import torch
from torch import nn

from reid.checkpoint import Card
from reid.data.images import Preprocessing
from reid.models.layers import GeM
from reid.models.reparameterise import reparameterise
from reid.torch_backend import count_cameras, load_model

INPUT_KINDS = ("float32", "uint8")


class EmbeddingNetwork(nn.Module):
    """Images to embeddings of norm 1, with the normalisation of the images inside for uint8.

    Args:
        model: Returns a `ReIDOutput`.
        preprocessing: Mean and standard deviation.
        input_kind: "float32" or "uint8".
        camera: The camera of all images, None for a model without cameras.
        fp16: Turns the model's weights into half precision, in place, and computes in it. The powers of GeM and the
            final norm, which leave its range, stay in float32, and so do input and output.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        input_kind: str,
        camera: int | None = None,
        fp16: bool = False,
    ) -> None:
        super().__init__()
        self.kind = torch.float16 if fp16 else torch.float32
        self.register_buffer("camera", None if camera is None else torch.tensor([camera]))
        self.model = model.half() if fp16 else model
        self.inside = input_kind == "uint8"
        self.register_buffer("mean", 255.0 * torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255.0 * torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (N, 3, H, W) to embeddings (N, D) with rows of norm 1."""
        if self.inside:
            images = (images.float() - self.mean) / self.std  # type: ignore[operator]
        # One number for the whole batch: its vector is added to every row.
        embeddings = self.model(images.to(self.kind), self.camera).embeddings.float()
        return embeddings / embeddings.norm(dim=1, keepdim=True).clamp_min(1e-12)


class FastGeM(nn.Module):
    """`GeM` with its power as exp(p log x), which runtimes have vector instructions for and which pow has not.

    Args:
        pool: The layer whose exponent and bound are taken.
    """

    def __init__(self, pool: GeM) -> None:
        super().__init__()
        self.p = pool.p.item()
        self.eps = pool.eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pools (B, C, H, W) to (B, C)."""
        powers = (x.float().clamp(min=self.eps).log() * self.p).exp()
        return (powers.mean(dim=(2, 3)).log() / self.p).exp().to(x.dtype)


@dataclasses.dataclass(frozen=True)
class Exportable:
    """A checkpoint that is ready to be written in another format.

    Attributes:
        written: What goes into the file: branches merged, powers as exponentials.
        reference: The checkpoint's own network, which the file is compared with.
        card: What the file will say of itself.
    """

    written: EmbeddingNetwork
    reference: EmbeddingNetwork
    card: Card


def load_exportable(
    checkpoint: str | os.PathLike[str], input_kind: str = "float32", camera: int | None = None, fp16: bool = False
) -> Exportable:
    """Loads a checkpoint for export.

    Args:
        checkpoint: A .safetensors file.
        input_kind: "float32": the input is (N, 3, H, W), normalised already. "uint8": it is uint8 RGB.
        camera: For a network with camera vectors, the one that goes into the file, which then takes images alone.
        fp16: What is written has weights in half precision, and computes in it.

    Raises:
        FileNotFoundError: When the checkpoint is missing.
        ValueError: When it is damaged, the input kind is unknown, or camera is missing, unknown, or given for a network
            without camera vectors.
    """
    if input_kind not in INPUT_KINDS:
        raise ValueError(f"input_kind: got {input_kind!r}, allowed: {', '.join(INPUT_KINDS)}")
    model, card = load_model(Path(checkpoint), with_classifier=False)
    _check_camera(camera, count_cameras(model))
    merged = _with_fast_pools(reparameterise(model))
    reference = EmbeddingNetwork(model, card.preprocessing, input_kind, camera).eval()
    written = EmbeddingNetwork(merged, card.preprocessing, input_kind, camera, fp16).eval()
    options = card.options if camera is None else card.options | {"camera": camera}
    card = dataclasses.replace(card, num_classes=0, input_kind=input_kind, options=options)
    if camera is not None:
        # Its distances were those of images that each had the vector of their own camera.
        card = dataclasses.replace(card, calibration=None)
    return Exportable(written, reference, card)


def example_images(card: Card, count: int) -> torch.Tensor:
    """Returns smooth random images (count, 3, H, W) as the card's input kind wants them.

    Flat noise would leave most activations at their mean.
    """
    size = (card.preprocessing.height, card.preprocessing.width)
    noise = torch.rand((count, 3, 8, 4), generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(noise, size, mode="bilinear")
    if card.input_kind == "uint8":
        return (images * 255).to(torch.uint8)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (card.preprocessing.mean, card.preprocessing.std))
    return (images - mean) / std


def _check_camera(camera: int | None, num_cameras: int) -> None:
    if num_cameras and (camera is None or not 0 <= camera < num_cameras):
        raise ValueError(f"camera: got {camera}, allowed: 0 to {num_cameras - 1}, one of the training's cameras")
    if not num_cameras and camera is not None:
        raise ValueError(f"camera: got {camera}, allowed: none, for this network has no camera vectors")


def _with_fast_pools(model: nn.Module) -> nn.Module:
    new = copy.deepcopy(model)
    for parent in list(new.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, GeM):
                setattr(parent, name, FastGeM(child))
    return new.eval()
