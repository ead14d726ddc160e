"""Embeddings of all detections of a sequence, computed once and kept on disk."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tracking.array_cache import cache_path, digest, load_arrays, save_arrays
from tracking.image_listing import Stamps, image_stamp
from tracking.images import crop_box, read_frame
from tracking.sources import SequenceDetections

# Crops of one call of the embedder, across frames: large enough to fill its batches, small enough for any memory.
CROPS_PER_CALL = 256
FORMAT = "2"  # part of the fingerprint: change it when crops are cut differently

CropEmbedder = Callable[[Sequence[np.ndarray]], np.ndarray]
Progress = Callable[[int], None]


def fingerprint(
    detections: SequenceDetections, images: Mapping[int, Path], model: str, stamps: Stamps | None = None
) -> str:
    """Returns 64 hexadecimal digits that change with the model, the images (name, size, time), or the boxes.

    Args:
        detections: Their frames must all have an image.
        images: Frame to image file.
        model: What identifies the model: the SHA-256 of its file and whatever else changes its output.
        stamps: Image to what identifies it, where that is known already; see `image_listing`.
    """
    frames = np.unique(detections.frame).tolist()
    marks = [f"{frame} {stamps[images[frame]] if stamps else image_stamp(images[frame])}" for frame in frames]
    boxes = [np.ascontiguousarray(detections.frame).tobytes(), np.ascontiguousarray(detections.xywh).tobytes()]
    return digest([FORMAT, model, *marks, *boxes])


def embed_detections(
    detections: SequenceDetections,
    images: Mapping[int, Path],
    embedder: CropEmbedder,
    model: str,
    folder: str | os.PathLike[str],
    progress: Progress | None = None,
    stamps: Stamps | None = None,
) -> SequenceDetections:
    """Returns the detections with the embeddings of their crops, from the cache where it has them.

    The cache keeps float16, so embeddings are rounded to it whether they come from the cache or not: a run gives the
    same result the second time.

    Args:
        detections: Their frames must all have an image (`SequenceDetections.only`).
        images: Frame to image file.
        embedder: Takes a list of uint8 RGB crops (H, W, 3), returns float32 (N, D).
        model: Identifies the embedder; see `fingerprint`.
        folder: The cache. A damaged file in it is computed anew, with a note on the error stream.
        progress: Called with the number of detections that have been embedded since the last call.
        stamps: As in `fingerprint`.

    Raises:
        ValueError: When an image is missing or cannot be read, or the embedder returns another number of rows or NaN.
    """
    missing = sorted(set(detections.frame.tolist()) - set(images))
    if missing:
        raise ValueError(f"{detections.name}: frame {missing[0]} and {len(missing) - 1} more have no image to embed")
    key = fingerprint(detections, images, model, stamps)
    path = cache_path(folder, detections.name, "embeddings", key)
    arrays = load_arrays(path, key, ("embeddings",))
    embeddings = None if arrays is None else arrays["embeddings"]
    if embeddings is None or len(embeddings) != len(detections.frame):
        embeddings = _embed(detections, images, embedder, progress)
        save_arrays(path, key, {"embeddings": embeddings})
    elif progress is not None:
        progress(len(embeddings))
    return detections.with_embeddings(embeddings.astype(np.float32))


def _embed(
    detections: SequenceDetections, images: Mapping[int, Path], embedder: CropEmbedder, progress: Progress | None
) -> np.ndarray:
    """Returns float16 (N, D); the detections are sorted by frame, so each image is opened once."""
    parts: list[np.ndarray] = []
    crops: list[np.ndarray] = []

    def flush() -> None:
        if not crops:
            return
        features = np.asarray(embedder(crops), np.float32)
        if features.ndim != 2 or len(features) != len(crops) or not np.isfinite(features).all():
            raise ValueError(
                f"embedder: got {features.shape} for {len(crops)} crops, allowed: ({len(crops)}, D), finite"
            )
        parts.append(features.astype(np.float16))
        if progress is not None:
            progress(len(crops))
        crops.clear()

    for frame in np.unique(detections.frame).tolist():
        image = read_frame(images[frame])
        for xywh in detections.xywh[detections.frame == frame]:
            crops.append(crop_box(image, xywh))
            if len(crops) == CROPS_PER_CALL:
                flush()
    flush()
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float16)
