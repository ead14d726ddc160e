"""Folders of images without labels."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from reid.data.unlabelled import read_unlabelled, shared_images


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(50))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0002_c1s1_000451_03.jpg", (2, 1)),
        ("-1_c6s2_000451_03.jpg", (-1, 6)),
        ("0001_c2_f0046182.jpg", (1, 2)),
        ("0002_c002_00030600_0.jpg", (2, 2)),
        ("cam3_000017.png", (-1, 3)),
        ("lobby-camera2-17.JPG", (-1, 2)),
        ("c4/deep/17.webp", (-1, 4)),
        ("Camera 5/1.bmp", (-1, 5)),
        ("000017.jpg", (-1, 0)),
        ("traffic12/17.jpg", (-1, 0)),
    ],
)
def test_names(tmp_path: Path, name: str, expected: tuple[int, int]) -> None:
    write(tmp_path, name)
    (sample,) = read_unlabelled(tmp_path)
    assert (sample.pid, sample.camid + 1) == expected


def test_any_depth_sorted_and_other_files_ignored(tmp_path: Path) -> None:
    write(tmp_path, "b/c2_1.jpg", "a/x/cam0_1.png", "notes.txt", "c1_1.jpg")
    samples = read_unlabelled(tmp_path, source="mall")
    assert [Path(sample.path).name for sample in samples] == ["cam0_1.png", "c2_1.jpg", "c1_1.jpg"]
    assert [sample.camid for sample in samples] == [0, 2, 1]  # names that count from 0
    assert {sample.source for sample in samples} == {"mall"}


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no image"):
        read_unlabelled(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_unlabelled(tmp_path / "none")


def test_shared_images_by_path_and_by_content(tmp_path: Path) -> None:
    write(tmp_path / "test", *(f"{index}.jpg" for index in range(4)))
    write(tmp_path / "own", *(f"{index}.jpg" for index in range(4)))
    shutil.copy(tmp_path / "test" / "2.jpg", tmp_path / "own" / "copy.jpg")
    (tmp_path / "own" / "link.jpg").symlink_to(tmp_path / "test" / "1.jpg")
    test, own = read_unlabelled(tmp_path / "test"), read_unlabelled(tmp_path / "own")
    assert [Path(path).name for path in shared_images(own, test)] == ["copy.jpg", "link.jpg"]
    assert shared_images(own[:2], test) == []
    assert np.array_equal(shared_images(test, test), [sample.path for sample in test])
