"""Folders that appear complete or not at all, and whose writing can be continued."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def fingerprint(options: dict[str, Any]) -> str:
    """16 hexadecimal digits of the options and of the code of this package."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def leftovers(target: Path, mark: str) -> list[Path]:
    """Unfinished folders of that target with other marks: of other options, or of code that has changed since."""
    target = target.absolute()
    name = re.compile(re.escape(f".{target.name}-") + "[0-9a-f]{16}")
    found = [path for path in target.parent.glob(".*") if name.fullmatch(path.name) and path.is_dir()]
    return sorted(path for path in found if path.name != f".{target.name}-{mark}")


def clean(folders: list[Path]) -> None:
    """Delete those folders that no run is writing, and name them on stderr."""
    for path in folders:
        handle = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
            sys.stderr.write(f"{path} deleted\n")
        except BlockingIOError:
            sys.stderr.write(f"{path} stays: another run is writing it\n")
        finally:
            os.close(handle)


@contextlib.contextmanager
def new_folder(target: Path, mark: str, overwrite: bool, delete: bool = False) -> Iterator[Path]:
    """Give the hidden folder `.NAME-MARK` beside the target and move it into place when the block ends well.

    When the block fails the hidden folder stays, and the next call with the same mark gets it back.

    Args:
        target: the folder to write.
        mark: fingerprint of all that the bytes depend on.
        overwrite: whether a target that is not empty is replaced.
        delete: whether `leftovers` are deleted before; they are named otherwise.

    Raises:
        FileExistsError: when the target exists and is not an empty folder, unless `overwrite` is set and it holds a
            world, and when another run is writing the same now.
    """
    target = target.absolute()
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file")
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{target} is not empty; --overwrite replaces it")
        if not (target / "annotations.json").is_file() and not any(target.glob("train/*/annotations.json")):
            raise FileExistsError(f"{target} holds something else than a world; remove it yourself, or name another")
    old = leftovers(target, mark)
    if delete:
        clean(old)
    elif old:
        sys.stderr.write(
            f"unfinished, of other options or other code: {', '.join(map(str, old))}; --clean deletes them\n"
        )
    partial = target.parent / f".{target.name}-{mark}"
    partial.mkdir(parents=True, exist_ok=True)
    handle = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(f"{target}: another run with the same options is writing {partial}") from None
        yield partial
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    finally:
        os.close(handle)


class Journal:
    """Results in the order of their tasks, a line of JSON each, so that a run can go on where another one ended.

    Nothing but the number of lines is kept in memory. A line that was cut off is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = 0
        size = 0
        path.touch()
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self.done += 1
                    size += len(line)
        with path.open("rb+") as lines:
            lines.truncate(size)

    def extend(self, records: Iterator[Any]) -> None:
        """Append each record as it comes."""
        with self.path.open("a", encoding="utf-8") as lines:
            for record in records:
                lines.write(json.dumps(record, separators=(",", ":")) + "\n")
                lines.flush()
                self.done += 1

    def __iter__(self) -> Iterator[Any]:
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink()


class JsonList:
    """A file that holds a JSON object of the entries of `head` and a last one, `name`: a list, written as it comes."""

    def __init__(self, path: Path, head: dict[str, Any], name: str) -> None:
        self.count = 0
        self._out = path.open("w", encoding="utf-8")
        self._out.write(json.dumps(head, separators=(",", ":"))[:-1] + f",{json.dumps(name)}:[")

    def add(self, entry: Any) -> None:
        """Write one more entry of the list."""
        self._out.write(("," if self.count else "") + json.dumps(entry, separators=(",", ":")))
        self.count += 1

    def close(self) -> None:
        """End the list and the object."""
        self._out.write("]}\n")
        self._out.close()


def write_jpeg(path: Path, image: np.ndarray, quality: int) -> None:
    """Write a BGR image.

    Raises:
        OSError: when the file cannot be written.
    """
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise OSError(f"{path}: the image could not be encoded")
    path.write_bytes(data.tobytes())
