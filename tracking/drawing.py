"""Tracks drawn on frames: boxes, identities, and trails of the points where people stood."""

import colorsys
import os
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from reid.data.mot import read_results
from tracking.boxes import xywh_to_xyxy
from tracking.images import read_frame
from tracking.sequences import read_sequence
from tracking.tracks import Tracks

TRAIL_LENGTH = 30
_GOLDEN_RATIO = 0.618033988749895


def track_colour(track_id: int) -> tuple[int, int, int]:
    """Returns the RGB colour of an identity, always the same; neighbouring identities get distant hues."""
    red, green, blue = colorsys.hsv_to_rgb(track_id * _GOLDEN_RATIO % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_tracks(
    image: np.ndarray, tracks: Tracks, trails: Mapping[int, Sequence[tuple[float, float]]] | None = None
) -> np.ndarray:
    """Draws boxes with their identity, and trails.

    Args:
        image: uint8 RGB (H, W, 3); it is not changed.
        tracks: The tracks of this frame.
        trails: Identity to its past foot points (x, y) in pixels, oldest first; only those in `tracks` are drawn.

    Returns:
        uint8 RGB (H, W, 3).
    """
    drawn = np.ascontiguousarray(image).copy()
    width = max(1, round(min(image.shape[:2]) / 400))
    font_scale = max(0.4, min(image.shape[:2]) / 1200)
    for xyxy, track_id in zip(tracks.xyxy.tolist(), tracks.track_id.tolist()):
        colour = track_colour(track_id)
        points = (trails or {}).get(track_id, ())
        if len(points) > 1:
            line = np.round(np.array(points)).astype(np.int32).reshape(-1, 1, 2)
            cv2.polylines(drawn, [line], False, colour, width + 1, cv2.LINE_AA)
        left, top, right, bottom = (round(value) for value in xyxy)
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, width + 1)
        _label(drawn, str(track_id), left, top, colour, font_scale)
    return drawn


def _label(image: np.ndarray, text: str, left: int, top: int, colour: tuple[int, int, int], scale: float) -> None:
    """Writes text on a patch of its colour above the point, or below it at the upper border."""
    (text_width, text_height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left, top = max(left, 0), max(top, text_height + base + 2)
    cv2.rectangle(image, (left, top - text_height - base - 2), (left + text_width + 4, top), colour, -1)
    # Black reads on light colours and white on dark ones.
    ink = (0, 0, 0) if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 110 else (255, 255, 255)
    place = (left + 2, top - base)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)


def draw_sequence(
    folder: str | os.PathLike[str],
    result: str | os.PathLike[str],
    frames: Sequence[int],
    trail_length: int = TRAIL_LENGTH,
) -> list[np.ndarray]:
    """Draws a result file on frames of its sequence.

    Args:
        folder: The sequence folder with seqinfo.ini and images.
        result: The MOT result file.
        frames: Frame numbers from 1.
        trail_length: Foot points of a trail, one a frame in which the identity was seen.

    Returns:
        One uint8 RGB image (H, W, 3) a frame asked for, in their order.

    Raises:
        ValueError: When a frame has no image, or a file cannot be read.
    """
    images = read_sequence(folder).images
    missing = [frame for frame in frames if frame not in images]
    if missing:
        raise ValueError(f"frames: got {missing[0]}, allowed: frames with an image in {folder} ({len(images)} of them)")
    rows = read_results(result)
    xyxy = xywh_to_xyxy(rows.xywh)
    order = np.argsort(rows.frame, kind="stable")
    wanted, drawn = set(frames), {}
    trails: dict[int, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=trail_length))
    first = 0
    for frame in range(1, max(wanted, default=0) + 1):
        last = first + int(np.searchsorted(rows.frame[order[first:]], frame, side="right"))
        here = order[first:last]
        first = last
        for track_id, box in zip(rows.track_id[here].tolist(), xyxy[here].tolist()):
            trails[track_id].append(((box[0] + box[2]) / 2, box[3]))
        if frame in wanted:
            class_id = np.zeros(len(here), np.int64)
            tracks = Tracks(xyxy[here], rows.track_id[here], rows.confidence[here], class_id)
            drawn[frame] = draw_tracks(read_frame(images[frame]), tracks, trails)
    return [drawn[frame] for frame in frames]
