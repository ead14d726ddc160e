"""Where detections come from: MOT det.txt and DeepSORT .npy files, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.data.mot import MotDetections, read_deepsort_npy, read_detections
from tracking.boxes import xywh_to_xyxy
from tracking.detections import Detections


@dataclass(frozen=True)
class SequenceDetections:
    """All detections of a sequence, sorted by frame.

    Iterating yields (frame, Detections) for frame 1 to `length`; frames without detections yield empty ones.

    Attributes:
        name: The sequence.
        frame: int64 (N,), ascending, from 1.
        xywh: float64 (N, 4), pixels.
        confidence: float64 (N,).
        embeddings: float32 (N, D) or None.
        length: Number of frames.
        skipped: Rows of the file that were left out since they had no area.
    """

    name: str
    frame: np.ndarray
    xywh: np.ndarray
    confidence: np.ndarray
    embeddings: np.ndarray | None
    length: int
    skipped: int = 0

    def __post_init__(self) -> None:
        if self.embeddings is not None and len(self.embeddings) != len(self.frame):
            raise ValueError(
                f"embeddings: got {len(self.embeddings)} rows, allowed: {len(self.frame)}, one a detection"
            )

    def at(self, frame: int) -> Detections:
        """Returns the detections of one frame."""
        first, last = np.searchsorted(self.frame, [frame, frame + 1])
        rows = slice(first, last)
        embeddings = None if self.embeddings is None else self.embeddings[rows]
        xyxy = xywh_to_xyxy(self.xywh[rows])
        return Detections(xyxy, self.confidence[rows], np.zeros(last - first, np.int64), embeddings)

    def __iter__(self) -> Iterator[tuple[int, Detections]]:
        return ((frame, self.at(frame)) for frame in range(1, self.length + 1))

    def only(self, frames: np.ndarray) -> SequenceDetections:
        """Returns the detections of the given frames; the frames keep their numbers."""
        return self._select(np.isin(self.frame, frames))

    def above(self, confidence: float) -> SequenceDetections:
        """Returns the detections of at least this confidence."""
        # Trackers compare in float32, so this does too: 0.1 of a file is then not below a limit of 0.1.
        return self._select(self.confidence.astype(np.float32) >= np.float32(confidence))

    def _select(self, keep: np.ndarray) -> SequenceDetections:
        embeddings = None if self.embeddings is None else self.embeddings[keep]
        return SequenceDetections(
            self.name, self.frame[keep], self.xywh[keep], self.confidence[keep], embeddings, self.length, self.skipped
        )

    def with_embeddings(self, embeddings: np.ndarray | None) -> SequenceDetections:
        """Returns the same detections with other embeddings (N, D), or with none."""
        return SequenceDetections(
            self.name, self.frame, self.xywh, self.confidence, embeddings, self.length, self.skipped
        )


def det_txt_source(path: str | os.PathLike[str], name: str, length: int | None = None) -> SequenceDetections:
    """Reads a MOT det.txt.

    Args:
        path: The file, 7 or 10 columns, in any order of frames.
        name: What the sequence is called.
        length: Number of frames; None takes the last frame that has a detection.

    Raises:
        ValueError: As `reid.data.mot.read_detections`.
    """
    return _source(name, read_detections(path), None, length)


def deepsort_npy_source(
    path: str | os.PathLike[str],
    name: str | None = None,
    length: int | None = None,
    detection_columns: int | None = None,
) -> SequenceDetections:
    """Reads a DeepSORT .npy file, whose features become the embeddings.

    Args:
        path: The file.
        name: What the sequence is called; None takes the file's name.
        length: Number of frames; None takes the last frame that has a detection.
        detection_columns: 7 or 10 where it is known.

    Raises:
        ValueError: As `reid.data.mot.read_deepsort_npy`.
    """
    detections, features = read_deepsort_npy(path, detection_columns)
    return _source(name or Path(path).stem, detections, features, length)


def _source(
    name: str, detections: MotDetections, embeddings: np.ndarray | None, length: int | None
) -> SequenceDetections:
    order = np.argsort(detections.frame, kind="stable")
    frame = detections.frame[order]
    if length is None:
        length = int(frame[-1]) if len(frame) else 0
    embeddings = None if embeddings is None else embeddings[order]
    return SequenceDetections(
        name, frame, detections.xywh[order], detections.confidence[order], embeddings, length, detections.skipped
    )


def find_detections(root: str | os.PathLike[str]) -> dict[str, Path]:
    """Returns sequence name to detection file, sorted: all .npy files or det.txt files at `root`.

    Args:
        root: One .npy file, a folder of .npy files, a sequence folder with det/det.txt, or a folder of those.

    Raises:
        ValueError: When there is no detection file, or both kinds.
    """
    root = Path(root)
    if root.is_file():
        if root.suffix != ".npy":
            raise ValueError(f"{root}: got a {root.suffix or 'suffixless'} file, allowed: .npy, or a folder")
        return {root.stem: root}
    arrays = {path.stem: path for path in sorted(root.glob("*.npy"))}
    texts = {path.parent.parent.resolve().name: path for path in sorted(root.glob("*/det/det.txt"))}
    if (root / "det" / "det.txt").is_file():
        texts = {root.resolve().name: root / "det" / "det.txt"}
    if arrays and texts:
        raise ValueError(f"{root}: holds .npy files and sequence folders with det/det.txt; give a folder of one kind")
    if not arrays and not texts:
        raise ValueError(f"{root}: neither .npy files nor sequence folders with det/det.txt are there")
    return arrays or texts


def read_source(
    path: Path, name: str, length: int | None = None, detection_columns: int | None = None
) -> SequenceDetections:
    """Reads a file that `find_detections` found, by its suffix.

    Raises:
        ValueError: When the file is wrong, or `detection_columns` is given for a det.txt, which tells them itself.
    """
    if path.suffix == ".npy":
        return deepsort_npy_source(path, name, length, detection_columns)
    if detection_columns is not None:
        raise ValueError(f"detection_columns: got {detection_columns} for {path}, allowed: only with .npy files")
    return det_txt_source(path, name, length)
