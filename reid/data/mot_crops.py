"""People cut out of MOT sequences by their ground truth, as a re-identification dataset."""

import os
import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from reid.data.base import ReIDDataset, Sample, Split
from reid.data.images import load_image
from reid.data.mot import MotGroundTruth, SequenceInfo, read_ground_truth, read_seqinfo
from reid.data.splitting import query_and_gallery, split_identities

By = Literal["identities", "sequences"]
PEDESTRIAN = 1
_PIDS_PER_SCENE = 100_000
# MOT17 holds each sequence three times, once a detector, with one ground truth.
_DETECTORS = re.compile(r"-(?:DPM|FRCNN|SDP)$")
_VIEW = re.compile(r"-c(\d+)$")
_LAYOUT = "sequence folders, in it or in its subfolder train, each with seqinfo.ini, gt/gt.txt and its images"


def read_mot(
    root: str | os.PathLike[str],
    split_by: By = "identities",
    test_fraction: float = 0.5,
    seed: int = 0,
    min_visibility: float = 0.4,
    min_width: int = 16,
    min_height: int = 48,
    every: int = 10,
) -> ReIDDataset:
    """Reads the boxes of all sequences; the crops are cut from the frames when they are needed.

    An identity is one of a scene. Sequences NAME-c1, NAME-c2, ... are the views of one scene: their identities are the
    same people and their cameras the views. Where a test scene has one view only nobody is seen by two cameras, so
    that cameras count as unknown and a query is found again in its own camera: an easier task than re-identification
    across cameras, and the notes say so. MOT17's three copies of each sequence count once.

    Test people are those whose first box in each camera is a query, and whose other boxes are the gallery.

    Args:
        root: The folder.
        split_by: Whether nobody ("identities") or no scene ("sequences") is in training and testing both.
        test_fraction: Share of the identities, or of the scenes (the last by name), for testing.
        seed: Chooses the identities.
        min_visibility: Boxes of which less is visible are left out, 0..1.
        min_width: Boxes that are narrower inside the image are left out, pixels.
        min_height: The same for their height.
        every: Takes each so-manieth frame: neighbours are nearly the same picture.

    Raises:
        FileNotFoundError: When there is no such sequence, or frames are missing.
        ValueError: On an option out of range, a text file with errors (with its line), or filters that leave nothing.
    """
    _check(split_by, min_visibility, min_width, min_height, every)
    scenes = _scenes(Path(root))
    splits: dict[str, Split] = {}
    left_out = 0
    for number, (scene, views) in enumerate(sorted(scenes.items()), start=1):
        splits[scene] = []
        for camid, folder in views:
            info, truth = read_seqinfo(folder), read_ground_truth(folder / "gt" / "gt.txt")
            keep, xyxy = _filter(folder, info, truth, min_visibility, min_width, min_height, every)
            left_out += int((truth.frame % every == 1 % every).sum()) - int(keep.sum())
            splits[scene] += _samples(folder, info, truth, keep, xyxy, number, camid)
    everything = [sample for samples in splits.values() for sample in samples]
    if not everything:
        raise ValueError(f"{root}: no box is left; lower min_visibility, min_width, min_height or every")
    if split_by == "identities":
        train, test = split_identities(everything, test_fraction, seed)
    else:
        train, test = _split_scenes(splits, test_fraction)
    query, gallery = query_and_gallery(test)
    tested = {sample.pid // _PIDS_PER_SCENE for sample in test}
    views_of = {number: len(views) for number, (_, views) in enumerate(sorted(scenes.items()), start=1)}
    known = all(views_of[number] > 1 for number in tested)
    notes: tuple[str, ...] = (f"{left_out} boxes are left out: not pedestrians, hidden, or small",) if left_out else ()
    if not known:
        notes += ("people of a scene with one view are found again in the same camera, so the scores flatter",)
    return ReIDDataset("mot", train, query, gallery, cameras_known=known, notes=notes)


def _check(split_by: str, min_visibility: float, min_width: int, min_height: int, every: int) -> None:
    if split_by not in get_args(By):
        raise ValueError(f"split_by: got {split_by!r}, allowed: {', '.join(get_args(By))}")
    if not 0.0 <= min_visibility <= 1.0:
        raise ValueError(f"min_visibility: got {min_visibility}, allowed: 0..1")
    for name, value in (("min_width", min_width), ("min_height", min_height), ("every", every)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, allowed: 1 or more")


def _scenes(root: Path) -> dict[str, list[tuple[int, Path]]]:
    """Returns scene -> (camera from 0, sequence folder) of its views; a scene of one view is a camera of its own."""
    for folder in (root, root / "train"):
        found = sorted(path.parents[1] for path in folder.glob("*/gt/gt.txt"))
        if found:
            break
    else:
        state = "holds none" if root.is_dir() else "is no folder"
        raise FileNotFoundError(f"{root} {state}; expected {_LAYOUT}")
    unique = {_DETECTORS.sub("", path.name): path for path in reversed(found)}
    views = {name: int(match[1]) - 1 for name in unique if (match := _VIEW.search(name))}
    # Views share their numbers over all scenes; a sequence without views is a camera of its own, after them.
    next_camera = 1 + max(views.values(), default=-1)
    scenes: dict[str, list[tuple[int, Path]]] = {}
    for name in sorted(unique):
        scene = _VIEW.sub("", name) if name in views else name
        scenes.setdefault(scene, []).append((views.get(name, next_camera), unique[name]))
        next_camera += name not in views
    return scenes


def _filter(
    folder: Path,
    info: SequenceInfo,
    truth: MotGroundTruth,
    min_visibility: float,
    min_width: int,
    min_height: int,
    every: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which rows are used, bool (N,), and all boxes clipped to the image, float64 (N, 4)."""
    width, height = info.width, info.height
    if not (width and height):
        height, width = load_image(_frame_path(folder, info, int(truth.frame.min(initial=1)))).shape[:2]
    corners = np.concatenate([truth.xywh[:, :2], truth.xywh[:, :2] + truth.xywh[:, 2:]], axis=1)
    xyxy = corners.clip(0, [width, height, width, height])
    sizes = xyxy[:, 2:] - xyxy[:, :2]
    keep = (truth.flag != 0) & (truth.class_id == PEDESTRIAN) & (truth.visibility >= min_visibility)
    keep &= (sizes[:, 0] >= min_width) & (sizes[:, 1] >= min_height) & (truth.frame % every == 1 % every)
    return keep, xyxy


def _frame_path(folder: Path, info: SequenceInfo, frame: int) -> Path:
    return folder / info.image_dir / f"{frame:06d}{info.image_extension}"


def _samples(
    folder: Path,
    info: SequenceInfo,
    truth: MotGroundTruth,
    keep: np.ndarray,
    xyxy: np.ndarray,
    scene: int,
    camid: int,
) -> Split:
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((truth.track_id[rows], truth.frame[rows]))]
    largest = int(truth.track_id.max(initial=0))
    if largest >= _PIDS_PER_SCENE:
        row = int(truth.track_id.argmax())
        path = folder / "gt" / "gt.txt"
        raise ValueError(f"{path}:{truth.line[row]}: identity {largest}; allowed: below {_PIDS_PER_SCENE}")
    present = set(os.listdir(folder / info.image_dir)) if (folder / info.image_dir).is_dir() else set()
    samples: Split = []
    for row in rows.tolist():
        frame = int(truth.frame[row])
        path = _frame_path(folder, info, frame)
        if path.name not in present:
            raise FileNotFoundError(f"{path}: missing, though {folder / 'gt' / 'gt.txt'} has boxes in it")
        pid = scene * _PIDS_PER_SCENE + int(truth.track_id[row])
        samples.append(Sample(str(path), pid, camid, frame, "mot", tuple(float(value) for value in xyxy[row])))
    return samples


def _split_scenes(splits: dict[str, Split], test_fraction: float) -> tuple[Split, Split]:
    if not 0.0 < test_fraction < 1.0:
        raise ValueError(f"test_fraction: got {test_fraction}, allowed: above 0 and below 1")
    names = sorted(splits)
    if len(names) < 2:
        raise ValueError(f"split_by: got 'sequences', but there is the scene {names[0]} only; take 'identities'")
    count = min(max(1, round(test_fraction * len(names))), len(names) - 1)
    train = [sample for name in names[:-count] for sample in splits[name]]
    return train, [sample for name in names[-count:] for sample in splits[name]]
