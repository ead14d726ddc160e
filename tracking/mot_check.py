"""The linter ahead of TrackEval: what it would abort on, or score wrongly, named with file, line and remedy."""

import os
from pathlib import Path

import numpy as np

from reid.data.mot import MotGroundTruth, MotResults, read_ground_truth, read_results

CLASSES = range(1, 14)


def check_ground_truth(path: str | os.PathLike[str], length: int) -> MotGroundTruth:
    """Reads gt.txt and refuses what cannot be scored.

    Args:
        path: The file.
        length: Frames of the sequence, from seqinfo.ini.

    Raises:
        ValueError: With file and line: what the reader refuses, frames beyond the sequence, unknown classes,
            an identity twice in a frame.
    """
    rows = read_ground_truth(path)
    _check_frames(path, rows.frame, rows.line, length)
    bad = ~np.isin(rows.class_id, CLASSES)
    _report(path, rows.line, bad, "the class is not in 1..13", "correct column 8")
    _check_unique(path, rows.frame, rows.track_id, rows.line)
    return rows


def check_results(path: str | os.PathLike[str], length: int) -> MotResults:
    """Reads a result and refuses what cannot be scored; a file without rows is a result without tracks.

    Args:
        path: The file; columns separated by commas or by spaces.
        length: Frames of the sequence.

    Raises:
        ValueError: With file and line: what the reader refuses, frames beyond the sequence, classes other than
            pedestrian, an identity twice in a frame.
    """
    rows = read_results(path)
    _check_frames(path, rows.frame, rows.line, length)
    bad = rows.class_id > 1
    _report(path, rows.line, bad, "the class (column 8) is not 1 or -1", "keep pedestrians only, and write -1 there")
    _check_unique(path, rows.frame, rows.track_id, rows.line)
    return rows


def is_mot15(path: str | os.PathLike[str]) -> bool:
    """Returns whether a ground truth has the ten columns of MOT15, judged by its first line."""
    with open(path, encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip()), "")
    return len(first.replace(",", " ").split()) == 10


def _check_frames(path: str | os.PathLike[str], frame: np.ndarray, line: np.ndarray, length: int) -> None:
    what = f"the frame is beyond the {length} frames of the sequence"
    _report(path, line, frame > length, what, "remove the row, or check that the file belongs to this sequence")


def _check_unique(path: str | os.PathLike[str], frame: np.ndarray, track_id: np.ndarray, line: np.ndarray) -> None:
    labels, label = np.unique(track_id, return_inverse=True)  # identities of any size, without overflow
    key = frame * len(labels) + label
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    again = first[inverse] != np.arange(len(key))
    if again.any():
        row = int(np.flatnonzero(again)[0])
        earlier = line[first[inverse[row]]]
        what = f"identity {track_id[row]} is in frame {frame[row]} a second time, after line {earlier}"
        _report(path, line, again, what, "keep one box an identity and frame")


def _report(path: str | os.PathLike[str], line: np.ndarray, bad: np.ndarray, what: str, advice: str) -> None:
    if bad.any():
        more = f" (and {int(bad.sum()) - 1} more rows)" if bad.sum() > 1 else ""
        raise ValueError(f"{Path(path)}:{line[bad][0]}: {what}{more}; {advice}")
