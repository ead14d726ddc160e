"""What all detectors share: their face, their options, and the identity by which caches know them."""

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np

from reid.records import file_sha256
from tracking.detections import Detections
from tracking.options import require_count, require_range


class Detector(Protocol):
    """Finds people in an image.

    `identity` changes with whatever changes the boxes: the kind, the content of the weights, the thresholds, the
    version of the library. `needs_images` is false where the boxes come from a file.
    """

    @property
    def identity(self) -> str:
        """What a cache files the detections under."""

    @property
    def needs_images(self) -> bool:
        """Whether the image is looked at."""

    def __call__(self, image: np.ndarray | None, frame: int = 0) -> Detections:
        """Returns the people in an image.

        Args:
            image: uint8 RGB (H, W, 3); None only where `needs_images` is false.
            frame: Its number from 1, for detections that come from a file.
        """


@dataclass(frozen=True)
class DetectorOptions:
    """Options of detectors; those not given take the detector's own value.

    Attributes:
        confidence: Detections below are left out.
        size: The longer side of the image in pixels as the detector sees it.
        overlap: Of two boxes with a higher IoU only the more confident one stays.
        device: Where a network runs: "auto", "cpu", "cuda" or "cuda:N".
    """

    confidence: float | None = None
    size: int | None = None
    overlap: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.confidence is not None:
            require_range("detector confidence", self.confidence, 0, 1)
        if self.size is not None:
            require_count("detector size", self.size, 32)
        if self.overlap is not None:
            require_range("detector overlap", self.overlap, 0, 1)

    def refuse(self, detector: str, *names: str) -> None:
        """Raises a ValueError when one of the named options was given, since it would change nothing."""
        defaults = {field.name: field.default for field in fields(self)}
        for name in names:
            if getattr(self, name) != defaults[name]:
                raise ValueError(f"detector {name}: got {getattr(self, name)!r}, not an option of {detector}")


def weights_digest(path: Path) -> str:
    """Returns 64 hexadecimal digits that change with the content of a weights file, or of any file of a folder.

    An ONNX file with external weights counts together with its .data file, an OpenVINO .xml with its .bin.
    """
    if path.is_file():
        beside = path.with_suffix(".bin") if path.suffix == ".xml" else path.with_name(path.name + ".data")
        files = [path, beside] if beside.is_file() else [path]
    else:
        files = sorted(file for file in path.rglob("*") if file.is_file())
    if len(files) == 1:
        return file_sha256(files[0])
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path.parent)} {file_sha256(file)}\n".encode())
    return digest.hexdigest()


def torch_device(device: str) -> str:
    """Returns "cuda" or "cpu" for "auto", and any other device as it is."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
