"""The check of a dataset: counts, corrupt files, and what training and test share."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.data import DATASETS
from reid.data.__main__ import main
from reid.data.check import check, detect
from reid.data.near_duplicates import fingerprint, gather, near_duplicates


def scene(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (64, 128), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """4 training people, 3 test people in 2 cameras; every image is another one."""
    root = tmp_path / "market"
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir(parents=True)
    for pid in range(1, 8):
        for camera in (1, 2):
            folder = "bounding_box_train" if pid < 5 else ("query" if camera == 1 else "bounding_box_test")
            cv2.imwrite(str(root / folder / f"{pid:04d}_c{camera}s1_000001_00.jpg"), scene(10 * pid + camera))
    cv2.imwrite(str(root / "bounding_box_test" / "0000_c1s1_000001_00.jpg"), scene(999))
    return root


def test_a_clean_dataset(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(DATASETS["market1501"](market))
    assert report.leaks == 0 and report.corrupt == () and report.lonely == ()
    assert report.counts["train"].per_pid == (2, 2.0, 2) and report.counts["train"].cameras == 2
    assert (report.counts["gallery"].distractors, report.counts["gallery"].pids) == (1, 3)
    assert main(["check", str(market), "--strict"]) == 0
    assert "no leak" in capsys.readouterr().out


def test_near_duplicates_are_found_after_resizing_and_compression(
    market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = market / "bounding_box_train" / "0002_c1s1_000001_00.jpg"
    copy = market / "bounding_box_test" / "0000_c2s1_000009_00.jpg"
    image = cv2.resize(cv2.imread(str(source)), (50, 110))
    cv2.imwrite(str(copy), image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    report = check(DATASETS["market1501"](market), threads=1)
    assert [(train.path, test.path) for train, test in report.duplicates] == [(str(source), str(copy))]
    assert main(["check", str(market)]) == 0 and main(["check", str(market), "--strict", "--threads", "2"]) == 1
    shown = capsys.readouterr().out
    assert "near-duplicate images in training and test: 1" in shown and "LEAK" in shown


def test_shared_identities_corrupt_files_and_lonely_queries(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(market / "bounding_box_test" / "0003_c3s1_000001_00.jpg"), scene(500))
    broken = market / "query" / "0005_c1s1_000001_00.jpg"
    broken.write_bytes(broken.read_bytes()[:-40])
    cv2.imwrite(str(market / "query" / "0008_c1s1_000001_00.jpg"), scene(600))
    report = check(DATASETS["market1501"](market))
    assert report.shared_pids == (3,) and len(report.corrupt) == 1 and str(broken) in report.corrupt[0]
    assert [Path(sample.path).name for sample in report.lonely] == ["0008_c1s1_000001_00.jpg"]
    assert main(["check", str(market), "--strict"]) == 1
    shown = capsys.readouterr().out
    assert "identities in training and test: 1" in shown and str(broken) in shown


def test_pairs_equal_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    images = [scene(seed) for seed in range(12)]
    others = [np.clip(image + random.normal(0, 2 + 3 * (n % 3), image.shape), 0, 255).astype(np.uint8)
              for n, image in enumerate(images)]  # fmt: skip
    first, second = ([fingerprint(image) for image in part] for part in (images, others))
    expected = [
        (i, j)
        for i, (one, small) in enumerate(first)
        for j, (two, other) in enumerate(second)
        if bin(one ^ two).count("1") <= 6 and np.abs(small.astype(float) - other).mean() <= 4
    ]
    assert near_duplicates(gather(first), gather(second)) == expected and len(expected) >= 6
    assert near_duplicates(gather([]), gather(second)) == []
    plain = [fingerprint(np.full((64, 32, 3), value, np.uint8)) for value in (50, 60)]
    assert near_duplicates(gather(plain[:1]), gather(plain[1:])) == []  # the same hash, other pixels


def test_layouts_are_recognised(market: Path, tmp_path: Path) -> None:
    assert detect(market) == detect(tmp_path) == "market1501"
    (market / "annotations.json").write_text("{}")
    assert detect(market) == "world"
    for path, name in (
        ("duke/bounding_box_train/0001_c2_f0046182.jpg", "dukemtmc"),
        ("veri/image_query/a.jpg", "veri776"),
        ("msmt/list_query.txt", "msmt17"),
        ("cuhk/images_labeled/a.png", "cuhk03"),
        ("np/detected/bounding_box_train/a.png", "cuhk03"),
        ("mot/train/A/gt/gt.txt", "mot"),
        ("own/gallery/ann/1.jpg", "folder"),
        ("table/images.csv", "folder"),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.touch()
        assert detect(tmp_path / Path(path).parts[0]) == name
    assert detect(tmp_path / "table" / "images.csv") == "folder"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="laid out like no dataset"):
        detect(tmp_path / "empty")


def test_command_line(market: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    shutil.rmtree(market / "query")
    done = run_python("-m", "reid.data", "check", market, "--dataset", "market1501", check=False)
    assert done.returncode == 2 and "missing query; expected" in done.stderr and "Traceback" not in done.stderr
    done = run_python("-m", "reid.data", "check", market, "--threads", 0, check=False)
    assert done.returncode == 2 and "threads: got 0" in done.stderr


@pytest.mark.parametrize("more", [[], ["--dataset", "market1501"], ["--dataset", "world"]])
def test_a_missing_folder_is_called_missing(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    assert main(["check", str(missing), *more]) == 2
    assert capsys.readouterr().err == f"error: {missing}: no such folder\n" and not missing.exists()
