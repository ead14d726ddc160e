"""Detections that were computed before, frame by frame from a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracking.detections import Detections
from tracking.detectors.base import Detector, DetectorOptions, weights_digest
from tracking.sources import SequenceDetections, read_source


@dataclass(frozen=True)
class FileDetector:
    """Detections of a file; the image is not looked at."""

    source: SequenceDetections
    confidence: float
    identity: str
    needs_images: bool = False

    def __call__(self, image: np.ndarray | None, frame: int = 0) -> Detections:
        """Returns the file's detections of a frame, counted from 1."""
        found = self.source.at(frame)
        return found[found.confidence >= np.float32(self.confidence)]


def open_file(path: str, options: DetectorOptions) -> Detector:
    """Opens a MOT det.txt or a DeepSORT .npy file, whose features come along as embeddings.

    Args:
        path: The file.
        options: `confidence` only; without it all detections are taken.

    Raises:
        ValueError: When the file is missing or wrong, or another option is given.
    """
    options.refuse(path, "size", "overlap", "device")
    if not Path(path).is_file():
        raise ValueError(f"detector: {path} is no file")
    confidence = -np.inf if options.confidence is None else options.confidence
    identity = f"file {weights_digest(Path(path))} {confidence}"
    return FileDetector(read_source(Path(path), Path(path).stem), confidence, identity)
