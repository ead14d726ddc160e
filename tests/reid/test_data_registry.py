"""The registry, merging and what every dataset is checked for."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.data import DATASETS, list_datasets, read_dataset
from reid.data.base import ReIDDataset, Sample, checked, image_key, merge_training, queries_without_match


def sample(path: str, pid: int, camid: int = 0) -> Sample:
    return Sample(path, pid, camid, 0, "test")


def dataset(name: str = "test", **splits: list[Sample]) -> ReIDDataset:
    filled = {"train": [sample("t", 1)], "query": [sample("q", 2, 0)], "gallery": [sample("g", 2, 1)]}
    return ReIDDataset(name, **(filled | splits))  # type: ignore[arg-type]


def test_unknown_names_and_options_are_answered_with_the_known_ones(tiny_market: Path) -> None:
    with pytest.raises(ValueError, match="dataset: got 'market', allowed: world, market1501"):
        read_dataset("market", tiny_market)
    with pytest.raises(ValueError, match="options of market1501: got levels, allowed: source"):
        read_dataset("market1501", tiny_market, levels=3)
    assert list_datasets() == list(DATASETS)


def test_market_through_the_registry(tiny_market: Path) -> None:
    data = read_dataset("market1501", tiny_market)
    assert (len(data.train), len(data.query), len(data.gallery)) == (72, 18, 36)
    assert data.name == "market1501" and data.cameras_known and data.notes == ()


@pytest.mark.parametrize("split", ["train", "query", "gallery"])
def test_empty_splits_are_refused(split: str) -> None:
    with pytest.raises(ValueError, match=f"the {split} split is empty"):
        checked(dataset(**{split: []}))


def test_queries_without_a_match_are_counted() -> None:
    lonely = dataset(query=[sample("a", 2, 0), sample("b", 2, 1), sample("c", 9, 0)])
    assert [query.path for query in queries_without_match(lonely)] == ["b", "c"]
    assert "2 of 3 queries have no match in another camera, e.g. b" in checked(lonely).notes[0]
    with pytest.raises(ValueError, match=r"1 of 1 queries have no match in another camera, e.g. b"):
        checked(dataset(query=[sample("b", 2, 1)]))


def test_without_cameras_only_the_query_itself_is_no_match() -> None:
    data = ReIDDataset("t", [sample("t", 1)], [sample("g", 2), sample("q", 2)], [sample("g", 2)], cameras_known=False)
    assert [image_key(query) for query in queries_without_match(data)] == [("g", None)]


def test_merged_training_sets_share_no_label_and_no_camera() -> None:
    first = dataset("a", train=[sample("a1", 7, 2), sample("a2", 3, 0), sample("a3", 7, 0)])
    second = dataset("b", train=[sample("b1", 3, 0), sample("b2", 9, 5)])
    merged = merge_training([first, second])
    assert [(item.path, item.pid, item.camid) for item in merged] == [
        *(("a1", 2, 1), ("a2", 1, 0), ("a3", 2, 0)),
        *(("b1", 3, 2), ("b2", 4, 3)),
    ]
    with pytest.raises(ValueError, match="got none"):
        merge_training([])
    with pytest.raises(ValueError, match="a holds a1, which another one holds too"):
        merge_training([first, first])


def test_world_is_written_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "world"
    options = {"level": "easy", "pids": 4, "cameras": 2, "seed": 3, "width": 16, "height": 32}
    data = read_dataset("world", root, **options)
    assert data.name == "world" and len({item.pid for item in data.train}) == 2
    assert cv2.imread(data.train[0].path).shape == (32, 16, 3)
    written = data.train[0].path
    before = Path(written).stat().st_mtime_ns
    assert read_dataset("world", root, **options).train == read_dataset("world", root).train == data.train
    assert Path(written).stat().st_mtime_ns == before
    for name, value in {"level": "hard", "pids": 6, "cameras": 3, "seed": 4, "width": 32, "height": 64}.items():
        with pytest.raises(ValueError, match=f"{name}: got {value}, but .* choose another folder"):
            read_dataset("world", root, **{name: value})
    with pytest.raises(ValueError, match=r"could not be written: .*pids"):
        read_dataset("world", tmp_path / "other", pids=1)


def test_world_options_need_a_world(tiny_market: Path) -> None:
    assert read_dataset("world", tiny_market).name == "world"
    with pytest.raises(ValueError, match="level, but it is no world"):
        read_dataset("world", tiny_market, level="easy")


def test_images_of_the_market_are_real(tiny_market: Path) -> None:
    assert np.asarray(cv2.imread(read_dataset("market1501", tiny_market).query[0].path)).shape == (64, 32, 3)
