"""Detections of a whole sequence, computed once and kept on disk."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tracking.array_cache import cache_path, digest, load_arrays, save_arrays
from tracking.boxes import xyxy_to_xywh
from tracking.detectors.base import Detector
from tracking.image_listing import Stamps, image_stamp
from tracking.images import read_frame
from tracking.sources import SequenceDetections

FORMAT = "1"  # part of the fingerprint: change it when boxes are kept differently

Progress = Callable[[int], None]


def detect_sequence(
    name: str,
    images: Mapping[int, Path],
    length: int,
    detector: Detector,
    folder: str | os.PathLike[str],
    stamps: Stamps | None = None,
    progress: Progress | None = None,
) -> SequenceDetections:
    """Returns what a detector finds in the images of a sequence, from the cache where it has it.

    The fingerprint covers the detector's identity (kind, content of the weights, thresholds, version of its library)
    and name, size and modification time of every image. Boxes and confidences are kept as float32, and are rounded to
    it whether they come from the cache or not.

    Args:
        name: The sequence.
        images: Frame to image file.
        length: Number of frames of the sequence.
        detector: Any; embeddings that it returns are left out.
        folder: The cache. A damaged file in it is computed anew, with a note on the error stream.
        stamps: Image to what identifies it, where that is known already; see `image_listing`.
        progress: Called with the number of frames since the last call.

    Raises:
        ValueError: When an image is missing or cannot be read and the cache has nothing.
    """
    marks = [f"{frame} {stamps[path] if stamps else image_stamp(path)}" for frame, path in sorted(images.items())]
    key = digest([FORMAT, detector.identity, *marks])
    path = cache_path(folder, name, "detections", key)
    arrays = load_arrays(path, key, ("frame", "xywh", "confidence"))
    if arrays is None:
        arrays = _detect(images, detector, progress)
        save_arrays(path, key, arrays)
    elif progress is not None:
        progress(len(images))
    xywh, confidence = arrays["xywh"].astype(np.float64), arrays["confidence"].astype(np.float64)
    return SequenceDetections(name, arrays["frame"], xywh, confidence, None, length)


def _detect(images: Mapping[int, Path], detector: Detector, progress: Progress | None) -> dict[str, np.ndarray]:
    frames, boxes, confidences = [np.empty(0, np.int64)], [np.empty((0, 4))], [np.empty(0, np.float32)]
    for frame, path in sorted(images.items()):
        found, _ = detector(read_frame(path), frame).with_area()
        frames.append(np.full(len(found), frame, np.int64))
        boxes.append(xyxy_to_xywh(found.xyxy))
        confidences.append(found.confidence)
        if progress is not None:
            progress(1)
    return {
        "frame": np.concatenate(frames),
        "xywh": np.concatenate(boxes).astype(np.float32),
        "confidence": np.concatenate(confidences),
    }
