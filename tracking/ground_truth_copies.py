"""Ground truth written anew where a benchmark's own cannot be scored as it is: halves, and identities from 0."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from reid.data.mot import read_ground_truth
from reid.files import write_text
from tracking.layouts import HALVES
from tracking.sequences import Sequence
from tracking.sources import SequenceDetections


def half_range(length: int, half: str) -> tuple[int, int]:
    """Returns the first and the last frame, from 1, of a half of a training sequence.

    The cut of CenterTrack (arXiv 2004.01177), which MOT17-val means in later papers: of frames counted from 0, those
    up to length // 2 are for training and the rest for validation. 837 frames become 419 and 418, 600 become 301 and
    299.

    Args:
        length: Frames of the sequence, 2 or more.
        half: "train-half" or "val-half".

    Raises:
        ValueError: When there is no such half.
    """
    if half not in HALVES:
        raise ValueError(f"half: got {half!r}, allowed: {', '.join(HALVES)}")
    middle = length // 2 + 1
    if middle >= length:
        raise ValueError(f"length: got {length} frames, allowed to be halved: 3 or more")
    return (1, middle) if half == "train-half" else (middle + 1, length)


def cut_sequence(sequence: Sequence, first: int, last: int, folder: str | os.PathLike[str]) -> Sequence:
    """Writes seqinfo.ini and gt/gt.txt of a part of a sequence, and returns the part, its frames numbered from 1.

    Rows of the ground truth keep their text but for the frame, and, where a sequence numbers identities from 0 as
    SportsMOT does, for the identity, to which 1 is added. Frames that `sequence` leaves out are left out of the ground
    truth too.

    Args:
        sequence: The whole; it may have no ground truth.
        first: First frame of the part, from 1.
        last: Its last frame.
        folder: Folder of sequence folders, in which one of the same name is written.

    Raises:
        ValueError: When there are no such frames, or the ground truth cannot be read.
    """
    info = sequence.info
    if not 1 <= first <= last <= info.length:
        raise ValueError(f"{sequence.name}: got frames {first} to {last}, allowed: 1 to {info.length}")
    frames = sequence.frames[(sequence.frames >= first) & (sequence.frames <= last)]
    part = replace(info, name=sequence.name, length=last - first + 1)
    target = Path(folder) / sequence.name
    write_text(
        target / "seqinfo.ini",
        f"[Sequence]\nname={part.name}\nframeRate={part.frame_rate:g}\nseqLength={part.length}\n"
        f"imWidth={part.width}\nimHeight={part.height}\nimExt={part.image_extension}\n",
    )
    truth = sequence.folder / "gt" / "gt.txt"
    if truth.is_file():
        _cut_truth(truth, target / "gt" / "gt.txt", first, set(frames.tolist()))
    images = {frame - first + 1: path for frame, path in sequence.images.items() if first <= frame <= last}
    return Sequence(target, part, frames - first + 1, images)


def _cut_truth(source: Path, target: Path, first: int, frames: set[int]) -> None:
    rows = _fields(source)
    shift = 1 if any(int(float(row[1])) == 0 for row in rows) else 0
    kept = []
    for frame, identity, *rest in rows:
        number = int(float(frame))
        if number in frames:
            kept.append(",".join([str(number - first + 1), str(int(float(identity)) + shift), *rest]))
    write_text(target, "".join(f"{line}\n" for line in kept))
    read_ground_truth(target)


def _fields(path: Path) -> list[list[str]]:
    """Returns the fields of each line, the first two of which are numbers."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        try:
            float(fields[0]), float(fields[1])
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{path}:{number}: frame or identity is no number; write MOT text, one box a line"
            ) from error
        rows.append(fields)
    return rows


def counts_from_zero(sequence: Sequence) -> bool:
    """Returns whether a sequence's ground truth has the identity 0, which nobody else's may have."""
    truth = sequence.folder / "gt" / "gt.txt"
    return truth.is_file() and any(float(row[1]) == 0 for row in _fields(truth))


def cut_detections(source: SequenceDetections, first: int, last: int) -> SequenceDetections:
    """Returns the detections of a part of a sequence, its frames numbered from 1."""
    part = source.only(np.arange(first, last + 1))
    embeddings, length = part.embeddings, last - first + 1
    return SequenceDetections(
        part.name, part.frame - first + 1, part.xywh, part.confidence, embeddings, length, part.skipped
    )
