"""Tracklets: which frames are chosen, how they are made from MOT sequences, what a dataset of them promises."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.data.base import Sample
from reid.data.mot_tracklets import read_mot_tracklets, split_people, split_track
from reid.data.tracklets import Tracklet, VideoDataset, checked_tracklets, choose_frames, ranking_ids

Videos = Callable[..., Path]


def tracklet(pid: int = 1, camid: int = 0, length: int = 3, name: str = "a") -> Tracklet:
    return Tracklet.of([Sample(f"{name}{frame}", pid, camid, frame, "test") for frame in range(length)])


# Choosing frames


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 30])
@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_one_frame_of_each_segment(length: int, count: int) -> None:
    random = np.random.default_rng(0)
    seen: list[set[int]] = [set() for _ in range(count)]
    for _ in range(200):
        chosen = choose_frames(length, count, random)
        assert chosen.shape == (count,) and list(chosen) == sorted(chosen)
        assert length < count or len(set(chosen.tolist())) == count
        for segment, frame in zip(seen, chosen.tolist(), strict=True):
            segment.add(frame)
    if length >= count:
        # The segments share the tracklet: each frame belongs to one of them, and all are drawn.
        assert sorted(frame for segment in seen for frame in segment) == list(range(length))
    even = choose_frames(length, count)
    assert all(frame in segment for frame, segment in zip(even.tolist(), seen, strict=True))
    assert np.array_equal(even, choose_frames(length, count))


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="length, count: got 0, 4"):
        choose_frames(0, 4)


def test_a_tracklet_is_of_one_person_and_camera() -> None:
    with pytest.raises(ValueError, match=r"got \(pid, camid\) \[\(1, 0\), \(1, 1\)\]"):
        Tracklet.of([*tracklet().frames, *tracklet(camid=1).frames])
    with pytest.raises(ValueError, match="frames: got none"):
        Tracklet((), 1, 0, "test")


# MOT sequences


def test_split_track_cuts_at_gaps_and_at_the_length() -> None:
    frame = np.array([1, 2, 3, 6, 7, 20, 21, 22, 23, 24])
    pieces = split_track(frame, max_gap=2, max_length=3)
    assert [frame[piece].tolist() for piece in pieces] == [[1, 2, 3], [6, 7], [20, 21, 22], [23, 24]]
    assert [len(piece) for piece in split_track(frame, max_gap=99, max_length=4)] == [4, 3, 3]
    assert split_track(frame[:0], 2, 3) == []


def test_mot_tracklets_keep_their_promises(tiny_videos: Videos) -> None:
    data = read_mot_tracklets(tiny_videos(), max_length=6)
    everything = [*data.train, *data.gallery]
    assert not {one.pid for one in data.train} & {one.pid for one in data.gallery}
    assert {one.pid for one in everything} == set(range(1, 9)) and data.cameras_known
    assert all(4 <= len(one.frames) <= 6 for one in everything)
    assert set(data.query) <= set(data.gallery)
    keys = [(query.pid, query.camid) for query in data.query]
    assert len(set(keys)) == len(keys) == 4 * 2
    for one in everything:
        frames = [frame.frame for frame in one.frames]
        assert frames == sorted(set(frames)) and max(np.diff(frames)) <= 11
        assert all(Path(frame.path).is_file() and f"VIEW-01-c{one.camid + 1}" in frame.path for frame in one.frames)
    assert read_mot_tracklets(tiny_videos(), max_length=6) == data


@pytest.mark.parametrize(
    "options",
    [
        {"min_visibility": 0.8},
        {"min_height": 41},
        {"min_width": 17},
        {"min_length": 15},
        {"max_length": 4},
        {"max_gap": 0},
        {"test_fraction": 0.25},
        {"seed": 1},
    ],
)
def test_every_filter_acts(tiny_videos: Videos, options: dict[str, Any]) -> None:
    root = tiny_videos()
    assert read_mot_tracklets(root, **options) != read_mot_tracklets(root)


def test_annotations_say_who_is_who(tiny_videos: Videos, tmp_path: Path) -> None:
    shutil.copytree(tiny_videos(), tmp_path / "world")
    folders = sorted((tmp_path / "world" / "train").iterdir())
    for number, folder in enumerate(folders):
        folder.rename(folder.with_name(f"PLACE-{number}"))
    strangers = read_mot_tracklets(tmp_path / "world", max_length=8)
    assert not strangers.cameras_known and len({one.pid for one in [*strangers.train, *strangers.gallery]}) == 16
    assert "nobody is seen by two cameras" in strangers.notes[-1]
    q_pids, g_pids, q_camids, g_camids = ranking_ids(strangers)
    for pid, camid in zip(q_pids, q_camids, strict=True):
        # A query leaves out itself alone.
        assert ((g_pids == pid) & (g_camids == camid)).sum() == 1 and (g_pids == pid).sum() > 1
    world = {"level": "easy", "seed": 0}
    for number in range(2):
        # In the second place everybody has another number.
        people = [{"id": track, "identity": 100 + (track + 3 * number) % 8} for track in range(1, 9)]
        text = json.dumps({"world": world, "frames": [{"people": people}]})
        (tmp_path / "world" / "train" / f"PLACE-{number}" / "annotations.json").write_text(text)
    data = read_mot_tracklets(tmp_path / "world")
    assert data.cameras_known and len({one.pid for one in [*data.train, *data.gallery]}) == 8
    path = tmp_path / "world" / "train" / "PLACE-1" / "annotations.json"
    path.write_text(path.read_text().replace('"id": 8,', '"id": 9,'))
    with pytest.raises(ValueError, match=r"annotations.json: says nothing of identity 8"):
        read_mot_tracklets(tmp_path / "world")
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"not a world's annotations \(KeyError\('world'\)\)"):
        read_mot_tracklets(tmp_path / "world")


def test_copies_with_other_detections_count_once(tiny_videos: Videos, tmp_path: Path) -> None:
    for source in sorted((tiny_videos() / "train").iterdir()):
        for detector in ("DPM", "SDP"):
            shutil.copytree(source, tmp_path / f"{source.name}-{detector}")
    data = read_mot_tracklets(tmp_path)
    assert len({one.camid for one in [*data.train, *data.gallery]}) == 2
    assert "2 sequences are copies" in data.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_visibility": 1.5}, "min_visibility: got 1.5, allowed: 0..1"),
        ({"min_height": 0}, "min_height: got 0"),
        ({"min_length": 9, "max_length": 8}, "max_length: got 8, allowed: min_length"),
        ({"max_gap": -1}, "max_gap"),
        ({"test_fraction": 1.0}, "test_fraction"),
        ({"min_height": 1000}, "no tracklet is left"),
        ({"test_fraction": 0.01}, "the query split holds no tracklet"),
    ],
)
def test_bad_options_are_refused(tiny_videos: Videos, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_mot_tracklets(tiny_videos(), **options)


def test_missing_folders_are_named(tiny_videos: Videos, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no folder; expected sequence folders"):
        read_mot_tracklets(tmp_path / "nothing")
    shutil.copytree(tiny_videos(), tmp_path / "mot")
    shutil.rmtree(tmp_path / "mot" / "train" / "VIEW-01-c1" / "img1")
    with pytest.raises(FileNotFoundError, match="VIEW-01-c1/img1: no such folder"):
        read_mot_tracklets(tmp_path / "mot")


def test_people_of_several_cameras_are_split_for_themselves() -> None:
    several = [tracklet(pid, camid) for pid in range(4) for camid in range(2)]
    alone = [tracklet(pid) for pid in range(10, 14)]
    for seed in range(5):
        train, test = split_people([*several, *alone], 0.5, seed)
        assert len(train) + len(test) == 12 and not {one.pid for one in train} & {one.pid for one in test}
        assert sum(one.pid < 4 for one in test) == 4 and sum(one.pid >= 10 for one in test) == 2


# Splits


def test_ranking_ids_of_known_cameras() -> None:
    query, other = tracklet(1, 0), tracklet(1, 1)
    data = VideoDataset("test", [], [query], [query, other])
    assert [ids.tolist() for ids in ranking_ids(data)] == [[1], [1, 1], [0], [0, 1]]


def test_faults_of_a_dataset_are_named() -> None:
    train, query, other = [tracklet(5)], tracklet(1, 0), tracklet(1, 1)
    lonely = tracklet(2, 0)
    data = VideoDataset("test", train, [query, lonely], [query, other, lonely])
    noted = checked_tracklets(data)
    assert noted.notes == ("1 of 2 queries have no match in the gallery; they are skipped",)
    assert checked_tracklets(noted) == noted
    with pytest.raises(ValueError, match="none of the 1 queries has a match"):
        checked_tracklets(VideoDataset("test", train, [lonely], [lonely]))
    with pytest.raises(ValueError, match=r"identities \[1\] are in training and testing both"):
        checked_tracklets(VideoDataset("test", [query], [query], [query, other]))
    with pytest.raises(ValueError, match="the gallery split holds no tracklet"):
        checked_tracklets(VideoDataset("test", train, [query], []))
