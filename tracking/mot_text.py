"""MOT text as it is found: every line that can be read, and a note of each that cannot."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

Kind = Literal["gt", "det", "results"]
KINDS = ("gt", "det", "results")
MOST_COLUMNS = 10
FRAME, IDENTITY, LEFT, TOP, WIDTH, HEIGHT, CONFIDENCE, CLASS, VISIBILITY = range(9)
FLAG = CONFIDENCE  # where ground truth has it


@dataclass(frozen=True)
class Problem:
    """Something wrong, or doubtful, in a file.

    Attributes:
        path: The file.
        line: The first line that has it, from 1; 0 is the file as a whole.
        what: What is wrong there.
        advice: What to do.
        error: Whether the file cannot be used so; otherwise it is a warning.
        count: Lines that have it.
    """

    path: Path
    line: int
    what: str
    advice: str
    error: bool = True
    count: int = 1

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        more = f" (and {self.count - 1} more rows)" if self.count > 1 else ""
        return f"{place}: {'error' if self.error else 'warning'}: {self.what}{more}; {self.advice}"


@dataclass(frozen=True)
class MotText:
    """The rows of a file, whatever they are worth.

    Attributes:
        path: The file.
        values: float64 (N, 10); NaN where a row has fewer columns, columns beyond the tenth are left out.
        columns: int64 (N,), how many the row has.
        line: int64 (N,), from 1.
        problems: Of reading; lines that are no rows of numbers are named there and left out here.
    """

    path: Path
    values: np.ndarray
    columns: np.ndarray
    line: np.ndarray
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.line)


def read_mot_text(path: Path) -> MotText:
    """Reads a file of columns separated by commas, spaces, tabs or semicolons; nothing in it raises.

    Raises:
        OSError: When the file cannot be opened.
    """
    problems: list[Problem] = []
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(Problem(path, 0, f"not a text file ({error.reason})", "write plain text, one box a line"))
        text = ""
    rows, lines, unread = [], [], []
    separators: dict[str, list[int]] = {}
    for number, row in enumerate(text.split("\n"), start=1):
        row = row.strip()
        if not row:
            continue
        separator, fields = _split(row)
        try:
            rows.append([float(value) for value in fields])
        except ValueError:
            unread.append((number, fields))
            continue
        lines.append(number)
        separators.setdefault(separator, []).append(number)
    if unread:
        problems.append(_unread(path, unread))
    problems.extend(_separators(path, separators))
    values = np.full((len(rows), MOST_COLUMNS), np.nan)
    for place, numbers in enumerate(rows):
        values[place, : len(numbers)] = numbers[:MOST_COLUMNS]
    columns = np.array([len(numbers) for numbers in rows], np.int64)
    return MotText(path, values, columns, np.array(lines, np.int64), problems)


def _split(row: str) -> tuple[str, list[str]]:
    """Returns the name of what separates the columns of a line, and the columns."""
    if ";" in row:
        return "semicolons", [part.strip() for part in row.rstrip(";").split(";")]
    if "," not in row:
        return "tabs" if "\t" in row else "spaces", row.split()
    parts = [part.strip() for part in row.rstrip(",").split(",")]
    if any(len(part.split()) > 1 for part in parts):
        return "commas and spaces", row.replace(",", " ").split()
    return "commas", parts


def _unread(path: Path, unread: Sequence[tuple[int, list[str]]]) -> Problem:
    number, fields = unread[0]
    bad = next(place for place, value in enumerate(fields, start=1) if not _is_number(value))
    what = f"column {bad} is {fields[bad - 1]!r}, not a number"
    return Problem(path, number, what, "write numbers only, without a header", count=len(unread))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _separators(path: Path, separators: dict[str, list[int]]) -> list[Problem]:
    found = []
    for name, lines in separators.items():
        if name == "commas":
            continue
        error = name == "semicolons"
        what = f"columns are separated by {name}"
        advice = "write commas" if error else "write commas, as the benchmark's server wants them"
        found.append(Problem(path, lines[0], what, advice, error, len(lines)))
    return found
