"""People cut out of MOT sequences by their ground truth, as a re-identification dataset."""

import os
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from reid.data.base import ReIDDataset, Sample, Split
from reid.data.images import load_image
from reid.data.mot import MotGroundTruth, SequenceInfo, read_ground_truth, read_seqinfo
from reid.data.mot_sequences import PEDESTRIAN, Person, find_sequences, identify, scene_and_camera
from reid.data.splitting import query_and_gallery, split_identities

By = Literal["identities", "sequences"]


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

    Who is who, over all sequences, says `reid.data.mot_sequences.identify`: a world's annotations, or else views
    NAME-c1, NAME-c2, ... of one scene share their people. Where nobody of a test scene is seen by two cameras, cameras
    count as unknown and a query is found again in its own camera: an easier task than re-identification across
    cameras, and the notes say so. MOT17's three copies of each sequence count once.

    Test people are those whose first box in each camera is a query, and whose other boxes are the gallery.

    Args:
        root: The folder.
        split_by: "identities" divides the people, "sequences" the scenes; nobody is in training and testing both.
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
    folders, notes = find_sequences(Path(root))
    scenes, left_out = _read_scenes(folders, min_visibility, min_width, min_height, every)
    everything = [sample for samples in scenes.values() for sample in samples]
    if not everything:
        raise ValueError(f"{root}: no box is left; lower min_visibility, min_width, min_height or every")
    if left_out:
        notes.append(f"{left_out} boxes are left out: not pedestrians, hidden, or small")
    if split_by == "identities":
        train, test = split_identities(everything, test_fraction, seed)
    else:
        train, test = _split_scenes(scenes, test_fraction, notes)
    query, gallery = query_and_gallery(test)
    if not query or not gallery:
        raise ValueError(
            f"{root}: no test person has two images in one camera, so the {'gallery' if query else 'query'} split is "
            f"empty; of {len(everything)} boxes {len(test)} are of test people: give a lower every (got {every}; "
            "--dataset-options every=1 takes each frame), min_visibility, min_width or min_height"
        )
    known = _cameras_known(scenes, test)
    if not known:
        notes.append("people of a scene with one view are found again in the same camera, so the scores flatter")
    return ReIDDataset("mot", train, query, gallery, cameras_known=known, notes=tuple(notes))


def _read_scenes(
    folders: list[Path], min_visibility: float, min_width: int, min_height: int, every: int
) -> tuple[dict[str, Split], int]:
    """Returns the samples of each scene, and how many boxes the filters have left out."""
    numbers: dict[Person, int] = {}  # who -> pid, from 1 in the order of appearance
    cameras: dict[str, int] = {}
    scenes: dict[str, Split] = {}
    left_out = 0
    for folder in folders:
        scene, camera = scene_and_camera(folder)
        info, truth = read_seqinfo(folder), read_ground_truth(folder / "gt" / "gt.txt")
        keep, xyxy = _filter(folder, info, truth, min_visibility, min_width, min_height, every)
        left_out += int((truth.frame % every == 1 % every).sum()) - int(keep.sum())
        people = identify(folder, np.unique(truth.track_id[keep]).tolist())
        pids = {track: numbers.setdefault(who, len(numbers) + 1) for track, who in people.items()}
        camid = cameras.setdefault(camera, len(cameras))
        scenes.setdefault(scene, []).extend(_samples(folder, info, truth, keep, xyxy, pids, camid))
    return scenes, left_out


def _check(split_by: str, min_visibility: float, min_width: int, min_height: int, every: int) -> None:
    if split_by not in get_args(By):
        raise ValueError(f"split_by: got {split_by!r}, allowed: {', '.join(get_args(By))}")
    if not 0.0 <= min_visibility <= 1.0:
        raise ValueError(f"min_visibility: got {min_visibility}, allowed: 0..1")
    for name, value in (("min_width", min_width), ("min_height", min_height), ("every", every)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, allowed: 1 or more")


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
    pids: dict[int, int],
    camid: int,
) -> Split:
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((truth.track_id[rows], truth.frame[rows]))]
    present = set(os.listdir(folder / info.image_dir)) if (folder / info.image_dir).is_dir() else set()
    samples: Split = []
    for row in rows.tolist():
        frame = int(truth.frame[row])
        path = _frame_path(folder, info, frame)
        if path.name not in present:
            raise FileNotFoundError(f"{path}: missing, though {folder / 'gt' / 'gt.txt'} has boxes in it")
        pid = pids[int(truth.track_id[row])]
        samples.append(Sample(str(path), pid, camid, frame, "mot", tuple(float(value) for value in xyxy[row])))
    return samples


def _split_scenes(scenes: dict[str, Split], test_fraction: float, notes: list[str]) -> tuple[Split, Split]:
    """Divides by scene; people of the test scenes leave the training scenes, which a note counts."""
    if not 0.0 < test_fraction < 1.0:
        raise ValueError(f"test_fraction: got {test_fraction}, allowed: above 0 and below 1")
    names = sorted(scenes)
    if len(names) < 2:
        raise ValueError(f"split_by: got 'sequences', but there is the scene {names[0]} only; take 'identities'")
    count = min(max(1, round(test_fraction * len(names))), len(names) - 1)
    test = [sample for name in names[-count:] for sample in scenes[name]]
    tested = {sample.pid for sample in test}
    found = [sample for name in names[:-count] for sample in scenes[name]]
    train = [sample for sample in found if sample.pid not in tested]
    if found and not train:
        raise ValueError("split_by: got 'sequences', but the test scenes have everybody in them; take 'identities'")
    if len(train) < len(found):
        notes.append(f"{len(found) - len(train)} images of training scenes show test people and are left out")
    return train, test


def _cameras_known(scenes: dict[str, Split], test: Split) -> bool:
    """Whether in every scene somebody of the test people is seen by several cameras, there or in another scene."""
    cameras: dict[int, set[int]] = {}
    for sample in test:
        cameras.setdefault(sample.pid, set()).add(sample.camid)
    groups = ({sample.pid for sample in samples} & cameras.keys() for samples in scenes.values())
    return all(any(len(cameras[pid]) > 1 for pid in pids) for pids in groups if pids)
