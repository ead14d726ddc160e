"""Crops of MOT sequences."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.data import read_dataset
from reid.data.base import Sample
from reid.data.crops import load_crop, load_crops
from reid.evaluation import embed_samples

Rows = list[tuple[float, ...]]


def sequence(root: Path, name: str, rows: Rows, size: bool = True) -> Path:
    """Frames whose pixels tell column and row."""
    folder = root / name
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    lines = ["[Sequence]", f"name={name}", "seqLength=30"] + (["imWidth=200", "imHeight=120"] if size else [])
    (folder / "seqinfo.ini").write_text("\n".join(lines) + "\n")
    (folder / "gt" / "gt.txt").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    image = np.zeros((120, 200, 3), np.uint8)
    image[:, :, 2] = np.arange(200)  # red, as OpenCV orders channels
    image[:, :, 1] = np.arange(120)[:, None]
    for frame in sorted({int(row[0]) for row in rows}):
        cv2.imwrite(str(folder / "img1" / f"{frame:06d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    return folder


def people(frames: tuple[int, ...] = (1, 11, 21), ids: tuple[int, ...] = (1, 2, 3, 4)) -> Rows:
    return [(frame, pid, 10 * pid, 20, 30, 60, 1, 1, 1.0) for frame in frames for pid in ids]


def test_one_view_means_unknown_cameras(tmp_path: Path) -> None:
    sequence(tmp_path / "train", "A-01", people())
    data = read_dataset("mot", tmp_path)
    assert not data.cameras_known and "so the scores flatter" in data.notes[-1]
    assert len(data.train) == 6 and len(data.query) == 2 and len(data.gallery) == 4
    assert not {item.pid for item in data.train} & {item.pid for item in data.query}
    assert all(item.frame == 1 for item in data.query)


def test_views_of_a_scene_are_its_cameras(tmp_path: Path) -> None:
    for view in ("W-01-c1", "W-01-c2", "W-02-c1", "W-02-c2"):
        sequence(tmp_path, view, people())
    data = read_dataset("mot", tmp_path)
    assert data.cameras_known and data.notes == ()
    assert {item.camid for item in data.query} == {0, 1}
    cameras = {}
    for item in (*data.train, *data.query, *data.gallery):
        cameras.setdefault(item.pid, set()).add(item.camid)
    assert len(cameras) == 8 and all(seen == {0, 1} for seen in cameras.values())
    sequence(tmp_path, "S-03", people())
    assert {item.camid for item in read_dataset("mot", tmp_path).train} <= {0, 1, 2}


def test_too_few_frames_name_the_option_that_takes_more(tmp_path: Path) -> None:
    sequence(tmp_path, "A-01", people(frames=(1, 2, 3)))
    with pytest.raises(ValueError, match=r"the query split is empty; .*a lower every \(got 10; --dataset-opt"):
        read_dataset("mot", tmp_path)
    assert len(read_dataset("mot", tmp_path, every=1).query) == 2


def annotate(folder: Path, identities: dict[int, int]) -> None:
    people = [{"id": track, "identity": identity} for track, identity in identities.items()]
    notes = {"world": {"level": "easy", "seed": 0}, "frames": [{"people": people}]}
    (folder / "annotations.json").write_text(json.dumps(notes))


def test_people_of_a_world_are_the_same_in_all_its_scenes(tmp_path: Path) -> None:
    # Track t of scene s is person (t + s) mod 6: everybody but two walks through several scenes, under other numbers.
    for scene in range(3):
        for view in (1, 2):
            folder = sequence(tmp_path, f"WORLD-0{scene}-c{view}", people())
            annotate(folder, {track: (track + scene) % 6 for track in range(1, 5)})

    def person(item: Sample) -> int:
        return (round(item.box[0] / 10) + int(Path(item.path).parts[-3][7])) % 6

    data = read_dataset("mot", tmp_path)
    test = (*data.query, *data.gallery)
    assert not {person(item) for item in data.train} & {person(item) for item in test}
    pairs = {(item.pid, person(item)) for item in (*data.train, *test)}
    assert len(pairs) == len({pid for pid, _ in pairs}) == len({who for _, who in pairs}) == 6
    # The scenes lie at different places: each view is a camera of its own.
    assert len({(item.camid, Path(item.path).parts[-3]) for item in (*data.train, *test)}) == 6
    assert data.cameras_known and len(data.train) + len(test) == 3 * 2 * 3 * 4

    by_scene = read_dataset("mot", tmp_path, split_by="sequences", test_fraction=0.3)
    assert {person(item) for item in (*by_scene.query, *by_scene.gallery)} == {0, 3, 4, 5}
    assert {person(item) for item in by_scene.train} == {1, 2}
    assert by_scene.notes == ("30 images of training scenes show test people and are left out",)


def test_one_view_a_scene_is_enough_where_people_come_back(tmp_path: Path) -> None:
    for scene in range(2):
        folder = sequence(tmp_path, f"WORLD-0{scene}", people())
        annotate(folder, {track: track for track in range(1, 5)})
    data = read_dataset("mot", tmp_path)
    assert data.cameras_known and {item.camid for item in data.query} == {0, 1}
    with pytest.raises(ValueError, match="the test scenes have everybody in them"):
        read_dataset("mot", tmp_path, split_by="sequences")


def test_split_by_sequences_and_its_options(tmp_path: Path) -> None:
    for name in ("A", "B", "C", "D"):
        sequence(tmp_path, name, people())
    data = read_dataset("mot", tmp_path, split_by="sequences", test_fraction=0.25)
    assert {Path(item.path).parts[-3] for item in data.train} == {"A", "B", "C"}
    assert {Path(item.path).parts[-3] for item in data.gallery} == {"D"}
    chosen = {tuple(item.pid for item in read_dataset("mot", tmp_path, seed=seed).query) for seed in range(4)}
    assert len(chosen) > 1


def test_the_copies_of_mot17_count_once(tmp_path: Path) -> None:
    for detector in ("DPM", "FRCNN", "SDP"):
        sequence(tmp_path, f"MOT17-02-{detector}", people())
    data = read_dataset("mot", tmp_path)
    assert len(data.train) == 6 and {Path(item.path).parts[-3] for item in data.train} == {"MOT17-02-DPM"}


def test_filters(tmp_path: Path) -> None:
    rows = people(ids=(1, 2, 3, 4, 5, 6))
    # From here on the number is the upper border too.
    rows += [(1, 21, 50, 21, 30, 60, 0, 1, 1.0), (1, 22, 50, 22, 30, 60, 1, 3, 1.0)]  # ignored; a car
    rows += [(1, 23, 50, 23, 30, 60, 1, 1, 0.35), (1, 24, 50, 24, 15, 60, 1, 1, 1.0), (1, 25, 50, 25, 30, 40, 1, 1, 1)]
    rows += [(1, 26, 190, 26, 30, 60, 1, 1, 1.0), (2, 27, 50, 27, 30, 60, 1, 1, 1.0)]  # mostly outside; another frame
    sequence(tmp_path, "A", rows)

    def seen(**options: float) -> set[int]:
        data = read_dataset("mot", tmp_path, **options)
        boxes = [item.box for item in (*data.train, *data.query, *data.gallery)]
        return {int(left) // 10 if top == 20 else int(top) for left, top, _, _ in boxes}

    plain = set(range(1, 7))
    assert seen() == plain
    assert seen(min_visibility=0.3) == plain | {23}
    assert seen(min_width=15) == plain | {24}
    assert seen(min_width=10) == plain | {24, 26}
    assert seen(min_height=40) == plain | {25}
    assert seen(every=1) == plain | {27}
    assert "6 boxes are left out" in read_dataset("mot", tmp_path).notes[0]


@pytest.mark.parametrize("size", [True, False])
def test_crops_are_cut_from_the_frames(tmp_path: Path, size: bool) -> None:
    sequence(tmp_path, "A", people(), size)
    data = read_dataset("mot", tmp_path)
    sample = data.query[0]
    assert sample.box is not None
    left = int(sample.box[0])
    assert left in (10, 20, 30, 40) and sample.box == (left, 20, left + 30, 80)
    crop = load_crop(sample)
    assert crop.shape == (60, 30, 3)
    assert np.abs(crop[:, :, 0].mean(0) - np.arange(left, left + 30)).max() < 4
    assert np.abs(crop[:, :, 1].mean(1) - np.arange(20, 80)).max() < 4
    assert all((one == load_crop(item)).all() for one, item in zip(load_crops(data.gallery), data.gallery))
    means = embed_samples(lambda images: np.array([image.mean((0, 1)) for image in images]), data.query, "", quiet=True)
    assert np.allclose(means[0], crop.mean((0, 1)))


def test_bad_sequences(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds none; expected sequence folders.*gt/gt\.txt"):
        read_dataset("mot", tmp_path)
    folder = sequence(tmp_path, "A", people())
    for options, message in (
        ({"min_height": 500}, "no box is left; lower min_visibility"),
        ({"split_by": "sequences"}, "there is the scene A only"),
        ({"split_by": "frames"}, "split_by: got 'frames', allowed: identities, sequences"),
        ({"min_visibility": 2.0}, "min_visibility: got 2.0, allowed"),
        ({"every": 0}, "every: got 0, allowed: 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            read_dataset("mot", tmp_path, **options)
    (folder / "img1" / "000011.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000011.jpg: missing, though .*gt.txt has boxes"):
        read_dataset("mot", tmp_path)
