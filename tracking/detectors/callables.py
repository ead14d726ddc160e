"""Any Python function as a detector."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracking.detections import Detections
from tracking.detectors.base import Detector, DetectorOptions


@dataclass(frozen=True)
class CallableDetector:
    """Calls `function` with uint8 RGB (H, W, 3); see `open_callable` for what it may return."""

    function: Callable[[np.ndarray], Any]
    name: str
    confidence: float
    identity: str
    needs_images: bool = True

    def __call__(self, image: np.ndarray | None, frame: int = 0) -> Detections:
        """Returns what the function found; boxes without area or with NaN are left out."""
        if image is None:
            raise ValueError("image: got None, allowed: uint8 (H, W, 3)")
        found = self._converted(self.function(image))
        return found[found.confidence >= np.float32(self.confidence)]

    def _converted(self, value: Any) -> Detections:
        if hasattr(value, "tracker_id") and hasattr(value, "data"):  # supervision.Detections
            value = Detections.from_supervision(value)
        if isinstance(value, Detections):
            return Detections.from_raw(value.xyxy, value.confidence, value.embeddings)[0]
        table = np.asarray(value, np.float64)
        if table.size == 0:
            return Detections.empty()
        if table.ndim != 2 or table.shape[1] not in (4, 5):
            allowed = "Detections, supervision.Detections, or (N, 4) or (N, 5) numbers"
            raise ValueError(f"{self.name}: got a result of shape {table.shape}, allowed: {allowed}")
        return Detections.from_raw(table[:, :4], table[:, 4] if table.shape[1] == 5 else None)[0]


def open_callable(name: str, options: DetectorOptions) -> Detector:
    """Imports a function; modules in the current folder are found too.

    It takes uint8 RGB (H, W, 3) and returns `Detections`, `supervision.Detections`, or rows of left, top, right,
    bottom and, where known, confidence. A class is built without arguments, and its object is called.

    A cache knows the function by its name, by the text of its file, and by its attribute `identity` where it has one;
    a function that loads weights should name them there.

    Args:
        name: "package.module:function".
        options: `confidence` only; without it all detections are taken.

    Raises:
        ValueError: When there is no such module or function, or another option is given.
    """
    options.refuse(name, "size", "overlap", "device")
    module_name, _, function_name = name.partition(":")
    try:
        module = _import(module_name)
    except ImportError as error:
        raise ValueError(f"detector {name}: {module_name} cannot be imported ({error})") from error
    function: Any = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"detector {name}: {module_name} has no callable {function_name!r}")
    if inspect.isclass(function):
        function = function()
    path = Path(getattr(module, "__file__", None) or "")
    text = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    confidence = -np.inf if options.confidence is None else options.confidence
    identity = f"callable {name} {text} {getattr(function, 'identity', '')} {confidence}"
    return CallableDetector(function, name, confidence, identity)


def _import(name: str) -> Any:
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)
