"""Detectors of people: an image in, boxes out, whatever stands behind.

A detector is named in one word, as `--detector` takes it:

    hog                              OpenCV's person detector, which needs no weights
    yolo:WEIGHTS                     ultralytics, local weights in any of its formats
    torchvision:MODEL=WEIGHTS        a detector of torchvision with local weights
    package.module:function          any Python callable
    FILE.txt, FILE.npy               detections that were computed before (MOT det.txt, DeepSORT)

Whole folders of files are read by `tracking.sources`.
"""

from collections.abc import Callable
from pathlib import Path

from tracking.detectors.base import Detector, DetectorOptions
from tracking.detectors.callables import open_callable
from tracking.detectors.files import open_file
from tracking.detectors.hog import open_hog
from tracking.detectors.torchvision_models import open_torchvision
from tracking.detectors.yolo import open_yolo

__all__ = ["DETECTORS", "Detector", "DetectorOptions", "build_detector"]

# Name -> what opens it, given what stands behind the colon and the options.
DETECTORS: dict[str, Callable[[str, DetectorOptions], Detector]] = {
    "hog": open_hog,
    "torchvision": open_torchvision,
    "yolo": open_yolo,
}


def build_detector(name: str, options: DetectorOptions | None = None) -> Detector:
    """Returns a detector; weights are loaded by its first call, so that a cache can do without.

    Args:
        name: As above.
        options: None takes each detector's own.

    Raises:
        ValueError: When the name or an option is unknown to it, or a file is missing; the message says what is allowed.
    """
    options = options or DetectorOptions()
    if Path(name).suffix in (".txt", ".npy"):
        return open_file(name, options)
    kind, colon, argument = name.partition(":")
    if kind in DETECTORS:
        return DETECTORS[kind](argument, options)
    if colon and argument.isidentifier():
        return open_callable(name, options)
    known = "hog, yolo:WEIGHTS, torchvision:MODEL=WEIGHTS, package.module:function, FILE.txt, FILE.npy"
    raise ValueError(f"detector: got {name!r}, allowed: {known}")
