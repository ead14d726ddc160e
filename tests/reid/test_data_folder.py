"""Folders and tables of one's own; cameras that nobody knows."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.config import parse_config
from reid.data import read_dataset
from reid.data.splitting import query_and_gallery, split_identities
from reid.evaluation import protocol_samples, rank
from reid.image_reid_inference import main
from reid.inference_options import InferenceConfig


def paint(path: Path, colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name) + colour).normal(0, 8, (32, 16, 3))
    noise += np.array([colour % 200, 90, 255 - colour % 200])
    cv2.imwrite(str(path), noise.clip(0, 255).astype(np.uint8))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    root = tmp_path / "own"
    for number, name in enumerate(("zoe", "ann", "bob")):
        split = "train" if name == "zoe" else "query"
        paint(root / split / name / "1.jpg", 90 * number)
        if name != "zoe":
            paint(root / "gallery" / name / "2.jpg", 90 * number)
            paint(root / "gallery" / name / "3.jpg", 90 * number + 3)
    paint(root / "gallery" / "carl" / "1.jpg", 45)
    return root


def table(tmp_path: Path, text: str) -> Path:
    for number in range(8):
        paint(tmp_path / f"{number}.jpg", 25 * number)
    path = tmp_path / "images.csv"
    path.write_text(text)
    return path


def test_sub_folders(folders: Path) -> None:
    (folders / "train" / "loose.jpg").touch()
    data = read_dataset("folder", folders)
    assert [(item.pid, item.camid) for item in data.train] == [(4, 0)]  # ann, bob, carl, zoe
    assert [item.pid for item in data.query] == [1, 2]
    assert [item.pid for item in data.gallery] == [1, 1, 2, 2, 3]
    assert not data.cameras_known and "cameras are unknown" in data.notes[0]
    assert data.skipped == ("train/loose.jpg",)


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".PNG"])
def test_images_of_other_formats_count(folders: Path, suffix: str) -> None:
    for path in (folders / "gallery").rglob("*.jpg"):
        paint(path.with_suffix(suffix), 45)
        path.unlink()
    assert [Path(item.path).suffix for item in read_dataset("folder", folders).gallery] == [suffix] * 5


def test_table_with_all_columns(tmp_path: Path) -> None:
    rows = ["0.jpg,10,door,train", "1.jpg,9,yard,query", "2.jpg,9,door,gallery"]
    data = read_dataset("folder", table(tmp_path, "path, pid ,camid,split\n" + "\n".join(rows)))
    assert [(item.pid, item.camid) for item in (*data.train, *data.query, *data.gallery)] == [(2, 0), (1, 1), (1, 0)]
    assert data.cameras_known and data.notes == ()
    assert read_dataset("folder", tmp_path) == data  # the folder's only table


def test_table_without_splits(tmp_path: Path) -> None:
    table(tmp_path, "pid,path\n" + "\n".join(f"p{number // 2},{number}.jpg" for number in range(8)))
    data = read_dataset("folder", tmp_path)
    assert len({item.pid for item in data.train}) == 2 and len(data.query) == 2 and len(data.gallery) == 2
    assert not {item.pid for item in data.train} & {item.pid for item in data.query}
    assert "0.5 of the identities (seed 0)" in data.notes[1] and not data.cameras_known
    assert len({item.pid for item in read_dataset("folder", tmp_path, test_fraction=0.25).query}) == 1
    assert any(read_dataset("folder", tmp_path, seed=seed).query != data.query for seed in range(1, 6))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,person\n", r"images.csv:1: got the columns path, person; expected"),
        ("path,pid\n", "images.csv: no rows"),
        ("path,pid\n0.jpg,1\n1.jpg\n", "images.csv:3: expected 2 values"),
        ("path,pid\n0.jpg,1,2\n", "images.csv:2: expected 2 values"),
        ("path,pid\n9.jpg,1\n", "images.csv:2: .*9.jpg does not exist"),
        ("path,pid,split\n0.jpg,1,test\n", "images.csv:2: split: got 'test', allowed: train, query, gallery"),
        ("path,pid,split\n0.jpg,1,train\n", "no row of the split query, gallery"),
        ("path,pid\n0.jpg,1\n", "got 1 identities, allowed: 2 or more"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_dataset("folder", table(tmp_path, text))


def test_bad_folders(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent does not exist; expected the folders train"):
        read_dataset("folder", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="holds neither; expected the folders train"):
        read_dataset("folder", folders / "query")
    (folders / "train" / "zoe" / "1.jpg").rename(folders / "train" / "1.jpg")
    with pytest.raises(ValueError, match=r"train: no usable image \(1 lie in no sub-folder\)"):
        read_dataset("folder", folders)
    (folders / "train" / "1.jpg").unlink()
    (folders / "train" / "zoe").rmdir()
    (folders / "train").rmdir()
    with pytest.raises(FileNotFoundError, match="missing train; expected"):
        read_dataset("folder", folders)


def test_unknown_cameras_leave_out_the_query_image_alone(folders: Path) -> None:
    data = read_dataset("folder", folders)
    gallery = [*data.gallery, *data.query]  # the query images lie in the gallery too
    query_features = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    gallery_features = np.array([[0, 1], [2, 0], [1, 0], [0, 1], [5, 5], [0, 1], [1, 0]], np.float32)
    options = {"rerank": False, "cameras_known": False}
    result = rank(query_features, gallery_features, data.query, gallery, **options)["Euclidean"].result
    # Without its own image each query has two matches, the nearest item and one among the farther ones.
    assert result.num_valid == 2 and result.cmc[0] == 1.0 and (result.ap < 1.0).all()
    with pytest.raises(ValueError, match="in another camera"):
        rank(query_features, gallery_features, data.query, gallery, rerank=False)
    query, _ = protocol_samples(data.query, gallery, cameras_known=True)
    assert query == data.query


def test_inference_on_a_folder_says_that_cameras_are_unknown(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--dataset", "folder", "--baseline", "colour-histogram", "--top", "2"]
    main(parse_config(InferenceConfig, ["--root", str(folders), "--out", str(tmp_path / "out"), *options]))
    record = json.loads((tmp_path / "out" / "result.json").read_text())[0]
    assert record["cameras"].startswith("unknown") and record["split"] == "query/gallery"
    assert record["dataset"] == "folder (own)" and record["scores"]["num_valid"] == 2
    shown = capsys.readouterr().out
    assert "note: cameras are unknown" in shown and (tmp_path / "out" / "ranked_lists_euclidean.jpg").is_file()


def test_splitting_invariants(folders: Path) -> None:
    samples = read_dataset("folder", folders).gallery
    train, test = split_identities(samples, 0.34, seed=1)
    assert len({item.pid for item in test}) == 1 and sorted(map(repr, train + test)) == sorted(map(repr, samples))
    query, gallery = query_and_gallery(samples)
    assert [item.pid for item in query] == [1, 2] and len(gallery) == 3  # a single image is no query
    for fraction in (0.0, 1.0):
        with pytest.raises(ValueError, match="test_fraction"):
            split_identities(samples, fraction, seed=0)
