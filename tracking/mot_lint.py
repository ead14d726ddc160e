"""What is wrong in MOT files, all of it: rules over the rows, named with line and remedy.

`tracking.mot_check` refuses a file at its first error, ahead of scoring; this reports everything, and warns.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reid.data.mot import SequenceInfo
from tracking.mot_check import CLASSES
from tracking.mot_text import (
    CLASS,
    FLAG,
    FRAME,
    HEIGHT,
    IDENTITY,
    LEFT,
    TOP,
    VISIBILITY,
    WIDTH,
    Kind,
    MotText,
    Problem,
)

COLUMNS = {"gt": (9, 10), "det": (7, 10), "results": (7, 8, 9, 10)}
_Rule = tuple[np.ndarray, str, str, bool]  # rows that break it, what, advice, whether it is an error


def lint(text: MotText, kind: Kind, info: SequenceInfo | None = None) -> list[Problem]:
    """Returns what is wrong with a file, in the order of the lines, that of the file as a whole first.

    Args:
        text: Of the file.
        kind: What the file should be.
        info: Of its sequence, where it is known; frames and places in the image are checked by it.
    """
    problems = list(text.problems)
    if not len(text) and not any(problem.error for problem in problems):
        without = {"gt": "people", "det": "detections", "results": "tracks"}[kind]
        advice = "nothing to do if that is meant"
        problems.append(Problem(text.path, 0, f"no rows, which means no {without}", advice, error=False))
    for rule in _rules(text, kind, info):
        bad, what, advice, error = rule
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            row = _Row(text, first)
            line, count = int(text.line[first]), int(bad.sum())
            problems.append(Problem(text.path, line, what.format(row=row), advice, error, count))
    return sorted(problems, key=lambda problem: problem.line)


class _Row:
    """The first row that breaks a rule, for its message."""

    def __init__(self, text: MotText, place: int):
        values = text.values[place]
        self.frame, self.identity, self.width, self.height, self.kind = (
            f"{values[column]:.15g}" for column in (FRAME, IDENTITY, WIDTH, HEIGHT, CLASS)
        )
        self.flag, self.visibility = f"{values[FLAG]:g}", f"{values[VISIBILITY]:g}"
        self.columns = int(text.columns[place])


def _rules(text: MotText, kind: Kind, info: SequenceInfo | None) -> Iterator[_Rule]:
    values, columns = text.values, text.columns
    allowed = COLUMNS[kind]
    names = " or ".join(map(str, allowed))
    yield ~np.isin(columns, allowed), "{row.columns} columns", f"write {names} columns", True
    if len(text):
        usual = int(np.bincount(columns).argmax())
        odd = np.isin(columns, allowed) & (columns != usual)
        yield odd, f"{{row.columns}} columns, most lines have {usual}", "write one form", True
    missing = np.arange(values.shape[1]) >= columns[:, None]
    yield ~(np.isfinite(values) | missing).all(1), "a value is NaN or infinite", "remove the row or correct it", True
    yield from _frame_rules(values, info)
    if kind != "det":
        yield from _identity_rules(values, kind)
    flat = (values[:, WIDTH] <= 0) | (values[:, HEIGHT] <= 0)
    remedy = "remove the row" if kind != "det" else "remove the row; readers leave it out"
    yield flat, "the box is {row.width} x {row.height}, which is no area", remedy, kind != "det"
    yield from _class_rules(values, columns, kind)
    if info is not None and info.width > 0 and info.height > 0:
        yield from _place_rules(values, info)


def _frame_rules(values: np.ndarray, info: SequenceInfo | None) -> Iterator[_Rule]:
    frame = values[:, FRAME]
    yield _broken(frame), "frame {row.frame} is no whole number", "write integers there", True
    counted_from_0 = bool((frame == 0).any()) and not bool((frame < 0).any())
    advice = "frames count from 1: add 1 to every frame" if counted_from_0 else "number frames from 1"
    yield frame < 1, "frame {row.frame} is below 1", advice, True
    if info is not None:
        what = f"frame {{row.frame}} is beyond the {info.length} frames of the sequence"
        advice = "remove the row, or check that the file belongs to this sequence and seqLength is right"
        yield frame > info.length, what, advice, True


def _identity_rules(values: np.ndarray, kind: Kind) -> Iterator[_Rule]:
    identity, frame = values[:, IDENTITY], values[:, FRAME]
    yield _broken(identity), "identity {row.identity} is no whole number", "write integers there", True
    if kind == "gt":
        yield identity < 1, "identity {row.identity} is below 1", "number identities from 1", True
    else:
        lowest = "number identities from 1; detections without tracks have -1 there"
        yield identity < 0, "identity {row.identity} is negative", lowest, True
    what = "identity {row.identity} is in frame {row.frame} a second time"
    yield repeated(frame, identity), what, "keep one box an identity and frame", True


def _class_rules(values: np.ndarray, columns: np.ndarray, kind: Kind) -> Iterator[_Rule]:
    if kind == "results":
        other = (columns > CLASS) & (values[:, CLASS] > 1)
        advice = "keep pedestrians only, and write -1 there"
        yield other, "class {row.kind} (column 8) is neither 1 nor -1", advice, True
    if kind == "gt":
        modern = columns == 9
        unknown = modern & np.isfinite(values[:, CLASS]) & ~np.isin(values[:, CLASS], CLASSES)
        yield unknown, "class {row.kind} (column 8) is not in 1..13", "correct it; 1 is a pedestrian", True
        odd = modern & np.isfinite(values[:, FLAG]) & ~np.isin(values[:, FLAG], (0, 1))
        yield odd, "flag {row.flag} (column 7) is neither 0 nor 1", "write 1 for boxes that count", False
        beyond = modern & ((values[:, VISIBILITY] < 0) | (values[:, VISIBILITY] > 1))
        yield beyond, "visibility {row.visibility} (column 9) is not in 0..1", "write the share that is seen", False


def _place_rules(values: np.ndarray, info: SequenceInfo) -> Iterator[_Rule]:
    left, top = values[:, LEFT], values[:, TOP]
    right, bottom = left + values[:, WIDTH], top + values[:, HEIGHT]
    outside = (right <= 0) | (bottom <= 0) | (left >= info.width) | (top >= info.height)
    outside &= (values[:, [WIDTH, HEIGHT]] > 0).all(1)  # the others are named already
    image = f"the image of {info.width} x {info.height}"
    yield outside, f"the box lies outside {image}", "check the columns and the sequence", False
    beyond = (right > 1.05 * info.width) | (bottom > 1.05 * info.height)
    corners = beyond if len(beyond) and beyond.mean() > 0.5 else np.zeros(len(beyond), bool)
    advice = "columns 5 and 6 are width and height, not right and bottom"
    yield corners, f"most boxes end beyond {image}", advice, False


def repeated(frame: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """Returns which rows have a frame and an identity that an earlier row has, bool (N,)."""
    pairs = np.stack([frame, identity], axis=1)
    again = np.ones(len(pairs), bool)
    again[np.unique(pairs, axis=0, return_index=True)[1]] = False
    return again & np.isfinite(pairs).all(1)


def _broken(values: np.ndarray) -> np.ndarray:
    broken: np.ndarray = np.isfinite(values) & (values != np.floor(values))
    return broken


def count_lines(problems: list[Problem]) -> str:
    """Returns how many errors and warnings there are, in words."""
    errors = sum(problem.count for problem in problems if problem.error)
    warnings = sum(problem.count for problem in problems if not problem.error)
    return f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"


def kind_of(path: Path) -> Kind:
    """Returns what a file is by its place: gt/gt.txt, det/det.txt, else results."""
    if path.name == "gt.txt" or path.parent.name == "gt":
        return "gt"
    if path.name == "det.txt" or path.parent.name == "det":
        return "det"
    return "results"
