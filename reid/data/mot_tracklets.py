"""Tracklets of MOT sequences, by their ground truth."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reid.data.base import Sample
from reid.data.mot import MotGroundTruth, SequenceInfo, read_ground_truth, read_seqinfo
from reid.data.mot_sequences import PEDESTRIAN, Person, find_sequences, identify
from reid.data.tracklets import Tracklet, VideoDataset, checked_tracklets, first_of_each_camera


def read_mot_tracklets(
    root: str | os.PathLike[str],
    min_visibility: float = 0.4,
    min_height: int = 32,
    min_width: int = 12,
    min_length: int = 4,
    max_length: int = 30,
    max_gap: int = 10,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> VideoDataset:
    """Reads the ground truth of all sequences; the images are cut from the frames when they are needed.

    Every sequence is a camera. A track is cut where somebody is not seen well for more than `max_gap` frames, and what
    is longer than `max_length` into equal pieces. The first tracklet of each test identity in each camera is a query.

    Who is who: a world's annotations.json names the identity of each track, which is the same in all its sequences.
    Elsewhere NAME-c1, NAME-c2, ... are views of one scene and share their identities; any other sequence has people
    of its own. Where nobody is seen by two cameras (MOTChallenge) cameras count as unknown, a query is found again at
    another time in its own camera, and a note says so.

    Args:
        root: The folder.
        min_visibility: Boxes of which less is visible are left out, 0..1.
        min_height: Boxes of which fewer rows are inside the image are left out, pixels.
        min_width: The same for columns.
        min_length: Tracklets of fewer boxes are left out.
        max_length: Boxes of the longest tracklet.
        max_gap: Frames without a usable box after which a new tracklet begins.
        test_fraction: Share of the identities for testing, of those seen by several cameras and of the others alike.
        seed: Chooses them.

    Raises:
        FileNotFoundError: When there is no such sequence, or the image folder of one is missing.
        ValueError: On an option out of range, a text file with errors (with its line), or filters that leave nothing.
    """
    _check(min_visibility, min_height, min_width, min_length, max_length, max_gap, test_fraction)
    folders, notes = find_sequences(Path(root))
    numbers: dict[Person, int] = {}  # who -> pid, from 1 in the order of appearance
    tracklets: list[Tracklet] = []
    hidden = short = 0
    for camid, folder in enumerate(folders):
        info, truth = read_seqinfo(folder), read_ground_truth(folder / "gt" / "gt.txt")
        if not (folder / info.image_dir).is_dir():
            raise FileNotFoundError(f"{folder / info.image_dir}: no such folder; seqinfo.ini says the images are there")
        usable = _usable(truth, info, min_visibility, min_height, min_width)
        hidden += int((~usable).sum())
        for pid, rows in _tracks(folder, truth, usable, numbers):
            for piece in split_track(truth.frame[rows], max_gap, max_length):
                if len(piece) < min_length:
                    short += 1
                else:
                    tracklets.append(Tracklet.of(_samples(folder, info, truth, rows[piece], pid, camid)))
    if not tracklets:
        raise ValueError(f"{root}: no tracklet is left; lower min_visibility, min_height, min_width or min_length")
    if hidden or short:
        notes.append(f"{hidden} boxes (not pedestrians, hidden or small) and {short} short tracklets are left out")
    return _dataset(tracklets, notes, test_fraction, seed)


def _tracks(
    folder: Path, truth: MotGroundTruth, usable: np.ndarray, numbers: dict[Person, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the pid and the rows, by frame, of each track; new people get the next number."""
    for track, who in identify(folder, np.unique(truth.track_id[usable]).tolist()).items():
        rows = np.flatnonzero(usable & (truth.track_id == track))
        yield numbers.setdefault(who, len(numbers) + 1), rows[np.argsort(truth.frame[rows], kind="stable")]


def split_track(frame: np.ndarray, max_gap: int, max_length: int) -> list[np.ndarray]:
    """Returns the pieces of a track, as positions in it.

    Args:
        frame: int (N,), ascending.
        max_gap: A difference of more than max_gap + 1 between neighbours begins a new piece.
        max_length: Longer runs are cut into the fewest pieces that are not longer, of equal length up to one.
    """
    if not len(frame):
        return []
    runs = np.split(np.arange(len(frame)), np.flatnonzero(np.diff(frame) > max_gap + 1) + 1)
    return [piece for run in runs for piece in np.array_split(run, -(-len(run) // max_length))]


def split_people(tracklets: list[Tracklet], test_fraction: float, seed: int) -> tuple[list[Tracklet], list[Tracklet]]:
    """Divides tracklets into training and test by identity; those seen by several cameras and the others separately."""
    cameras: dict[int, set[int]] = {}
    for tracklet in tracklets:
        cameras.setdefault(tracklet.pid, set()).add(tracklet.camid)
    random = np.random.default_rng(seed)
    test: set[int] = set()
    for several in (True, False):
        pids = np.array(sorted(pid for pid, seen in cameras.items() if (len(seen) > 1) == several), dtype=np.int64)
        test |= set(random.permutation(pids)[: round(test_fraction * len(pids))].tolist())
    return [one for one in tracklets if one.pid not in test], [one for one in tracklets if one.pid in test]


def _check(
    min_visibility: float,
    min_height: int,
    min_width: int,
    min_length: int,
    max_length: int,
    max_gap: int,
    test_fraction: float,
) -> None:
    if not 0.0 <= min_visibility <= 1.0:
        raise ValueError(f"min_visibility: got {min_visibility}, allowed: 0..1")
    sizes = {"min_height": min_height, "min_width": min_width, "min_length": min_length}
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name}: got {value}, allowed: 1 or more")
    if max_length < min_length:
        raise ValueError(f"max_length: got {max_length}, allowed: min_length ({min_length}) or more")
    if max_gap < 0:
        raise ValueError(f"max_gap: got {max_gap}, allowed: 0 or more frames")
    if not 0.0 < test_fraction < 1.0:
        raise ValueError(f"test_fraction: got {test_fraction}, allowed: above 0 and below 1")


def _usable(
    truth: MotGroundTruth, info: SequenceInfo, min_visibility: float, min_height: int, min_width: int
) -> np.ndarray:
    """Returns bool (N,): pedestrians that count, are visible, and are large inside the image."""
    corners = np.stack([truth.xywh[:, :2], truth.xywh[:, :2] + truth.xywh[:, 2:]])
    # Without a size in seqinfo.ini only the left and upper border are known.
    inside = corners.clip(0, [info.width or np.inf, info.height or np.inf])
    size = inside[1] - inside[0]
    usable = (truth.flag != 0) & (truth.class_id == PEDESTRIAN) & (truth.visibility >= min_visibility)
    return usable & (size[:, 0] >= min_width) & (size[:, 1] >= min_height)


def _samples(
    folder: Path, info: SequenceInfo, truth: MotGroundTruth, rows: np.ndarray, pid: int, camid: int
) -> list[Sample]:
    samples = []
    for row in rows:
        left, top, width, height = truth.xywh[row].tolist()
        path = folder / info.image_dir / f"{truth.frame[row]:06d}{info.image_extension}"
        box = (left, top, left + width, top + height)
        samples.append(Sample(str(path), pid, camid, int(truth.frame[row]), "mot", box))
    return samples


def _dataset(tracklets: list[Tracklet], notes: list[str], test_fraction: float, seed: int) -> VideoDataset:
    cameras: dict[int, set[int]] = {}
    for tracklet in tracklets:
        cameras.setdefault(tracklet.pid, set()).add(tracklet.camid)
    known = any(len(seen) > 1 for seen in cameras.values())
    if not known:
        notes.append(
            "nobody is seen by two cameras: queries are found again in their own camera, so the scores flatter"
        )
    train, test = split_people(tracklets, test_fraction, seed)
    query = first_of_each_camera(test)
    return checked_tracklets(VideoDataset("mot", train, query, test, cameras_known=known, notes=tuple(notes)))
