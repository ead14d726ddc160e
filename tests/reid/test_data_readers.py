"""Public layouts, made small, and what is said about each way to get them wrong."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from reid.data import read_dataset
from reid.data.base import Split


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def facts(split: Split) -> list[tuple[str, int, int, int]]:
    return [(Path(item.path).name, item.pid, item.camid, item.frame) for item in split]


def duke(root: Path) -> Path:
    return touch(
        root,
        *("bounding_box_train/0001_c2_f0046182.jpg", "bounding_box_train/0001_c1_f0044158.jpg"),
        *("query/0005_c2_f0046985.jpg", "bounding_box_test/0005_c3_f0051000.jpg", "bounding_box_test/Thumbs.db"),
    )


def veri(root: Path) -> Path:
    return touch(
        root,
        *("image_train/0001_c001_00016450_0.jpg", "image_query/0002_c002_00030600_0.jpg"),
        *("image_test/0002_c020_00030640_1.jpg", "train_label.xml"),
    )


LISTED = {
    "list_train.txt": ["0000/0000_000_01_0303morning_0015_0.jpg 0", "0001/0001_000_15_0303noon_0020_1_ex.jpg 1"],
    "list_val.txt": ["0001/0001_007_02_0303noon_0021_0.jpg 1"],
    "list_query.txt": ["0000/0000_000_01_0113morning_0079_0.jpg 0"],
    "list_gallery.txt": ["0000/0000_004_03_0113morning_0081_1.jpg 0", "0003/0003_000_03_0113morning_0090_1.jpg 3"],
}


def msmt(root: Path, folders: tuple[str, str] = ("train", "test")) -> Path:
    for name, lines in LISTED.items():
        folder = folders[0] if name in ("list_train.txt", "list_val.txt") else folders[1]
        touch(root, *(f"{folder}/{line.split()[0]}" for line in lines))
        (root / name).write_text("\n".join(lines) + "\n")
    return root


CUHK = {
    "train": ["1_001_1_01.png", "1_001_2_06.png", "5_012_1_02.png"],
    "query": ["2_440_1_03.png"],
    "gallery": ["2_440_2_08.png", "2_440_2_09.png"],
}


def cuhk(root: Path) -> Path:
    touch(root, *(f"images_detected/{name}" for names in CUHK.values() for name in names))
    entries = {split: [[f"/data/images_detected/{name}", 3, 0] for name in names] for split, names in CUHK.items()}
    (root / "splits_new_detected.json").write_text(json.dumps([entries | {"num_train_pids": 767}]))
    return root


def test_dukemtmc(tmp_path: Path) -> None:
    data = read_dataset("dukemtmc", duke(tmp_path / "DukeMTMC-reID").parent)
    assert facts(data.train) == [("0001_c1_f0044158.jpg", 1, 0, 44158), ("0001_c2_f0046182.jpg", 1, 1, 46182)]
    assert facts(data.query) == [("0005_c2_f0046985.jpg", 5, 1, 46985)] and len(data.gallery) == 1


def test_veri776(tmp_path: Path) -> None:
    data = read_dataset("veri776", veri(tmp_path))
    assert facts(data.gallery) == [("0002_c020_00030640_1.jpg", 2, 19, 30640)] and data.name == "veri776"


@pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
@pytest.mark.parametrize("name", ["", "MSMT17_V1", "MSMT17_V2"])
def test_msmt17(tmp_path: Path, folders: tuple[str, str], name: str) -> None:
    msmt(tmp_path / name, folders)
    data = read_dataset("msmt17", tmp_path)
    assert [item[1:] for item in facts(data.train)] == [(1, 0, 15), (2, 14, 20)]
    # Person 0 of the test list is another one than person 0 of the training list.
    assert [item[1:] for item in facts(data.query)] == [(3, 0, 79)]
    assert [item.pid for item in data.gallery] == [3, 6] and Path(data.gallery[0].path).is_file()
    with_val = read_dataset("msmt17", tmp_path, val=True)
    assert len(with_val.train) == 3 and with_val.query == data.query and "list_val.txt" in with_val.notes[0]
    everything = read_dataset("msmt17", tmp_path, combine_all=True)
    assert len(everything.train) == 6 and "mean nothing" in everything.notes[-1]


def test_cuhk03_of_torchreid(tmp_path: Path) -> None:
    data = read_dataset("cuhk03", cuhk(tmp_path))
    assert [item[1:] for item in facts(data.train)] == [(10001, 0, 1), (10001, 1, 6), (50012, 0, 2)]
    assert facts(data.query) == [("2_440_1_03.png", 20440, 0, 3)] and data.name == "cuhk03-detected"
    with pytest.raises(FileNotFoundError, match="images_labeled and splits_new_labeled"):
        read_dataset("cuhk03", tmp_path, boxes="labeled")
    with pytest.raises(ValueError, match="boxes: got 'drawn', allowed: detected, labeled"):
        read_dataset("cuhk03", tmp_path, boxes="drawn")


def test_cuhk03_np(tmp_path: Path) -> None:
    names = ("bounding_box_train/0001_c1_1.png", "query/0003_c1_1.png", "bounding_box_test/0003_c2_2.png")
    touch(tmp_path / "labeled", *names)
    data = read_dataset("cuhk03", tmp_path, boxes="labeled")
    assert facts(data.gallery) == [("0003_c2_2.png", 3, 1, 2)] and data.name == "cuhk03-labeled"


def protocol(root: Path) -> Path:
    """The new protocol as MATLAB holds it: names in cells, indices from 1."""
    names = [name for split in CUHK.values() for name in split]
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = names
    content = {f"{split}_idx": [[names.index(name) + 1] for name in split_names] for split, split_names in CUHK.items()}
    savemat(root / "cuhk03_new_protocol_config_detected.mat", content | {"filelist": cells, "labels": [[1]]})
    return root


def test_cuhk03_protocol_of_matlab(tmp_path: Path) -> None:
    cuhk(tmp_path)
    expected = read_dataset("cuhk03", tmp_path)
    (tmp_path / "splits_new_detected.json").unlink()
    assert read_dataset("cuhk03", protocol(tmp_path)) == expected


def test_cuhk03_images_of_matlab(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    protocol(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (12, 5, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "cuhk-03.mat", "w") as file:
        kind = h5py.special_dtype(ref=h5py.Reference)
        full, empty = file.create_dataset("f", data=image.T), file.create_dataset("e", data=np.zeros(2, np.uint64))
        pairs = file.create_dataset("detected", (1, 5), dtype=kind)
        for pair, people in enumerate((1, 440, 1, 1, 12)):
            cells = file.create_dataset(f"pair{pair}", (10, people), dtype=kind)
            for index in range(10):
                for person in range(people):
                    cells[index, person] = (empty if index == 4 else full).ref
            pairs[0, pair] = cells.ref
    data = read_dataset("cuhk03", tmp_path)
    assert (cv2.imread(data.query[0].path)[:, :, ::-1] == image).all()
    assert not (tmp_path / "images_detected" / "1_001_1_05.png").exists()  # the cell is empty


def test_cuhk03_images_of_matlab_need_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(protocol(tmp_path), "cuhk03_release/cuhk-03.mat")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r"cuhk-03.mat is HDF5: install h5py"):
        read_dataset("cuhk03", tmp_path)
    (tmp_path / "cuhk03_release" / "cuhk-03.mat").unlink()
    with pytest.raises(FileNotFoundError, match="images_detected: missing; expected"):
        read_dataset("cuhk03", tmp_path)


def replace(path: str, text: str) -> Callable[[Path], None]:
    return lambda root: (root / path).write_text(text) and None


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


@pytest.mark.parametrize(
    ("name", "make", "spoil", "message"),
    [
        ("dukemtmc", duke, remove("query/0005_c2_f0046985.jpg"), r"query: no usable image.*0001_c2_f0046182\.jpg"),
        ("dukemtmc", veri, None, "expected the folders bounding_box_train, query, bounding_box_test.*DukeMTMC-reID"),
        ("veri776", duke, None, "expected the folders image_train, image_query, image_test"),
        ("msmt17", duke, None, "expected list_train.txt, list_val.txt.*mask_train_v2"),
        ("msmt17", msmt, remove("list_val.txt"), "missing list_val.txt; expected"),
        ("msmt17", msmt, replace("list_query.txt", "a.jpg 0\n"), r"list_query.txt:1: got 'a.jpg 0'; expected <person>"),
        ("msmt17", msmt, replace("list_query.txt", "\n"), "list_query.txt: lists no image"),
        ("msmt17", msmt, remove("test/0000/0000_000_01_0113morning_0079_0.jpg"), "missing, though .*list_query.txt"),
        ("cuhk03", duke, None, "expected detected/ with bounding_box_train"),
        ("cuhk03", cuhk, replace("splits_new_detected.json", "[]"), "splits_new_detected.json: not readable .IndexErr"),
        ("cuhk03", cuhk, replace("splits_new_detected.json", "{"), "splits_new_detected.json: not readable .JSONDecod"),
        ("cuhk03", cuhk, remove("images_detected/2_440_2_08.png"), "2_440_2_08.png: missing .and 0 more., though"),
        ("cuhk03", protocol, replace("cuhk03_new_protocol_config_detected.mat", "text" * 99), "detected.mat: not read"),
    ],
)
def test_wrong_layouts_are_answered_with_the_right_one(
    tmp_path: Path, name: str, make: Callable[[Path], Path], spoil: Callable[[Path], None] | None, message: str
) -> None:
    tmp_path.joinpath("data").mkdir()
    root = make(tmp_path / "data")
    if spoil:
        spoil(root)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        read_dataset(name, root)
    with pytest.raises(FileNotFoundError, match="expected"):
        read_dataset(name, tmp_path / "absent")
