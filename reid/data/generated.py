"""Folders of generated images: the manifest that tells of each image its model, group, labels and seed."""

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from reid.data.base import Sample
from reid.files import write_text

MANIFEST = "manifest.csv"
CARD = "card.json"
FINGERPRINT = "training_sha256"  # of the card: `training_fingerprint` of what the model learnt from
IMAGES = "images"
COLUMNS = ("file", "model", "group", "labels", "seed")
_UNIFORM = "uniform"
_TOLERANCE = 1e-3  # weights are written with six digits, and a group may hold hundreds of identities


@dataclasses.dataclass(frozen=True)
class GeneratedImage:
    """A row of the manifest.

    Attributes:
        file: The image, relative to the manifest's folder, with "/" between its parts: "images/000000.jpg".
        model: The generative model's name.
        group: What the model was asked for, counted from 0; None of a model without a condition.
        labels: Weight of each identity of the training split, as the dataset names it, each above 0, together 1: the
            identities' shares in the group. None is the uniform distribution over all of them.
        seed: Of the image's noise.

    Raises:
        ValueError: When a field is outside its range.
    """

    file: str
    model: str
    group: int | None
    labels: dict[int, float] | None
    seed: int

    def __post_init__(self) -> None:
        path = PurePosixPath(self.file)
        if not self.file or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"file: got {self.file!r}, allowed: a path below the manifest's folder")
        if not self.model:
            raise ValueError("model: got an empty name, allowed: the generative model's")
        if self.group is not None and self.group < 0:
            raise ValueError(f"group: got {self.group}, allowed: 0 or more, or none")
        if self.seed < 0:
            raise ValueError(f"seed: got {self.seed}, allowed: 0 or more")
        if self.labels is None:
            return
        total = sum(self.labels.values())
        # A comparison with NaN is false, hence the negations.
        if not all(weight > 0 for weight in self.labels.values()) or not abs(total - 1) < _TOLERANCE:
            raise ValueError(f"labels: got weights of sum {total:g}, allowed: weights above 0 of sum 1")


def write_manifest(folder: str | os.PathLike[str], images: Iterable[GeneratedImage]) -> Path:
    """Writes manifest.csv into a folder, whole or not at all, and returns its path.

    The header is file,model,group,labels,seed; an image without a group has an empty cell; labels are "uniform" or
    "PID:WEIGHT PID:WEIGHT ...", by PID.

    Raises:
        ValueError: When two images are the same file.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    seen: set[str] = set()
    for image in images:
        if image.file in seen:
            raise ValueError(f"images: got {image.file} twice, allowed: once")
        seen.add(image.file)
        group = "" if image.group is None else image.group
        writer.writerow((image.file, image.model, group, _label_text(image.labels), image.seed))
    path = Path(folder) / MANIFEST
    write_text(path, text.getvalue())
    return path


def read_manifest(folder: str | os.PathLike[str], *, check_files: bool = True) -> list[GeneratedImage]:
    """Reads manifest.csv of a folder.

    Args:
        folder: Where it lies.
        check_files: Whether each image has to exist; none is decoded.

    Returns:
        Its rows in their order, weights of sum 1.

    Raises:
        FileNotFoundError: When the manifest or an image is missing; the message names it.
        ValueError: With file and line, when a row is not usable; when there is none at all.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; expected a folder that modification_gan/synthetic_generate.py has written"
        )
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = tuple(next(reader, ()))
            if header != COLUMNS:
                raise ValueError(f"{path}, line 1: got the columns {','.join(header)}, allowed: {','.join(COLUMNS)}")
            images = [_row(path, reader.line_num, row, check_files) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no table in UTF-8 ({error})") from error
    if not images:
        raise ValueError(f"{path}: lists no image")
    files = Counter(image.file for image in images)
    name, times = files.most_common(1)[0]
    if times > 1:
        raise ValueError(f"{path}: lists {name} {times} times, allowed: once")
    return images


def _label_text(labels: dict[int, float] | None) -> str:
    if labels is None:
        return _UNIFORM
    return " ".join(f"{pid}:{labels[pid]:.6g}" for pid in sorted(labels))


def read_card(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns card.json of a folder of generated images, which tells of the model; empty where there is none.

    Raises:
        ValueError: When it is damaged; the message begins with its path.
    """
    path = Path(folder) / CARD
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no card of generated images: {error}") from error
    if not isinstance(card, dict):
        raise ValueError(f"{path}: no card of generated images: got {type(card).__name__}")
    return card


def training_fingerprint(samples: Iterable[Sample]) -> str:
    """Returns a SHA-256 by which training images are known again, wherever they lie: of names, sizes and boxes.

    File sizes stand for contents: those of the same names in another dataset differ in some image or other.

    Raises:
        OSError: When an image is missing.
    """
    parts = sorted(f"{Path(one.path).name}\t{os.path.getsize(one.path)}\t{one.box or ''}" for one in samples)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _row(path: Path, line: int, row: list[str], check_files: bool) -> GeneratedImage:
    where = f"{path}, line {line}"
    if len(row) != len(COLUMNS):
        raise ValueError(f"{where}: got {len(row)} cells, allowed: {len(COLUMNS)}")
    file, model, group, labels, seed = row
    try:
        image = GeneratedImage(file, model, int(group) if group else None, _labels(labels), int(seed))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if check_files and not (path.parent / file).is_file():
        raise FileNotFoundError(f"{where}: the image {path.parent / file} is missing")
    return image


def _labels(text: str) -> dict[int, float] | None:
    if text == _UNIFORM:
        return None
    weights: dict[int, float] = {}
    for word in text.split():
        pid, sign, weight = word.partition(":")
        try:
            number, value = int(pid), float(weight)
        except ValueError:
            sign = ""
        if not sign or number in weights:
            raise ValueError(f"labels: got {word!r}, allowed: uniform, or PID:WEIGHT once for each identity")
        weights[number] = value
    total = sum(weights.values())
    if not abs(total - 1) < _TOLERANCE:
        raise ValueError(f"labels: got weights of sum {total:g}, allowed: sum 1")
    return {pid: weight / total for pid, weight in weights.items()}
