"""MARS folders: tracklets by their lists and by their names, and what is wrong with them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from reid.data.mars import read_mars


@pytest.fixture
def mars(tmp_path: Path) -> Path:
    """A MARS folder: identities 1, 3 for training, 2, 4 for testing, 2 cameras, 2 tracklets, junk and distractors."""
    root = tmp_path / "MARS"
    random = np.random.default_rng(0)
    rows: dict[str, list[list[int]]] = {}
    for part, pids in (("bbox_train", ["0001", "0003"]), ("bbox_test", ["00-1", "0000", "0002", "0004"])):
        names: list[str] = []
        rows[part] = []
        for pid in pids:
            (root / part / pid).mkdir(parents=True)
            for camera in (1, 2):
                for track in (1, 2):
                    first = len(names) + 1
                    for frame in range(1, 4):
                        names.append(f"{pid}C{camera}T{track:04d}F{frame:03d}.jpg")
                        image = random.integers(0, 256, (32, 16, 3), np.uint8)
                        cv2.imwrite(str(root / part / pid / names[-1]), image)
                    rows[part].append([first, len(names), -1 if pid == "00-1" else int(pid), camera])
        (root / "info").mkdir(exist_ok=True)
        (root / "info" / f"{part.removeprefix('bbox_')}_name.txt").write_text("\n".join(names) + "\n")
    savemat(root / "info" / "tracks_train_info.mat", {"track_train_info": np.array(rows["bbox_train"], np.uint16)})
    savemat(root / "info" / "tracks_test_info.mat", {"track_test_info": np.array(rows["bbox_test"], np.float64)})
    savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([[10, 11, 13]])})
    return root


def test_mars_by_its_lists(mars: Path) -> None:
    data = read_mars(mars.parent)
    assert (len(data.train), len(data.query), len(data.gallery), data.num_junk) == (8, 3, 12, 4)
    assert data.cropped and {one.pid for one in data.gallery} == {0, 2, 4}
    names = [Path(query.frames[0].path).name for query in data.query]
    assert names == ["0002C1T0002F001.jpg", "0002C2T0001F001.jpg", "0004C1T0001F001.jpg"]
    assert set(data.query) <= set(data.gallery) and [query.camid for query in data.query] == [0, 1, 0]
    assert all(Path(frame.path).is_file() for one in data.gallery for frame in one.frames)


def test_mars_by_its_names(mars: Path) -> None:
    listed = read_mars(mars)
    shutil.rmtree(mars / "info")
    (mars / "bbox_train" / "0001" / "holiday.jpg").write_bytes(b"")
    data = read_mars(mars)
    assert data.train == listed.train and data.gallery == listed.gallery and data.num_junk == 4
    assert [(query.pid, query.camid) for query in data.query] == [(2, 0), (2, 1), (4, 0), (4, 1)]
    assert data.skipped == ("bbox_train/0001/holiday.jpg: not a name such as 0001C1T0001F001.jpg",)
    assert "no info folder" in data.notes[0]


def _remove(mars: Path) -> None:
    (mars / "info" / "query_IDX.mat").unlink()


def _garble(mars: Path) -> None:
    (mars / "info" / "query_IDX.mat").write_bytes(b"nothing of MATLAB" * 20)


def _rename(mars: Path) -> None:
    savemat(mars / "info" / "query_IDX.mat", {"other": np.array([[1]])})


def _reach(mars: Path) -> None:
    savemat(mars / "info" / "query_IDX.mat", {"query_IDX": np.array([[17]])})


def _overrun(mars: Path) -> None:
    savemat(mars / "info" / "tracks_train_info.mat", {"track_train_info": np.array([[1, 999, 1, 1]])})


def _mistake(mars: Path) -> None:
    savemat(mars / "info" / "tracks_train_info.mat", {"track_train_info": np.array([[1, 3, 1, 2]])})


def _misname(mars: Path) -> None:
    path = mars / "info" / "train_name.txt"
    path.write_text(path.read_text().replace("0001C1T0001F002", "0001-1-2"))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (_remove, FileNotFoundError, r"info: lacks query_IDX.mat; restore it, or remove the info folder"),
        (_garble, ValueError, r"query_IDX.mat: not a readable MATLAB file"),
        (_rename, ValueError, r"query_IDX.mat: lacks the matrix query_IDX"),
        (_reach, ValueError, r"query_IDX.mat: rows 17 to 17; tracks_test_info.mat has 16"),
        (_overrun, ValueError, r"tracks_train_info.mat: row 1: files 1 to 999; the list has 1 to 24"),
        (_mistake, ValueError, r"row 1: identity 1 and camera 2, but the file is 0001C1T0001F001.jpg"),
        (_misname, ValueError, r"row 1: 0001-1-2.jpg is not a name such as"),
        (lambda mars: shutil.rmtree(mars / "bbox_test"), FileNotFoundError, r"lacks one of them; expected bbox_train"),
    ],
)
def test_faults_of_mars_are_named(
    mars: Path, spoil: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    spoil(mars)
    with pytest.raises(error, match=message):
        read_mars(mars)
