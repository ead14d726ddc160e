"""Embeddings of boxes in frames: crops of several frames in common batches, bad crops flagged and not raised."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

Embed = Callable[[Sequence[np.ndarray]], np.ndarray]
LEAST_PIXELS = 2  # a side of one pixel shows nothing of a person


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Embeddings with a word on what they were made of.

    Attributes:
        embeddings: float32 (N, D), rows of norm 1; zeros where the quality is 0. (N, 0) when no crop was usable and
            the size is unknown.
        quality: float32 (N,), the share of the box that lies inside the frame; 0 for what cannot be embedded: an empty
            crop, one with a side below two pixels, a box outside the frame or with NaN in it. A crop that was cut
            already has 1 or 0.
    """

    embeddings: np.ndarray
    quality: np.ndarray


def embed_crops(embed: Embed, crops: Sequence[np.ndarray]) -> Embedded:
    """Embeds those crops that can be embedded.

    Args:
        embed: An `Embedder`, or anything that maps uint8 RGB (H, W, 3) to (N, D).
        crops: uint8 RGB (H, W, 3); a side may be 0 or 1.
    """
    quality = np.array([float(_usable(crop)) for crop in crops], np.float32)
    return Embedded(_embed(embed, crops, quality), quality)


def embed_boxes(embed: Embed, frames: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[Embedded]:
    """Embeds the boxes of several frames, as many crops a forward pass as the embedder takes.

    Args:
        embed: As for `embed_crops`.
        frames: uint8 RGB (H, W, 3), of any sizes.
        boxes: For each frame its xyxy (N, 4), in pixels; parts outside the frame are cut off.

    Returns:
        For each frame its embeddings, in the order of its boxes.

    Raises:
        ValueError: When frames and boxes differ in number, a frame is no image or boxes are not (N, 4).
    """
    if len(frames) != len(boxes):
        raise ValueError(f"boxes: got {len(boxes)} arrays for {len(frames)} frames, allowed: one a frame")
    crops: list[np.ndarray] = []
    qualities: list[float] = []
    counts = []
    for frame, xyxy in zip(frames, boxes, strict=True):
        array = np.asarray(xyxy, np.float64).reshape(-1, 4) if np.size(xyxy) == 0 else np.asarray(xyxy, np.float64)
        if array.ndim != 2 or array.shape[1] != 4:
            raise ValueError(f"boxes: got shape {array.shape}, allowed: (N, 4)")
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame: got {frame.dtype} {frame.shape}, allowed: uint8 (H, W, 3)")
        for box in array:
            crop, share = cut_box(frame, box)
            crops.append(crop)
            qualities.append(share)
        counts.append(len(array))
    quality = np.array(qualities, np.float32)
    rows = _embed(embed, crops, quality)
    ends = np.cumsum(counts[:-1], dtype=np.int64)
    return (
        [Embedded(*pair) for pair in zip(np.split(rows, ends), np.split(quality, ends), strict=True)] if counts else []
    )


def _embed(embed: Embed, crops: Sequence[np.ndarray], quality: np.ndarray) -> np.ndarray:
    good = np.flatnonzero(quality > 0)
    if not len(good):
        return np.zeros((len(crops), 0), np.float32)
    found = embed([crops[number] for number in good.tolist()])
    rows = np.zeros((len(crops), found.shape[1]), np.float32)
    rows[good] = found
    return rows


def _usable(crop: np.ndarray) -> bool:
    return crop.ndim == 3 and min(crop.shape[:2]) >= LEAST_PIXELS


def cut_box(frame: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float]:
    """Cuts one box out of a frame.

    Args:
        frame: uint8 RGB (H, W, 3).
        box: xyxy (4,), in pixels.

    Returns:
        The part of the box inside the frame, to whole pixels, and its share of the box; nothing and 0 if bad.
    """
    empty = np.zeros((0, 0, 3), np.uint8)
    if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
        return empty, 0.0
    height, width = frame.shape[:2]
    inside = np.clip(box, 0, (width, height, width, height))
    left, top = np.floor(inside[:2]).astype(int)
    right, bottom = np.ceil(inside[2:]).astype(int)
    crop = frame[top:bottom, left:right]
    if not _usable(crop):
        return empty, 0.0
    share = (inside[2] - inside[0]) * (inside[3] - inside[1]) / ((box[2] - box[0]) * (box[3] - box[1]))
    return crop, float(max(share, np.finfo(np.float32).tiny))
