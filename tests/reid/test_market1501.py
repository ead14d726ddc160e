from pathlib import Path

import pytest

from reid.data.base import Sample, describe, relabel
from reid.data.market1501 import read_market1501

NAMES = {
    "bounding_box_train": ["0007_c2s1_000045_01.jpg", "0002_c1s1_000451_03.jpg", "0002_c6s2_000012_00.jpg"],
    "query": ["0003_c1s1_000100_00.jpg"],
    "bounding_box_test": [
        "0003_c2s1_000140_02.jpg",
        "0000_c3s1_000141_01.jpg",
        "-1_c1s1_000401_03.jpg",
        "-1_c2s1_000402_03.jpg",
        "Thumbs.db",
    ],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "market", NAMES)


def make(root: Path, names: dict[str, list[str]]) -> Path:
    for folder, files in names.items():
        (root / folder).mkdir(parents=True)
        for name in files:
            (root / folder / name).touch()
    return root


def test_splits(root):
    data = read_market1501(root)
    train = root / "bounding_box_train"
    assert data.train == [
        Sample(str(train / "0002_c1s1_000451_03.jpg"), pid=2, camid=0, frame=451, source="market1501"),
        Sample(str(train / "0002_c6s2_000012_00.jpg"), pid=2, camid=5, frame=12, source="market1501"),
        Sample(str(train / "0007_c2s1_000045_01.jpg"), pid=7, camid=1, frame=45, source="market1501"),
    ]
    assert [sample.pid for sample in data.query] == [3]
    assert [sample.pid for sample in data.gallery] == [0, 3]  # distractors stay, junk goes
    assert data.num_junk == 2
    assert data.skipped == ()


def test_parent_of_the_public_folder(tmp_path):
    make(tmp_path / "Market-1501-v15.09.15", NAMES)
    assert len(read_market1501(tmp_path, source="m").train) == 3


def test_other_names_are_counted(root):
    (root / "query" / "holiday.JPG").touch()
    (root / "query" / "0004_c0s1_000100_00.jpg").touch()  # cameras count from 1
    data = read_market1501(root)
    assert data.skipped == ("query/0004_c0s1_000100_00.jpg", "query/holiday.JPG")
    assert len(data.query) == 1


def test_missing_folder_is_named(root):
    (root / "query" / NAMES["query"][0]).unlink()
    (root / "query").rmdir()
    with pytest.raises(
        FileNotFoundError, match="market: missing query; expected the folders bounding_box_train, query"
    ):
        read_market1501(root)


@pytest.mark.parametrize("name", ["", "absent"])
def test_wrong_folder(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="expected the folders bounding_box_train, query, bounding_box_test"):
        read_market1501(tmp_path / name)


def test_empty_split(root):
    for path in (root / "query").iterdir():
        path.rename(path.with_name("portrait.jpg"))
    with pytest.raises(ValueError, match=r"query: no usable image, .*query/portrait.jpg.*0002_c1s1_000451_03"):
        read_market1501(root)


def test_labels_follow_the_sorted_identities(root):
    train = read_market1501(root).train
    assert relabel(train) == relabel(reversed(train)) == {2: 0, 7: 1}


def test_describe(root):
    assert describe(read_market1501(root).train) == {"images": 3, "pids": 2, "cameras": 3}
    assert describe([]) == {"images": 0, "pids": 0, "cameras": 0}
