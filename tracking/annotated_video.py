"""A video with boxes, identities and trails, drawn by supervision's annotators."""

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracking.drawing import TRAIL_LENGTH, track_colour
from tracking.tracks import Tracks

# Suffix to the codec that OpenCV's wheels can write.
CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
PALETTE_SIZE = 360  # identities this far apart share a colour


class TrackAnnotator:
    """Draws the tracks of one frame after the other; an identity keeps its colour, in every video.

    Args:
        height: Of the frames in pixels; lines and letters fit it.
        width: Of the frames.
    """

    def __init__(self, height: int, width: int) -> None:
        import supervision as sv

        palette, ink = _palettes()
        shorter = min(height, width)
        line = max(1, round(shorter / 400)) + 1
        common: dict[str, Any] = {"color": palette, "color_lookup": sv.ColorLookup.TRACK}
        self._boxes = sv.BoxAnnotator(thickness=line, **common)
        self._labels = sv.LabelAnnotator(
            text_color=ink, text_scale=max(0.4, shorter / 1200), text_padding=max(2, round(shorter / 200)), **common
        )
        self._trails = sv.TraceAnnotator(
            position=sv.Position.BOTTOM_CENTER, trace_length=TRAIL_LENGTH, thickness=line, **common
        )

    def __call__(self, image: np.ndarray, tracks: Tracks) -> np.ndarray:
        """Returns a drawn copy of an image, uint8 BGR (H, W, 3), of the next frame, uint8 RGB."""
        drawn: Any = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        found = tracks.to_supervision()
        drawn = self._trails.annotate(drawn, found)
        drawn = self._boxes.annotate(drawn, found)
        result: np.ndarray = self._labels.annotate(drawn, found, labels=[str(number) for number in tracks.track_id])
        return result


@lru_cache(maxsize=1)
def _palettes() -> tuple[Any, Any]:
    """Returns the colours of identities, and of the letters on them: black on light ones, white on dark ones."""
    import supervision as sv

    colours = [track_colour(number) for number in range(PALETTE_SIZE)]
    light = [0.299 * red + 0.587 * green + 0.114 * blue > 110 for red, green, blue in colours]
    ink = [sv.Color(0, 0, 0) if bright else sv.Color(255, 255, 255) for bright in light]
    return sv.ColorPalette([sv.Color(*colour) for colour in colours]), sv.ColorPalette(ink)


class AnnotatedVideo:
    """Writes drawn frames to a video file.

    The first frame sets the size, without its last row or column where that is odd, since codecs want even numbers.
    Frames of another size are scaled to fit, with black borders.

    Args:
        path: Where it writes; the suffix is one of `CODECS`.
        rate: Frames a second.
        name: What errors call the file.
    """

    def __init__(self, path: Path, rate: float, name: Path) -> None:
        self._path, self._rate, self._name = path, rate, name
        self._writer: Any = None
        self._size = (0, 0)  # width, height
        self._annotate: TrackAnnotator | None = None
        self.frames = 0
        self.fitted = 0

    def draw(self, image: np.ndarray, tracks: Tracks) -> np.ndarray:
        """Returns a drawn copy, uint8 BGR (H, W, 3), of the next frame, uint8 RGB.

        Raises:
            OSError: When the file cannot be written.
        """
        if self._annotate is None:
            self._open(*image.shape[:2])
        assert self._annotate is not None
        return self._annotate(image, tracks)

    def write(self, drawn: np.ndarray) -> None:
        """Encodes a frame that `draw` returned."""
        width, height = self._size
        if (drawn.shape[0] // 2 * 2, drawn.shape[1] // 2 * 2) != (height, width):
            drawn = _fit(drawn, height, width)
            self.fitted += 1
        self._writer.write(np.ascontiguousarray(drawn[:height, :width]))
        self.frames += 1

    def _open(self, height: int, width: int) -> None:
        self._annotate = TrackAnnotator(height, width)
        self._size = (width // 2 * 2, height // 2 * 2)
        codec = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._path), codec, self._rate, self._size)
        if not self._writer.isOpened():
            raise OSError(f"{self._name}: OpenCV cannot write a video of {width} x {height} pixels there")

    def close(self, check: bool = True) -> None:
        """Ends the file.

        Args:
            check: Whether to look at what was written.

        Raises:
            OSError: When it does not hold what was written: OpenCV says nothing of a full disk.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if not check:
            return
        reader = cv2.VideoCapture(str(self._path))
        count = reader.get(cv2.CAP_PROP_FRAME_COUNT) if reader.isOpened() else 0.0
        reader.release()
        if not math.isfinite(count) or count < 0.99 * self.frames - 2:
            raise OSError(f"{self._name}: holds {count:.0f} of {self.frames} frames; is the disk full?")


def _fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns an image (H, W, 3) scaled into (height, width, 3) in its own proportions, the rest black."""
    scale = min(height / image.shape[0], width / image.shape[1])
    inside = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    fitted = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inside[1]) // 2, (width - inside[0]) // 2
    fitted[top : top + inside[1], left : left + inside[0]] = cv2.resize(image, inside, interpolation=cv2.INTER_AREA)
    return fitted
