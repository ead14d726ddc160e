"""YOLO detectors through ultralytics, an extra of its own licence (AGPL-3) that is imported only where it is asked for.

`pip install ultralytics-opencv-headless` (or the extra "detect"); OpenVINO folders need `openvino` too.
"""

import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tracking.detections import Detections
from tracking.detectors.base import Detector, DetectorOptions, torch_device, weights_digest

PACKAGES = ("ultralytics-opencv-headless", "ultralytics-opencv-python", "ultralytics")
MAX_PEOPLE = 1000  # in one image


@dataclass
class YoloDetector:
    """A network of ultralytics, loaded by the first call.

    Boxes of the class named "person" count; a network with one class, or without names, finds people with its first.
    """

    path: Path
    confidence: float
    size: int | None
    overlap: float
    device: str
    identity: str
    needs_images: bool = True
    _model: Any = field(default=None, repr=False)

    def __call__(self, image: np.ndarray | None, frame: int = 0) -> Detections:
        """Returns the people in an image, uint8 RGB (H, W, 3)."""
        if image is None:
            raise ValueError("image: got None, allowed: uint8 (H, W, 3)")
        if self._model is None:
            self._model = self._load()
        options: dict[str, Any] = {"conf": self.confidence, "iou": self.overlap, "max_det": MAX_PEOPLE}
        if self.size is not None:
            options["imgsz"] = self.size
        if self.path.suffix in (".pt", ".yaml"):  # other formats run where they were exported for
            options["device"] = torch_device(self.device)
        classes = [_person(self._model.names, self.path)]
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        boxes = self._model.predict(bgr, classes=classes, verbose=False, **options)[0].boxes
        xyxy, certain = boxes.xyxy.cpu().numpy(), boxes.conf.cpu().numpy()
        return Detections.from_raw(xyxy, certain)[0]

    def _load(self) -> Any:
        # Weights are local here: no look for updates, no package installed behind the user's back.
        os.environ.setdefault("YOLO_OFFLINE", "true")
        os.environ.setdefault("YOLO_AUTOINSTALL", "false")
        from ultralytics import YOLO

        try:
            return YOLO(str(self.path), task=_task(self.path), verbose=False)
        except (OSError, ValueError, TypeError, KeyError, ImportError, RuntimeError, SyntaxError) as error:
            raise ValueError(f"{self.path}: ultralytics cannot load it ({error})") from error


def _task(path: Path) -> str:
    """Returns "detect" or "pose", as an exported folder says of itself."""
    metadata = path / "metadata.yaml"
    if not metadata.is_file():
        return "pose" if "-pose" in path.name else "detect"
    return str(yaml.safe_load(metadata.read_text(encoding="utf-8")).get("task", "detect"))


def _person(names: dict[int, str], path: Path) -> int:
    """Returns the number of the class of people."""
    for number, name in names.items():
        if name in ("person", "pedestrian"):
            return number
    if len(names) == 1 or all(str(name).isdigit() or name == f"class{number}" for number, name in names.items()):
        return min(names)
    raise ValueError(f"{path}: got classes {', '.join(names.values())}, allowed: networks with a class 'person'")


def open_yolo(argument: str, options: DetectorOptions) -> Detector:
    """Builds the detector.

    Args:
        argument: The weights: a .pt or .onnx file, an exported folder, or a .yaml of an architecture, whose weights
            are random then.
        options: `confidence` (default 0.1, since trackers use weak detections), `size` (default: what the network was
            trained or exported with), `overlap` (default 0.7), `device` (.pt and .yaml only).

    Raises:
        ValueError: When the weights are not there, or ultralytics is not installed.
    """
    path = Path(argument)
    if not argument or not path.exists():
        allowed = "yolo:WEIGHTS, a .pt or .onnx file, an exported folder or a .yaml on this machine"
        raise ValueError(f"detector: got yolo:{argument}, which is not there; allowed: {allowed}")
    if path.suffix not in (".pt", ".yaml"):
        options.refuse(f"an exported network ({path})", "device")
    if importlib.util.find_spec("ultralytics") is None:
        raise ValueError(f"detector yolo: needs ultralytics; `pip install {PACKAGES[0]}` (AGPL-3)")
    confidence = 0.1 if options.confidence is None else options.confidence
    overlap = 0.7 if options.overlap is None else options.overlap
    settings = f"{confidence} {options.size} {overlap}"
    identity = f"yolo {_version()} {weights_digest(path)} {settings}"
    return YoloDetector(path, confidence, options.size, overlap, options.device, identity)


def _version() -> str:
    for package in PACKAGES:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
