"""OpenCV's person detector: histograms of gradients and a linear classifier, for machines without any weights.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from tracking.boxes import iou_matrix
from tracking.detections import Detections
from tracking.detectors.base import Detector, DetectorOptions

# The classifier's window is 64 x 128 pixels with 16 pixels of margin above and below the person.
WINDOW_HEIGHT, MARGIN = 128, 16
# Width / height of people: the mean of Dollár et al., "Pedestrian Detection: An Evaluation of the State of the Art",
# TPAMI 2012. The window is wider, for its margin.
ASPECT = 0.41
# Added on all sides by repeating the outermost pixels, as shares of the image's height: room for the window's margins
# around a person as tall as the image, who could not be found without.
BORDER_HEIGHT, BORDER_WIDTH = 1 / 6, 1 / 8
# A box is a part of a person, such as an arm, where this share of it lies in a more certain box this much larger.
PART_INSIDE, PART_TIMES = 0.8, 3


@dataclass(frozen=True)
class HogDetector:
    """Finds upright people at least 96 pixels tall, in the image as `size` scales it.

    The classifier returns the distance m from its plane; confidence is 1 / (1 + exp(-2 m)), so that the plane itself
    stands at 0.5. `overlap` is the IoU above which the less confident of two boxes is dropped.
    """

    confidence: float = 0.5
    size: int | None = None
    overlap: float = 0.4
    needs_images: bool = True

    @property
    def identity(self) -> str:
        """What a cache files the detections under."""
        rules = f"{ASPECT} border {BORDER_HEIGHT:.4f} {BORDER_WIDTH} parts {PART_INSIDE} {PART_TIMES}"
        return f"hog opencv {cv2.__version__} {self.confidence} {self.size} {self.overlap} {rules}"

    def __call__(self, image: np.ndarray | None, frame: int = 0) -> Detections:
        """Returns the people in an image, uint8 RGB (H, W, 3)."""
        if image is None:
            raise ValueError("image: got None, allowed: uint8 (H, W, 3)")
        scale = 1.0 if self.size is None else self.size / max(image.shape[:2])
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if scale != 1:
            grey = cv2.resize(
                grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            )
        above, beside = round(BORDER_HEIGHT * grey.shape[0]), round(BORDER_WIDTH * grey.shape[0])
        grey = cv2.copyMakeBorder(grey, above, above, beside, beside, cv2.BORDER_REPLICATE)
        if min(grey.shape[0] / 128, grey.shape[1] / 64) < 1:
            return Detections.empty()  # smaller than the window
        limit = float(0.5 * np.log(self.confidence / (1 - self.confidence)))
        found, margins = _descriptor().detectMultiScale(grey, hitThreshold=limit, scale=1.05, groupThreshold=0)
        if not len(found):
            return Detections.empty()
        window = (np.asarray(found, np.float64).reshape(-1, 4) - [beside, above, 0, 0]) / scale
        height = window[:, 3] * (1 - 2 * MARGIN / WINDOW_HEIGHT)
        centre = window[:, :2] + 0.5 * window[:, 2:]
        half = 0.5 * np.stack([ASPECT * height, height], axis=1)
        certain = 1 / (1 + np.exp(-2 * np.asarray(margins, np.float64).reshape(-1)))
        xyxy = np.hstack([centre - half, centre + half])
        kept = suppress(xyxy, certain, self.overlap)
        kept = kept[~is_part(xyxy[kept], certain[kept])]
        return Detections.from_xyxy(xyxy[kept], certain[kept])


def suppress(xyxy: np.ndarray, confidence: np.ndarray, overlap: float) -> np.ndarray:
    """Returns which boxes stay, most confident first, when none may overlap a better one by more than an IoU.

    Args:
        xyxy: (N, 4).
        confidence: (N,).
        overlap: The IoU.
    """
    order = np.argsort(-confidence, kind="stable")
    apart = iou_matrix(xyxy[order], xyxy[order]) <= overlap
    free = np.ones(len(order), bool)
    for index in range(len(order)):
        if free[index]:
            free[index + 1 :] &= apart[index, index + 1 :]
    kept: np.ndarray = order[free]
    return kept


def is_part(xyxy: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Returns bool (N,), which boxes are arms or legs of people who have a box of their own.

    Args:
        xyxy: (N, 4), boxes with area.
        confidence: (N,).
    """
    corner = np.maximum(xyxy[:, None, :2], xyxy[None, :, :2])
    inside = np.clip(np.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:]) - corner, 0, None).prod(axis=2)
    area = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    within = (inside >= PART_INSIDE * area[:, None]) & (area[None] >= PART_TIMES * area[:, None])
    part: np.ndarray = (within & (confidence[None] > confidence[:, None])).any(axis=1)
    return part


def _descriptor() -> Any:
    opencv: Any = cv2  # whose stubs leave these names out
    if not hasattr(opencv, "HOGDescriptor"):
        raise ValueError(f"detector hog: OpenCV {cv2.__version__} has no HOGDescriptor; install opencv-python < 5")
    descriptor = opencv.HOGDescriptor()
    descriptor.setSVMDetector(opencv.HOGDescriptor_getDefaultPeopleDetector())
    return descriptor


def open_hog(argument: str, options: DetectorOptions) -> Detector:
    """Builds the detector.

    Args:
        argument: Must be empty.
        options: `confidence` (default 0.5, inside 0..1), `size` (default: the image as it is), `overlap` (0.4).

    Raises:
        ValueError: When an argument or another option is given.
    """
    if argument:
        raise ValueError(f"detector hog: got {argument!r} behind the colon, allowed: nothing")
    options.refuse("hog", "device")
    if options.confidence in (0, 1):
        raise ValueError(f"detector confidence: got {options.confidence}, allowed for hog: between 0 and 1")
    given = {name: getattr(options, name) for name in ("confidence", "size", "overlap")}
    return HogDetector(**{name: value for name, value in given.items() if value is not None})
