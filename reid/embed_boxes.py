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
            the size is unknown, as it is with a plain function; an `Embedder` knows it. Trackers take both.
        quality: float32 (N,), the share of the box that lies inside the frame; 0 for what cannot be embedded: an empty
            crop, one with a side below two pixels, what is not uint8 (H, W, 3), a box outside the frame or with NaN in
            it. A crop that was cut already has 1 or 0.
    """

    embeddings: np.ndarray
    quality: np.ndarray


def embed_crops(embed: Embed, crops: Sequence[np.ndarray]) -> Embedded:
    """Embeds those crops that can be embedded.

    Args:
        embed: An `Embedder`, or anything that maps uint8 RGB (H, W, 3) to (N, D).
        crops: uint8 RGB (H, W, 3); a side may be 0 or 1. Other arrays (grey, with transparency, of floats) are flagged.
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
    qualities: list[np.ndarray] = []
    counts = []
    for frame, xyxy in zip(frames, boxes, strict=True):
        array = np.asarray(xyxy, np.float64).reshape(-1, 4) if np.size(xyxy) == 0 else np.asarray(xyxy, np.float64)
        if array.ndim != 2 or array.shape[1] != 4:
            raise ValueError(f"boxes: got shape {array.shape}, allowed: (N, 4)")
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame: got {frame.dtype} {frame.shape}, allowed: uint8 (H, W, 3)")
        cut, shares = cut_boxes(frame, array)
        crops += cut
        qualities.append(shares)
        counts.append(len(array))
    quality = np.concatenate(qualities) if qualities else np.zeros(0, np.float32)
    rows = _embed(embed, crops, quality)
    ends = np.cumsum(counts[:-1], dtype=np.int64)
    return (
        [Embedded(*pair) for pair in zip(np.split(rows, ends), np.split(quality, ends), strict=True)] if counts else []
    )


def _embed(embed: Embed, crops: Sequence[np.ndarray], quality: np.ndarray) -> np.ndarray:
    good = np.flatnonzero(quality > 0)
    if not len(good):
        return np.zeros((len(crops), getattr(embed, "dimension", 0)), np.float32)
    found = embed([crops[number] for number in good.tolist()])
    rows = np.zeros((len(crops), found.shape[1]), np.float32)
    rows[good] = found
    return rows


def _usable(crop: np.ndarray) -> bool:
    right_kind = isinstance(crop, np.ndarray) and crop.dtype == np.uint8 and crop.ndim == 3 and crop.shape[2] == 3
    return right_kind and min(crop.shape[:2]) >= LEAST_PIXELS


def cut_boxes(frame: np.ndarray, xyxy: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Cuts boxes out of a frame, without copying pixels.

    Args:
        frame: uint8 RGB (H, W, 3).
        xyxy: (N, 4), in pixels.

    Returns:
        For each box the part of it inside the frame, to whole pixels, as a view of the frame, and float32 (N,): that
        part's share of the box. (0, 0, 3) and 0 for a box that is bad in the sense of `Embedded`.
    """
    height, width = frame.shape[:2]
    boxes = np.asarray(xyxy, np.float64)
    good = np.asarray(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    inside = np.clip(np.where(good[:, None], boxes, 0.0), 0, (width, height, width, height))
    corners = np.concatenate([np.floor(inside[:, :2]), np.ceil(inside[:, 2:])], axis=1).astype(np.int64)
    good &= (corners[:, 2:] - corners[:, :2] >= LEAST_PIXELS).all(axis=1)
    corners[~good] = 0
    shares = np.zeros(len(boxes))
    # A side at a time: the area of a box of large numbers would be infinite.
    sides, whole = ((part[good, 2:] - part[good, :2]) for part in (inside, boxes))
    shares[good] = (sides / whole).prod(axis=1).clip(min=np.finfo(np.float32).tiny)
    crops = [frame[top:bottom, left:right] for left, top, right, bottom in corners.tolist()]
    return crops, shares.astype(np.float32)


def cut_box(frame: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float]:
    """Cuts one box, xyxy (4,), out of a frame; returns its crop and share as `cut_boxes` does."""
    crops, shares = cut_boxes(frame, np.asarray(box)[None])
    return crops[0], float(shares[0])
