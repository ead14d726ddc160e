"""Repaired copies of MOT files: what can be mended is, what cannot is left out, and both are counted."""

from collections.abc import Iterator

import numpy as np

from tracking.mot_check import CLASSES
from tracking.mot_lint import repeated
from tracking.mot_text import (
    CLASS,
    CONFIDENCE,
    FRAME,
    HEIGHT,
    IDENTITY,
    WIDTH,
    Kind,
    MotText,
)

# What a row without that column gets: a box that counts, of a pedestrian who is seen, found with confidence 1.
_FILL = {
    ("gt", 9): (1, 1, 1),
    ("gt", 10): (1, -1, -1, -1),
    ("det", 7): (1,),
    ("det", 10): (1, -1, -1, -1),
    ("results", 10): (1, -1, -1, -1),
}
_LEAST = 6  # columns without which a row says nothing


def repair(text: MotText, kind: Kind, length: int | None = None) -> tuple[str, list[str]]:
    """Returns the file's text after repair, with commas, and what was done, in words.

    Frames counted from 0 are moved by one where they then fit the sequence, identities of ground truth likewise. Of
    two boxes of one identity in a frame the more confident stays (in ground truth the first). Rows that are wrong
    beyond repair are removed.

    Args:
        text: Of the file.
        kind: What the file should be.
        length: Frames of the sequence, where it is known.
    """
    unread = sum(problem.count for problem in text.problems if "not a number" in problem.what)
    done = [f"removed {unread} lines that are no rows of numbers"] if unread else []
    width = _target_width(text, kind)
    values = text.values[:, :width].copy()
    fill = _FILL[kind, width]
    short = (text.columns < width) & (text.columns >= _LEAST)
    if short.any():
        done.append(f"filled the missing columns of {short.sum()} rows with {', '.join(map(str, fill))}")
        missing = short[:, None] & (np.arange(width) >= text.columns[:, None])
        values = np.where(missing, np.array([0] * _LEAST + list(fill)), values)
    if (text.columns > width).any():
        done.append(f"cut {(text.columns > width).sum()} rows to {width} columns")
    _count_from_1(values, kind, length, done)
    for bad, what in _beyond_repair(values, kind, length):
        if bad.any():
            done.append(f"removed {bad.sum()} rows {what}")
            values = values[~bad]
    again = _doubles(values, kind)
    if again.any():
        which = "later" if kind == "gt" else "less confident"
        done.append(f"removed {again.sum()} {which} boxes of an identity that is in the frame twice")
        values = values[~again]
    return "".join(",".join(map(_number, row)) + "\n" for row in values.tolist()), done


def _target_width(text: MotText, kind: Kind) -> int:
    """Returns 10 for results; for the others the form that most rows have."""
    if kind == "results":
        return 10
    ten = int((text.columns >= 10).sum())
    return 10 if ten > len(text) - ten else {"gt": 9, "det": 7}[kind]


def _count_from_1(values: np.ndarray, kind: Kind, length: int | None, done: list[str]) -> None:
    """Moves frames, and identities of ground truth, that begin with 0, in place."""
    frame, identity = values[:, FRAME], values[:, IDENTITY]
    if (frame == 0).any() and not (frame < 0).any() and (length is None or np.nanmax(frame) < length):
        values[:, FRAME] += 1
        done.append("added 1 to every frame, which were counted from 0")
    if kind == "gt" and (identity == 0).any() and not (identity < 0).any():
        values[:, IDENTITY] += 1
        done.append("added 1 to every identity, which were counted from 0")


def _beyond_repair(values: np.ndarray, kind: Kind, length: int | None) -> Iterator[tuple[np.ndarray, str]]:
    """Yields which rows go and why; each mask is over the rows that those before have left."""
    rules = [
        (lambda v: ~np.isfinite(v).all(1), "with too few columns, NaN or infinity"),
        (lambda v: (v[:, FRAME] % 1 != 0) | (v[:, IDENTITY] % 1 != 0), "with a broken frame or identity"),
        (lambda v: v[:, FRAME] < 1, "in frames below 1"),
        (lambda v: (v[:, [WIDTH, HEIGHT]] <= 0).any(1), "of boxes without area"),
    ]
    if length is not None:
        rules.append((lambda v: v[:, FRAME] > length, f"in frames beyond {length}"))
    if kind != "det":
        rules.append((lambda v: v[:, IDENTITY] < (1 if kind == "gt" else 0), "without an identity"))
    if kind == "results":
        rules.append((lambda v: v[:, CLASS] > 1, "of other classes than pedestrians"))
    if kind == "gt" and values.shape[1] == 9:
        rules.append((lambda v: ~np.isin(v[:, CLASS], CLASSES), "of unknown classes"))
    left = values
    for rule, what in rules:
        bad = rule(left)
        yield bad, what
        left = left[~bad]


def _doubles(values: np.ndarray, kind: Kind) -> np.ndarray:
    """Returns which rows go so that every identity is in a frame once, bool (N,)."""
    if kind == "det":
        return np.zeros(len(values), bool)
    order = np.arange(len(values)) if kind == "gt" else np.argsort(-values[:, CONFIDENCE], kind="stable")
    again = np.empty(len(values), bool)
    again[order] = repeated(values[order, FRAME], values[order, IDENTITY])
    return again


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
