"""Embeddings of all detections of a sequence, computed once and kept on disk."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from reid.files import atomic_path
from tracking.images import crop_box, read_frame
from tracking.sources import SequenceDetections

# Crops of one call of the embedder, across frames: large enough to fill its batches, small enough for any memory.
CROPS_PER_CALL = 256
FORMAT = "1"  # part of the fingerprint: change it when crops are cut differently

CropEmbedder = Callable[[Sequence[np.ndarray]], np.ndarray]
Progress = Callable[[int], None]


def fingerprint(detections: SequenceDetections, images: Mapping[int, Path], model: str) -> str:
    """Returns 64 hexadecimal digits that change with the model, the images' names and sizes, or the boxes.

    Args:
        detections: Their frames must all have an image.
        images: Frame to image file.
        model: What identifies the model: the SHA-256 of its file and whatever else changes its output.
    """
    digest = hashlib.sha256(f"{FORMAT}\n{model}\n".encode())
    for frame in np.unique(detections.frame).tolist():
        digest.update(f"{frame} {images[frame].name} {images[frame].stat().st_size}\n".encode())
    digest.update(np.ascontiguousarray(detections.frame).tobytes())
    digest.update(np.ascontiguousarray(detections.xywh).tobytes())
    return digest.hexdigest()


def embed_detections(
    detections: SequenceDetections,
    images: Mapping[int, Path],
    embedder: CropEmbedder,
    model: str,
    folder: str | os.PathLike[str],
    progress: Progress | None = None,
) -> SequenceDetections:
    """Returns the detections with the embeddings of their crops, from the cache where it has them.

    The cache keeps float16, so embeddings are rounded to it whether they come from the cache or not: a run gives the
    same result the second time.

    Args:
        detections: Their frames must all have an image (`SequenceDetections.only`).
        images: Frame to image file.
        embedder: Takes a list of uint8 RGB crops (H, W, 3), returns float32 (N, D).
        model: Identifies the embedder; see `fingerprint`.
        folder: The cache. A damaged file in it is computed anew.
        progress: Called with the number of detections that have been embedded since the last call.

    Raises:
        ValueError: When an image is missing or cannot be read, or the embedder returns another number of rows or NaN.
    """
    missing = sorted(set(detections.frame.tolist()) - set(images))
    if missing:
        raise ValueError(f"{detections.name}: frame {missing[0]} and {len(missing) - 1} more have no image to embed")
    key = fingerprint(detections, images, model)
    path = Path(folder) / f"{detections.name}-{key[:16]}.npz"
    embeddings = _load(path, key, len(detections.frame))
    if embeddings is None:
        embeddings = _embed(detections, images, embedder, progress)
        with atomic_path(path) as temporary:
            np.savez(temporary, embeddings=embeddings, fingerprint=np.array(key))
    elif progress is not None:
        progress(len(embeddings))
    return detections.with_embeddings(embeddings.astype(np.float32))


def _load(path: Path, key: str, count: int) -> np.ndarray | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            embeddings: np.ndarray = file["embeddings"]
            return embeddings if str(file["fingerprint"]) == key and len(embeddings) == count else None
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


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
