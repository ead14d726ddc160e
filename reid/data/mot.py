"""MOT text in and out: seqinfo.ini, ground truth, detections, results and DeepSORT .npy files.

Frames and identities count from 1; boxes are xywh = left, top, width, height in pixels of the image. Every reader
names the file, the line, what is wrong and what to do. Columns are separated by commas, or by spaces.
"""

import configparser
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.files import write_text

DEFAULT_LENGTHS = {"gt": (9, 10), "det": (7, 10), "results": (7, 8, 9, 10)}


@dataclass(frozen=True)
class SequenceInfo:
    """What seqinfo.ini says of a sequence; `length` is in frames and may exceed the images that are there."""

    name: str
    image_dir: str
    frame_rate: float
    length: int
    width: int
    height: int
    image_extension: str


@dataclass(frozen=True)
class MotGroundTruth:
    """Rows of gt.txt: frame and track_id int64 (N,), xywh float64 (N, 4), flag and class_id int64 (N,),
    visibility float64 (N,) in 0..1, and line int64 (N,), the line of each row in the file.
    """  # noqa: D205

    frame: np.ndarray
    track_id: np.ndarray
    xywh: np.ndarray
    flag: np.ndarray
    class_id: np.ndarray
    visibility: np.ndarray
    line: np.ndarray


@dataclass(frozen=True)
class MotDetections:
    """Rows of det.txt: frame int64 (N,), xywh float64 (N, 4), confidence float64 (N,).

    `skipped` counts the rows that were left out because their width or height was not positive.
    """

    frame: np.ndarray
    xywh: np.ndarray
    confidence: np.ndarray
    skipped: int = 0


@dataclass(frozen=True)
class MotResults:
    """Rows of a result: frame and track_id int64 (N,), xywh float64 (N, 4), confidence float64 (N,), class_id int64
    (N,), -1 where the file has none, and line int64 (N,).
    """  # noqa: D205

    frame: np.ndarray
    track_id: np.ndarray
    xywh: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    line: np.ndarray


def read_seqinfo(folder: str | os.PathLike[str]) -> SequenceInfo:
    """Reads seqinfo.ini of a sequence folder.

    Raises:
        ValueError: When the file, its section [Sequence] or a key is missing or not a number.
    """
    path = Path(folder) / "seqinfo.ini"
    if not path.is_file():
        raise ValueError(f"{path}: missing; every sequence folder needs a seqinfo.ini with a section [Sequence]")
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding="utf-8-sig")
        section = parser["Sequence"]
        return SequenceInfo(
            name=section.get("name", Path(folder).name),
            image_dir=section.get("imDir", "img1"),
            frame_rate=float(section.get("frameRate", "30")),
            length=int(section["seqLength"]),
            width=int(section.get("imWidth", "0")),
            height=int(section.get("imHeight", "0")),
            image_extension=section.get("imExt", ".jpg"),
        )
    except KeyError as error:
        raise ValueError(f"{path}: {error.args[0]} is missing; write [Sequence] with seqLength=<frames>") from error
    except (configparser.Error, ValueError) as error:
        raise ValueError(f"{path}: {error}; seqLength, imWidth and imHeight must be whole numbers") from error


def read_ground_truth(path: str | os.PathLike[str]) -> MotGroundTruth:
    """Reads gt.txt: 9 columns (MOT16 and later), or 10 (MOT15, where all rows are pedestrians, fully visible).

    Raises:
        ValueError: With file and line, for wrong columns, values that are no finite numbers, frames or identities
            below 1, and boxes without area.
    """
    values, line = _read_table(path, DEFAULT_LENGTHS["gt"])
    _refuse(path, line, values[:, 1] < 1, "the identity is below 1", "number identities from 1")
    _refuse(
        path, line, np.any(values[:, 4:6] <= 0, axis=1), "the box has no area", "remove the row or correct its size"
    )
    modern = values.shape[1] == 9
    return MotGroundTruth(
        frame=values[:, 0].astype(np.int64),
        track_id=values[:, 1].astype(np.int64),
        xywh=values[:, 2:6],
        flag=values[:, 6].astype(np.int64),
        class_id=values[:, 7].astype(np.int64) if modern else np.ones(len(values), np.int64),
        visibility=values[:, 8] if modern else np.ones(len(values)),
        line=line,
    )


def read_detections(path: str | os.PathLike[str]) -> MotDetections:
    """Reads det.txt of 10 columns, or of the 7 that MOT17's FRCNN and SDP files have, in the file's order.

    Boxes without area are skipped and counted.

    Raises:
        ValueError: With file and line, as `read_ground_truth`.
    """
    values, _ = _read_table(path, DEFAULT_LENGTHS["det"])
    return _detections_with_area(values)[0]


def read_results(path: str | os.PathLike[str]) -> MotResults:
    """Reads a tracker's result of 7 to 10 columns: frame, id, left, top, width, height, confidence, class, ...

    Raises:
        ValueError: With file and line, for wrong columns, values that are no finite numbers, frames below 1,
            negative identities, and boxes without area.
    """
    values, line = _read_table(path, DEFAULT_LENGTHS["results"])
    _refuse(path, line, values[:, 1] < 0, "the identity is negative", "number identities from 1")
    _refuse(path, line, np.any(values[:, 4:6] <= 0, axis=1), "the box has no area", "remove the row")
    return MotResults(
        frame=values[:, 0].astype(np.int64),
        track_id=values[:, 1].astype(np.int64),
        xywh=values[:, 2:6],
        confidence=values[:, 6],
        class_id=values[:, 7].astype(np.int64) if values.shape[1] > 7 else np.full(len(values), -1),
        line=line,
    )


def write_results(
    path: str | os.PathLike[str],
    frame: np.ndarray,
    track_id: np.ndarray,
    xywh: np.ndarray,
    confidence: np.ndarray,
) -> None:
    """Writes a MOT result, 10 columns with commas, boxes to 0.01 pixel, whole or not at all.

    Args:
        path: The text file; its folder is made.
        frame: int (N,), from 1.
        track_id: int (N,), from 1.
        xywh: float (N, 4), pixels.
        confidence: float (N,).
    """
    rows = zip(frame.tolist(), track_id.tolist(), xywh.tolist(), confidence.tolist(), strict=True)
    write_text(
        path,
        "".join(f"{f:d},{i:d},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{c:.4f},-1,-1,-1\n" for f, i, (x, y, w, h), c in rows),
    )


def read_deepsort_npy(
    path: str | os.PathLike[str], detection_columns: int | None = None
) -> tuple[MotDetections, np.ndarray]:
    """Reads a DeepSORT .npy file: one row a detection, its 7 or 10 det.txt columns first, then its feature.

    Reading one form as the other shifts the feature without an error, so the form is derived from the data:
    three columns of -1 behind the confidence speak for 10, features of unit norm for the split that has them, and a
    usual length of the feature (a multiple of 16) for 7. Where that does not decide, the file is refused.

    Args:
        path: The file.
        detection_columns: 7 or 10 when it is known; None derives it.

    Returns:
        The detections in the file's order without those that have no area, and their features, float32 (N, D).

    Raises:
        ValueError: When the file is no table of numbers, when the form is ambiguous, or when a value is NaN.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a readable .npy file ({error}); write it with numpy.save") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected one 2-D array of numbers, a row a detection; save the array itself")
    values = values.astype(np.float64)
    if detection_columns is None:
        detection_columns = _detection_columns(path, values)
    elif detection_columns not in (7, 10):
        raise ValueError(f"detection_columns: got {detection_columns}, allowed: 7, 10")
    if values.shape[1] <= detection_columns:
        raise ValueError(f"{path}: {values.shape[1]} columns leave no feature behind {detection_columns} columns")
    row = np.arange(1, len(values) + 1)
    _check_numbers(path, row, values, where="row")
    detections, keep = _detections_with_area(values)
    return detections, values[keep, detection_columns:].astype(np.float32)


def _detection_columns(path: str | os.PathLike[str], values: np.ndarray) -> int:
    """Returns 7 or 10, whichever the data speak for."""
    total = values.shape[1]
    if total < 8:
        raise ValueError(f"{path}: {total} columns; expected 7 or 10 detection columns and then a feature")
    evidence = {7: 0, 10: 0}
    for columns in (7, 10):
        size = total - columns
        norms = np.linalg.norm(values[:, columns:], axis=1)
        if size > 0 and len(values) and bool((np.abs(norms - 1) < 1e-2).all()):
            evidence[columns] += 2
        # A usual length alone does not speak for 10: three real columns behind the confidence are rather a feature's.
        if size > 0 and size % 16 == 0 and (columns == 7 or not len(values)):
            evidence[columns] += 1
    if total > 10 and len(values) and bool((values[:, 7:10] == -1).all()):
        # A unit feature cannot begin with three times -1, so this alone rules 7 out.
        evidence = {7: 0, 10: evidence[10] + 2}
    if evidence[7] == evidence[10]:
        raise ValueError(
            f"{path}: cannot tell 7 + {total - 7} from 10 + {total - 10} columns; pass detection_columns=7 or 10"
        )
    return max(evidence, key=lambda columns: evidence[columns])


def _detections_with_area(values: np.ndarray) -> tuple[MotDetections, np.ndarray]:
    keep: np.ndarray = np.all(values[:, 4:6] > 0, axis=1)
    rows = values[keep]
    detections = MotDetections(rows[:, 0].astype(np.int64), rows[:, 2:6], rows[:, 6], int((~keep).sum()))
    return detections, keep


def _read_table(path: str | os.PathLike[str], allowed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of a text file, float64 (N, C), and the line of each row, int64 (N,)."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error.reason}); expected MOT text, one box a line") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    spaced = text.replace(",", " ")
    line = np.flatnonzero(np.array([not row.isspace() and row != "" for row in spaced.split("\n")], dtype=bool)) + 1
    if not len(line):
        return np.empty((0, allowed[0])), line
    try:
        values = np.loadtxt(io.StringIO(spaced), comments=None, ndmin=2)
    except ValueError as error:
        _explain_bad_line(path, text, allowed)
        raise ValueError(f"{path}: not a table of numbers ({error}); write one box a line") from error
    if values.shape[1] not in allowed or re.search(r",[ \t]*,", text):
        _explain_bad_line(path, text, allowed)
    _check_numbers(path, line, values)
    return values, line


def _explain_bad_line(path: str | os.PathLike[str], text: str, allowed: Sequence[int]) -> None:
    """Raises the ValueError for the first line that is no row of numbers of an allowed width."""
    expected: int | None = None
    names = " or ".join(str(width) for width in allowed)
    for number, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        fields = [field.strip() for field in row.strip().rstrip(",").split(",")] if "," in row else row.split()
        for column, field in enumerate(fields, start=1):
            try:
                float(field)
            except ValueError as error:
                hint = "write numbers separated by commas, without a header"
                raise ValueError(f"{path}:{number}: column {column} is {field!r}, not a number; {hint}") from error
        if len(fields) not in allowed:
            raise ValueError(f"{path}:{number}: {len(fields)} columns; write {names} columns")
        if expected is not None and len(fields) != expected:
            raise ValueError(
                f"{path}:{number}: {len(fields)} columns, the lines before have {expected}; write one form"
            )
        expected = len(fields)


def _check_numbers(path: str | os.PathLike[str], line: np.ndarray, values: np.ndarray, where: str = "") -> None:
    finite = np.isfinite(values).all(1)
    _refuse(path, line, ~finite, "a value is NaN or infinite", "remove the row or correct it", where)
    whole = values[:, :2] == np.floor(values[:, :2])
    _refuse(path, line, ~whole.all(1), "frame or identity is no whole number", "write integers there", where)
    _refuse(path, line, values[:, 0] < 1, "the frame is below 1", "number frames from 1", where)


def _refuse(
    path: str | os.PathLike[str], line: np.ndarray, bad: np.ndarray, what: str, advice: str, where: str = ""
) -> None:
    """Raises a ValueError for the first bad row, with the count of all."""
    if bad.any():
        count = int(bad.sum())
        more = f" (and {count - 1} more rows)" if count > 1 else ""
        place = f"{path}: row {line[bad][0]}" if where else f"{path}:{line[bad][0]}"
        raise ValueError(f"{place}: {what}{more}; {advice}")
