"""Tracklets: which frames are chosen, how they are made from MOT sequences and MARS folders, their pixels."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat

from reid.data.base import Sample, relabel
from reid.data.crops import image_fault
from reid.data.images import Preprocessing
from reid.data.mars import read_mars
from reid.data.mot_tracklets import read_mot_tracklets, split_people, split_track
from reid.data.samplers import PKBatchSampler
from reid.data.sharding import BatchShare
from reid.data.tracklet_images import check_crop_factor, cut, drop_unreadable_frames, load_frames
from reid.data.tracklet_loader import TrackletDataset, TrackletSampler, tracklet_loader
from reid.data.tracklet_transform import TrackletTransform
from reid.data.tracklets import Tracklet, VideoDataset, checked_tracklets, choose_frames, ranking_ids
from reid.data.transforms import Augmentation, TrainTransform

SIZE = Preprocessing(16, 16)
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


# MARS


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


# Pixels


def test_crop_factor_scales_around_the_centre() -> None:
    image = np.arange(40 * 60 * 3, dtype=np.int64).reshape(40, 60, 3)
    box = (20.0, 10.0, 30.0, 30.0)
    assert np.array_equal(cut(image, box, 1.0), image[10:30, 20:30])
    assert np.array_equal(cut(image, box, 0.5), image[15:25, 22:28])  # 22.5 and 27.5 are rounded outwards
    assert np.array_equal(cut(image, box, 1.4), image[6:34, 18:32])
    assert np.array_equal(cut(image, box, 3.0), image[0:40, 10:40])  # clipped above and below
    assert np.array_equal(cut(image, None, 0.5), image[10:30, 15:45])
    assert np.array_equal(cut(image, (-10.0, -5.0, 10.0, 5.0), 1.0), image[0:5, 0:10])
    for factor in (1.0, 1.1, 0.9):
        for left in np.arange(2, 12, 0.1):
            rows, columns = cut(image, (left, left, left + 20, left + 20), factor).shape[:2]
            assert rows == columns and 20 * factor - 1e-6 <= columns <= 20 * factor + 2
    with pytest.raises(ValueError, match="lies outside the 60 x 40 pixels"):
        cut(image, (70.0, 0.0, 80.0, 10.0), 1.0)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_crop_factors_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="allowed: above 0"):
        check_crop_factor(factor, cropped=False)


def test_nothing_lies_around_images_that_are_cut_out() -> None:
    check_crop_factor(1.2, cropped=False)
    check_crop_factor(1.0, cropped=True)
    with pytest.raises(ValueError, match=r"crop_factor: got 1\.2, allowed: at most 1"):
        check_crop_factor(1.2, cropped=True)


def test_frames_are_the_boxes_of_their_files(tiny_videos: Videos) -> None:
    samples = [frame for one in read_mot_tracklets(tiny_videos()).train[:3] for frame in one.frames][::-1]
    images = load_frames(samples, SIZE, 1.2)
    assert images.shape == (len(samples), 3, 16, 16) and images.dtype == np.uint8
    for sample, image in zip(samples, images, strict=True):
        frame = cv2.cvtColor(cv2.imread(sample.path), cv2.COLOR_BGR2RGB)
        assert np.array_equal(image, SIZE.batch([cut(frame, sample.box, 1.2)])[0])
    with pytest.raises(ValueError, match=r"\.jpg: box .* lies outside"):
        load_frames([Sample(samples[0].path, 1, 0, 1, "", (900.0, 0.0, 910.0, 9.0))], SIZE, 1.0)


def test_corrupt_frames_are_left_out_and_counted(tiny_videos: Videos, tmp_path: Path) -> None:
    shutil.copytree(tiny_videos(), tmp_path / "mot")
    images = tmp_path / "mot" / "train" / "VIEW-01-c1" / "img1"
    (images / "000003.jpg").write_bytes((images / "000003.jpg").read_bytes()[:300])
    (images / "000004.jpg").unlink()
    data = read_mot_tracklets(tmp_path / "mot")
    (train, query, gallery), faults = drop_unreadable_frames([data.train, data.query, data.gallery], image_fault)
    assert len(faults) == 2 and "000003.jpg" in faults[0] and "000004.jpg" in faults[1]
    for before, after in ((data.train, train), (data.query, query), (data.gallery, gallery)):
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            assert new.frames == tuple(one for one in old.frames if old.camid == 1 or one.frame not in (3, 4))
    assert set(query) <= set(gallery)
    lost, _ = drop_unreadable_frames([[tracklet()]], image_fault)
    assert lost == [[]]


# Batches


def test_batches_depend_on_seed_and_epoch_alone(tiny_videos: Videos) -> None:
    train = read_mot_tracklets(tiny_videos()).train
    labels = relabel(train)  # type: ignore[arg-type]

    def batches(seed: int = 0, epoch: int = 1, cache: int = 100, count: int = 1) -> list[torch.Tensor]:
        shares = []
        for rank in range(count):
            sampler = PKBatchSampler([labels[one.pid] for one in train], 2, 2, seed=0)
            share = BatchShare(TrackletSampler(sampler, seed), rank, count)
            options = {"frames": 3, "crop_factor": 1.0, "workers": 1, "cache_megabytes": cache}
            loader = tracklet_loader(train, labels, SIZE, share, **options)  # type: ignore[arg-type]
            assert loader.num_workers == (0 if cache else 1)
            share.set_epoch(epoch)
            shares.append([batch["images"] for batch in loader])
        return [torch.cat(parts) for parts in zip(*shares, strict=True)]

    first = batches()
    assert first[0].shape == (4, 3, 3, 16, 16) and first[0].dtype == torch.uint8
    for same in (batches(), batches(cache=0), batches(count=2)):
        assert all(torch.equal(one, other) for one, other in zip(first, same, strict=True))
    for other in (batches(seed=1), batches(epoch=2)):
        assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_items_hold_the_drawn_frames(tiny_videos: Videos) -> None:
    train = read_mot_tracklets(tiny_videos()).train
    dataset = TrackletDataset(train, relabel(train), SIZE, 4, 0.8, cache=True)  # type: ignore[arg-type]
    item = dataset[(2, 99)]
    chosen = choose_frames(len(train[2].frames), 4, np.random.default_rng(99))
    assert np.array_equal(item["images"], load_frames([train[2].frames[i] for i in chosen], SIZE, 0.8))
    assert item["camid"] == train[2].camid and len(dataset) == len(train)


def test_augmentation_is_the_same_for_all_frames_of_a_tracklet() -> None:
    size = Preprocessing(32, 16)
    image = torch.randint(0, 256, (6, 1, 3, 32, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    augmentation = Augmentation(flip=0.5, pad_crop=4, jitter=0.3, erasing=0.5)
    transform = TrackletTransform(TrainTransform(size, augmentation, generator), generator)
    first, second = transform(image.expand(-1, 4, -1, -1, -1)), transform(image.expand(-1, 4, -1, -1, -1))
    assert first.shape == (6, 4, 3, 32, 16) and first.dtype == torch.float32
    assert all(torch.equal(first[:, 0], first[:, time]) for time in range(4))
    assert not torch.equal(first, second)
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(TrainTransform(size, augmentation, generator)(image[:, 0]), first[:, 0])


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
