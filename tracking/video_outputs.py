"""The files that tracking a video leaves, written while it runs and moved into place when it ends."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reid.files import atomic_path
from tracking.annotated_video import AnnotatedVideo
from tracking.boxes import xyxy_to_xywh
from tracking.images import crop_box
from tracking.tracks import Tracks


class VideoOutputs:
    """Writes each frame to those of the files that were asked for; each may be None."""

    def __init__(self, video: AnnotatedVideo | None, text: Any, crops: Path | None, crop_step: int) -> None:
        self.video, self._text, self._crops, self._crop_step = video, text, crops, crop_step
        self._detected: dict[int, int] = {}  # identity to frames with a detection
        self.crops_written = 0

    def draw(self, image: np.ndarray, tracks: Tracks) -> np.ndarray | None:
        """Returns the frame of the video for an image, uint8 RGB (H, W, 3), and its tracks; None without a video."""
        return None if self.video is None else self.video.draw(image, tracks)

    def write(self, frame: int, image: np.ndarray, tracks: Tracks, drawn: np.ndarray | None) -> None:
        """Takes a frame, uint8 RGB (H, W, 3), its tracks, and what `draw` made of both."""
        if self.video is not None and drawn is not None:
            self.video.write(drawn)
        xywh = xyxy_to_xywh(tracks.xyxy)
        if self._text is not None:
            self._write_rows(frame, xywh, tracks)
        if self._crops is not None:
            self._write_crops(self._crops, frame, image, xywh, tracks)

    def _write_rows(self, frame: int, xywh: np.ndarray, tracks: Tracks) -> None:
        """Writes the lines that `reid.data.mot.write_results` would, but those of this frame alone."""
        rows = zip(tracks.track_id.tolist(), xywh.tolist(), tracks.confidence.tolist())
        for track_id, (x, y, w, h), confidence in rows:
            if min(w, h) >= 0.01:  # a box that rounds to no area makes a result file invalid
                self._text.write(f"{frame},{track_id},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{confidence:.4f},-1,-1,-1\n")

    def _write_crops(self, folder: Path, frame: int, image: np.ndarray, xywh: np.ndarray, tracks: Tracks) -> None:
        """Writes <identity>/<frame>.jpg of those who were detected, not of those whose place is guessed."""
        size = np.array([image.shape[1], image.shape[0]])
        for row, track_id in enumerate(tracks.track_id.tolist()):
            if tracks.detection_index is not None and tracks.detection_index[row] < 0:
                continue
            times = self._detected.get(track_id, 0)
            self._detected[track_id] = times + 1
            inside = np.minimum(xywh[row, :2] + xywh[row, 2:], size) - np.maximum(xywh[row, :2], 0)
            if times % self._crop_step or np.any(inside < 1):
                continue
            crop = cv2.cvtColor(crop_box(image, xywh[row]), cv2.COLOR_RGB2BGR)
            with atomic_path(folder / f"{track_id:06d}" / f"{frame:06d}.jpg") as path:
                path.write_bytes(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
            self.crops_written += 1


@contextmanager
def open_outputs(
    *, video: Path | None, text: Path | None, crops: Path | None, crop_step: int, rate: float
) -> Iterator[VideoOutputs]:
    """Yields what writes the files; where the block ends with an error, no video and no text is left.

    Args:
        video: Annotated video, or None.
        text: MOT results, or None.
        crops: Folder of crops, a subfolder an identity, or None. Crops are written at once, each whole or not at all.
        crop_step: Of the frames in which an identity was detected, every so many-th gives a crop, from the first on.
        rate: Frames a second of the video.

    Raises:
        OSError: When a file cannot be written.
    """
    with ExitStack() as stack:
        text_file: Any = None
        drawn: AnnotatedVideo | None = None
        if text is not None:
            path = stack.enter_context(atomic_path(text))
            text_file = stack.enter_context(open(path, "w", encoding="utf-8"))
        if video is not None:
            drawn = AnnotatedVideo(stack.enter_context(atomic_path(video)), rate, video)
            stack.push(_closer(drawn))
        if crops is not None:
            os.makedirs(crops, exist_ok=True)
        yield VideoOutputs(drawn, text_file, crops, crop_step)


def _closer(video: AnnotatedVideo) -> Callable[..., None]:
    """Returns what ends the video as the stack leaves; after an error nobody needs to know whether it is whole."""

    def close(kind: type[BaseException] | None, *_: object) -> None:
        video.close(check=kind is None)

    return close
