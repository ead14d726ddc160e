"""Checkpoints run by torch."""

import threading
from pathlib import Path

import numpy as np
import torch
from torch import nn

from reid.checkpoint import Card, load_checkpoint
from reid.data.images import Preprocessing
from reid.devices import check_precision, parse_device
from reid.models import build_model
from reid.models.cameras import CameraVectors
from reid.models.reparameterise import reparameterise
from reid.records import training_protocol

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchBackend:
    """Runs a model on uint8 batches, for one thread after the other.

    Args:
        model: Returns a `ReIDOutput`.
        preprocessing: Normalises the batches.
        device: "auto", "cpu", "cuda" or "cuda:N", or a device of torch.
        precision: "fp32", or "bf16" and "fp16" by autocast.

    Attributes:
        num_cameras: Cameras that the model has vectors of; 0 for a model without.
        protocol: Of the model's training, "inductive" unless its card says otherwise.
    """

    def __init__(
        self, model: nn.Module, preprocessing: Preprocessing, device: str | torch.device, precision: str
    ) -> None:
        self.device = device if isinstance(device, torch.device) else open_device(device)
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocessing = preprocessing
        self.precision = precision
        self.autocast = _AUTOCAST.get(precision)
        self.num_cameras = count_cameras(model)
        self.protocol = "inductive"
        self._lock = threading.Lock()

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray, camids: np.ndarray | None = None) -> np.ndarray:
        """Maps uint8 (N, 3, H, W), and camids int64 (N,) for a model that has cameras, to float32 (N, D).

        Raises:
            ValueError: When a camera is unknown, or for images too narrow for the precision on this device.
        """
        check_precision(self.precision, self.device.type, batch.shape[3])
        if camids is not None and self.num_cameras:
            wrong = (camids < 0) | (camids >= self.num_cameras)
            if wrong.any():
                raise ValueError(
                    f"camids: got {camids[wrong][0]}, allowed: 0 to {self.num_cameras - 1}, as in training"
                )
        images = self._normalised(batch)
        cameras = None if camids is None else torch.from_numpy(camids).to(self.device)
        # A model that is being trained is switched there and back: no other thread may see it in between.
        with self._lock:
            was_training = self.model.training
            self.model.eval()
            with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
                output = self.model(images.contiguous(memory_format=torch.channels_last), cameras)
            self.model.train(was_training)
        return output.embeddings.float().cpu().numpy()

    def _normalised(self, batch: np.ndarray) -> torch.Tensor:
        """Returns uint8 (N, 3, H, W) as the model takes it, on the device."""
        if self.device.type == "cpu":
            return torch.from_numpy(self.preprocessing.normalise(batch))
        # A quarter of the bytes to send, from memory that the device reads by itself.
        pixels = torch.from_numpy(batch)
        pixels = pixels.pin_memory() if self.device.type == "cuda" else pixels
        return normalise_there(pixels.to(self.device, non_blocking=True), self.preprocessing)


def normalise_there(pixels: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Normalises uint8 (N, 3, H, W) where it lies; equal to `Preprocessing.normalise` but for rounding."""
    scale, shift = (
        torch.from_numpy(values).to(pixels.device).view(1, 3, 1, 1) for values in preprocessing.scale_and_shift()
    )
    return pixels * scale + shift


def count_cameras(model: nn.Module) -> int:
    """Returns how many cameras a model has vectors of; 0 for a model without."""
    return next((len(module.vectors) for module in model.modules() if isinstance(module, CameraVectors)), 0)


def open_device(name: str) -> torch.device:
    """Returns the device of a name that `parse_device` knows.

    Raises:
        ValueError: When the name is another, or there is no such GPU here.
    """
    kind, index = parse_device(name)
    if kind == "cuda" and index >= torch.cuda.device_count():
        raise ValueError(f"device: got {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices here")
    on_gpu = kind == "cuda" or (kind == "auto" and torch.cuda.is_available())
    return torch.device("cuda", index) if on_gpu else torch.device("cpu")


def load_model(path: Path, *, with_classifier: bool = True) -> tuple[nn.Module, Card]:
    """Builds the model of a checkpoint and loads its weights, on the CPU and in evaluation mode.

    Raises:
        FileNotFoundError: When the file is missing.
        ValueError: When the file is damaged or its weights do not fit the backbone that its card names.
    """
    state, card = load_checkpoint(path)
    # The checkpoint's own weights follow; those that the training started from need not be on this machine.
    options = {name: value for name, value in card.options.items() if name not in ("pretrained", "weights")}
    model = build_model(card.backbone, card.num_classes if with_classifier else 0, **options)
    if not with_classifier:
        state = {name: tensor for name, tensor in state.items() if "classifier" not in name}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit {card.backbone}: {error}") from error
    return model.eval(), card


def open_checkpoint(path: Path, device: str, precision: str) -> tuple[TorchBackend, Preprocessing]:
    """Opens a checkpoint for embedding, without its classifier."""
    model, card = load_model(path, with_classifier=False)
    backend = TorchBackend(reparameterise(model), card.preprocessing, device, precision)
    backend.protocol = training_protocol(card.scores)
    return backend, card.preprocessing
