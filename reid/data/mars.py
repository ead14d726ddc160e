"""MARS (Zheng et al., ECCV 2016) and folders whose files are named like its own."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from reid.data.base import Sample
from reid.data.tracklets import Tracklet, VideoDataset, checked_tracklets, first_of_each_camera

TRAIN, TEST = "bbox_train", "bbox_test"
JUNK_PID = -1
_NAME = re.compile(r"(?P<pid>\d{4}|00-1)C(?P<camid>\d)T(?P<track>\d{4})F(?P<frame>\d{3,})\.jpg", re.IGNORECASE)
_EXPECTED = "bbox_train and bbox_test with files such as 0001/0001C1T0001F001.jpg, and info with MARS's lists"
# File of the info folder to the name of the matrix in it.
_MATRICES = {
    "tracks_train_info.mat": "track_train_info",
    "tracks_test_info.mat": "track_test_info",
    "query_IDX.mat": "query_IDX",
}
_NAME_LISTS = ("train_name.txt", "test_name.txt")


def read_mars(root: str | os.PathLike[str]) -> VideoDataset:
    """Reads a folder with bbox_train, bbox_test and, unless tracklets shall be made from the names, info.

    A name is identity, camera, tracklet and frame: 0001C1T0001F001.jpg. Cameras count from 1 in the names and from 0
    in the tracklets. Identity 00-1 is junk and dropped, 0000 a distractor.

    The lists of info are those that public code shares: train_name.txt and test_name.txt name the files in order,
    track_train_info and track_test_info have a row (first file, last file, identity, camera) a tracklet, query_IDX the
    rows of the queries, all counted from 1. Without an info folder the tracklets are those of the names, and the first
    one of each test identity in each camera is a query.

    The gallery holds the queries, as in the authors' evaluation; some public code takes them out, which leaves 140 of
    the 1,980 queries without a match, and its scores are not comparable.

    Args:
        root: The folder itself, or its parent when that holds MARS or mars.

    Raises:
        FileNotFoundError: When a folder or a list is missing; the message shows the expected layout.
        ValueError: When a list does not fit the others (with its row), or no tracklet is found.
    """
    folder = _find(Path(root))
    if not (folder / "info").is_dir():
        train, _, skipped = _from_names(folder, TRAIN)
        test, num_junk, odd = _from_names(folder, TEST)
        notes = ("there is no info folder: tracklets and queries are made from the file names, not MARS's own",)
        query = first_of_each_camera(test)
        return checked_tracklets(
            VideoDataset("mars", train, query, test, num_junk, (*skipped, *odd), cropped=True, notes=notes)
        )
    missing = [name for name in (*_MATRICES, *_NAME_LISTS) if not (folder / "info" / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder / 'info'}: lacks {', '.join(missing)}; restore it, or remove the info folder to make tracklets "
            "from the file names"
        )
    names = [_name_list(folder / "info" / name) for name in _NAME_LISTS]
    train_rows, test_rows = (_matrix(folder, name).reshape(-1, 4) for name in list(_MATRICES)[:2])
    every_train = _from_rows(folder, TRAIN, names[0], train_rows)
    every_test = _from_rows(folder, TEST, names[1], test_rows)
    query_rows = _matrix(folder, "query_IDX.mat").ravel() - 1
    if len(query_rows) and not (0 <= query_rows.min() and query_rows.max() < len(every_test)):
        raise ValueError(
            f"{folder / 'info' / 'query_IDX.mat'}: rows {query_rows.min() + 1} to {query_rows.max() + 1}; "
            f"tracks_test_info.mat has {len(every_test)}"
        )
    query = [one for index in query_rows if (one := every_test[index]) is not None]
    gallery = [one for one in every_test if one is not None]
    train = [one for one in every_train if one is not None]
    num_junk = len(every_train) + len(every_test) - len(train) - len(gallery)
    return checked_tracklets(VideoDataset("mars", train, query, gallery, num_junk, cropped=True))


def _find(root: Path) -> Path:
    for folder in (root, root / "MARS", root / "mars"):
        if (folder / TRAIN).is_dir() and (folder / TEST).is_dir():
            return folder
    state = "lacks one of them" if root.is_dir() else "is no folder"
    raise FileNotFoundError(f"{root} {state}; expected {_EXPECTED}")


def _sample(path: Path, match: re.Match[str]) -> Sample:
    pid = JUNK_PID if match["pid"] == "00-1" else int(match["pid"])
    return Sample(str(path), pid, int(match["camid"]) - 1, int(match["frame"]), "mars")


def _from_names(folder: Path, part: str) -> tuple[list[Tracklet], int, list[str]]:
    """Returns the tracklets of a folder by (pid, camid, track), how many were junk, and files with other names."""
    groups: dict[tuple[int, int, int], list[Sample]] = {}
    skipped: list[str] = []
    for parent, folders, names in os.walk(folder / part):
        folders.sort()
        for name in sorted(names):
            if not name.lower().endswith((".jpg", ".jpeg", ".png")):
                continue
            path = Path(parent) / name
            match = _NAME.fullmatch(name)
            if match is None or match["camid"] == "0":
                skipped.append(f"{path.relative_to(folder)}: not a name such as 0001C1T0001F001.jpg")
                continue
            sample = _sample(path, match)
            groups.setdefault((sample.pid, sample.camid, int(match["track"])), []).append(sample)
    tracklets = [
        Tracklet.of(sorted(groups[key], key=lambda sample: sample.frame)) for key in sorted(groups) if key[0] >= 0
    ]
    if not tracklets:
        examples = f", e.g. {skipped[0]}" if skipped else ""
        raise ValueError(f"{folder / part}: no tracklet, {len(skipped)} files with other names{examples}")
    return tracklets, len(groups) - len(tracklets), skipped


def _name_list(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _matrix(folder: Path, name: str) -> np.ndarray:
    path = folder / "info" / name
    try:
        values = loadmat(str(path))
    except (ValueError, NotImplementedError, OSError, TypeError) as error:
        raise ValueError(f"{path}: not a readable MATLAB file ({error}); copy it again") from error
    if _MATRICES[name] not in values:
        raise ValueError(f"{path}: lacks the matrix {_MATRICES[name]}; copy MARS's own file")
    matrix = np.asarray(values[_MATRICES[name]])
    if matrix.dtype.kind not in "iuf" or (name != "query_IDX.mat" and (matrix.ndim != 2 or matrix.shape[1] != 4)):
        raise ValueError(f"{path}: got {matrix.dtype} {matrix.shape}, allowed: numbers, 4 columns a tracklet")
    return matrix.astype(np.int64)


def _from_rows(folder: Path, part: str, names: Sequence[str], rows: np.ndarray) -> list[Tracklet | None]:
    """Returns the tracklet of each row, None for junk."""
    where = folder / "info" / ("tracks_train_info.mat" if part == TRAIN else "tracks_test_info.mat")
    tracklets: list[Tracklet | None] = []
    for number, (first, last, pid, camera) in enumerate(rows.tolist(), start=1):
        if not 1 <= first <= last <= len(names):
            raise ValueError(f"{where}: row {number}: files {first} to {last}; the list has 1 to {len(names)}")
        if pid == JUNK_PID:
            tracklets.append(None)
            continue
        samples = []
        for name in names[first - 1 : last]:
            match = _NAME.fullmatch(name)
            if match is None:
                raise ValueError(f"{where}: row {number}: {name} is not a name such as 0001C1T0001F001.jpg")
            sample = _sample(folder / part / name[:4] / name, match)
            if (sample.pid, sample.camid) != (pid, camera - 1):
                raise ValueError(
                    f"{where}: row {number}: identity {pid} and camera {camera}, but the file is {name}; the lists "
                    "belong to different versions"
                )
            samples.append(sample)
        tracklets.append(Tracklet.of(samples))
    return tracklets
