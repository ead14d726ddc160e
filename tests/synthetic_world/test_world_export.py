"""Written folders: names, splits, formats, truth against pixels, and the same bytes every time."""

import configparser
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from synthetic_world.__main__ import main
from synthetic_world.detector import detect, overlap
from synthetic_world.export import MotOptions, ReidOptions, plan_reid, write_mot, write_reid
from synthetic_world.levels import get_level
from synthetic_world.masks import decode_mask

NAME = re.compile(r"^(-1|\d{4})_c(\d)s(\d)_(\d{6})_(\d{2})\.jpg$")
REID = ReidOptions(pids=6, cameras=3, level="medium", seed=3)
MOT = MotOptions(sequences=2, frames=6, people=6, cameras=2, seed=5, width=320, height=180)


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def reid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reid") / "world"
    write_reid(REID, out)
    return out


@pytest.fixture(scope="module")
def mot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mot") / "world"
    write_mot(MOT, out)
    return out


def parsed(folder: Path) -> list[tuple[int, ...]]:
    matches = [NAME.match(path.name) for path in sorted(folder.iterdir())]
    assert all(matches)
    return [tuple(int(part) for part in match.groups()) for match in matches if match]


def test_reid_names_and_splits(reid: Path) -> None:
    train, query, test = (parsed(reid / name) for name in ("bounding_box_train", "query", "bounding_box_test"))
    assert {entry[0] for entry in train} == {1, 2, 3}
    assert {entry[0] for entry in query} == {4, 5, 6}
    assert {entry[0] for entry in test} == {-1, 0, 4, 5, 6}
    assert len(train) == 3 * 3 * 2
    assert sorted(entry[:2] for entry in query) == [(pid, camera) for pid in (4, 5, 6) for camera in (1, 2, 3)]
    for pid, camera, *_ in query:
        assert any(entry[0] == pid and entry[1] != camera for entry in test)
    frames = [(entry[1], entry[3]) for entry in train + query + test]
    assert len(set(frames)) == len(frames)


def test_reid_images_and_annotations_agree(reid: Path) -> None:
    notes = json.loads((reid / "annotations.json").read_text())["images"]
    images = {str(path.relative_to(reid)) for path in reid.rglob("*.jpg")}
    assert {note["file"] for note in notes} == images
    identities: dict[int, set] = {}
    nobody = 0
    for note in notes:
        image = cv2.imread(str(reid / note["file"]))
        assert image.shape == (128, 64, 3) and image.std() > 5
        if note["identity"] is None:
            nobody += 1
            assert note["pid"] == 0 and "mask" not in note
            continue
        if note["pid"] > 0:
            identities.setdefault(note["pid"], set()).add(note["identity"])
            mask = decode_mask(note["mask"])
            assert mask.shape == (128, 64) and 0.08 < mask.mean() < 0.75
            rows, columns = np.nonzero(mask)
            for x, y, state in note["keypoints"]:
                assert state in (0, 1, 2)
                if state == 2:
                    assert np.hypot(columns + 0.5 - x, rows + 0.5 - y).min() <= 2.0
            assert 0.3 <= note["visibility"] <= 1.0
            assert -180.0 <= note["viewpoint"] <= 180.0 and note["role"] in ("civilian", "worker")
    assert all(len(found) == 1 for found in identities.values())
    assert len(set.union(*identities.values())) == 6


def test_mot_formats(mot: Path) -> None:
    folders = sorted((mot / "train").iterdir())
    assert [folder.name for folder in folders] == ["WORLD-01-c1", "WORLD-01-c2", "WORLD-02-c1", "WORLD-02-c2"]
    for folder in folders:
        info = configparser.ConfigParser()
        info.optionxform = str  # type: ignore[assignment, method-assign]
        info.read(folder / "seqinfo.ini")
        section = dict(info["Sequence"])
        assert section == {
            "name": folder.name, "imDir": "img1", "frameRate": "25", "seqLength": "6", "imWidth": "320",
            "imHeight": "180", "imExt": ".jpg",
        }  # fmt: skip
        assert [path.name for path in sorted((folder / "img1").iterdir())] == [f"{n:06d}.jpg" for n in range(1, 7)]
        assert cv2.imread(str(folder / "img1" / "000001.jpg")).shape == (180, 320, 3)
        truth = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",", ndmin=2)
        assert truth.shape[1] == 9 and (truth[:, 6:8] == 1).all()
        assert ((truth[:, 8] >= 0) & (truth[:, 8] <= 1)).all() and (truth[:, 4:6] > 0).all()
        assert truth[:, 0].min() >= 1 and truth[:, 0].max() == 6 and truth[:, 1].min() >= 1 and truth[:, 1].max() <= 6
        assert len({(row[0], row[1]) for row in truth}) == len(truth)
        found = np.loadtxt(folder / "det" / "det.txt", delimiter=",", ndmin=2)
        assert found.shape[1] == 10 and (found[:, [1, 7, 8, 9]] == -1).all()
        assert ((found[:, 6] > 0) & (found[:, 6] <= 1)).all()
        assert (found[:, 2:4] >= 0).all() and (found[:, 2] + found[:, 4] <= 320.01).all()
        assert (found[:, 3] + found[:, 5] <= 180.01).all()


def test_mot_truth_agrees_with_masks_and_identities_hold(mot: Path) -> None:
    identity: dict[tuple[str, int], int] = {}
    for folder in sorted((mot / "train").iterdir()):
        notes = json.loads((folder / "annotations.json").read_text())
        truth = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",", ndmin=2)
        homography = np.array(notes["view"]["ground_homography"])
        people = [(frame["frame"], person) for frame in notes["frames"] for person in frame["people"]]
        assert len(people) == len(truth)
        for (frame, person), row in zip(people, truth):
            assert (frame, person["id"]) == (row[0], row[1])
            assert person["box"] == pytest.approx(row[2:6], abs=0.01)
            # The same scene, so the same identity, whichever camera looks.
            assert identity.setdefault((folder.name[:8], person["id"]), person["identity"]) == person["identity"]
            rows, columns = np.nonzero(decode_mask(person["mask"]))
            left, top, width, height = person["box"]
            if len(rows):
                assert columns.min() >= left - 1 and columns.max() <= left + width + 1
                assert rows.min() >= top - 1 and rows.max() <= top + height + 1
            else:
                assert person["visibility"] == 0
            foot = homography @ (*person["ground"], 1.0)
            assert left - 0.5 * width <= foot[0] / foot[2] <= left + 1.5 * width
            assert abs(foot[1] / foot[2] - (top + height)) < 0.2 * height
    for name in ("WORLD-01", "WORLD-02"):
        numbers = [value for key, value in identity.items() if key[0] == name]
        assert len(set(numbers)) == len(numbers)


def test_bytes_depend_on_the_seed_only(reid: Path, mot: Path, tmp_path: Path) -> None:
    write_reid(REID, tmp_path / "reid", processes=2)
    write_mot(MOT, tmp_path / "mot", processes=2)
    assert digest(tmp_path / "reid") == digest(reid)
    assert digest(tmp_path / "mot") == digest(mot)
    write_reid(ReidOptions(pids=6, cameras=3, level="medium", seed=4), tmp_path / "other")
    other, mine = digest(tmp_path / "other"), digest(reid)
    assert not {value for key, value in other.items() if key.endswith("jpg")} & set(mine.values())


def test_folders_that_cannot_be_made_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop:
        main(["mot", "--out", str(tmp_path / "file" / "world")])
    assert stop.value.code == 2 and str(tmp_path / "file") in capsys.readouterr().err


def test_shares_and_counts_of_images_are_those_asked_for() -> None:
    tasks = plan_reid(ReidOptions(pids=10, cameras=2, images_per_camera=3, train_fraction=0.3), Path())
    counts = Counter(task.file.split("/")[0] for task in tasks)
    assert counts["bounding_box_train"] == 3 * 2 * 3 and counts["query"] == 7 * 2
    assert sum(task.pid > 0 and task.file.startswith("bounding_box_test") for task in tasks) == 7 * 2 * 2
    assert {task.pid for task in tasks if "train" in task.file} == {1, 2, 3}


def test_detector_misses_more_when_people_are_hidden() -> None:
    level = get_level("medium")
    boxes = np.array([[50.0 + 100 * n, 80.0, 40.0, 100.0] for n in range(8)])
    hits = np.zeros((2, 8))
    alarms = 0
    for trial in range(200):
        for row, share in enumerate((1.0, 0.3)):
            found = detect(np.random.default_rng(trial), level, boxes, np.full(8, share), 960, 540)
            assert (np.diff(found[:, 4]) <= 0).all()
            near = overlap(boxes, found[:, :4]) > 0.4
            hits[row] += near.any(1)
            alarms += (~near.any(0)).sum()
    clear, hidden = hits.mean(1) / 200
    assert clear > 0.9 and 0.1 < hidden < 0.7
    assert alarms > 20


def test_failures_leave_nothing_and_full_folders_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    arguments = ["reid", "--out", str(tmp_path), "--pids", "2", "--cameras", "2", "--width", "16", "--height", "32"]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "is not empty; --overwrite replaces it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--overwrite"])
    assert stop.value.code == 2 and "holds something else than a world" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    (tmp_path / "annotations.json").write_text("{}")
    assert main([*arguments, "--overwrite"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir())[0] == "annotations.json"
    assert not (tmp_path / "kept.txt").exists()
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reid", "--pids", "1"], "pids: got 1, allowed is 2 to 9999"),
        (["reid", "--cameras", "1"], "cameras: got 1"),
        (["reid", "--images-per-camera", "1"], "images_per_camera: got 1"),
        (["reid", "--train-fraction", "1"], "train_fraction: got 1"),
        (["reid", "--level", "brutal"], "invalid choice: 'brutal'"),
        (["reid", "--processes", "0"], "processes: got 0"),
        (["mot", "--frames", "0"], "frames: got 0"),
        (["mot", "--people", "0"], "people: got 0"),
        (["mot", "--width", "10"], "width: got 10"),
        (["mot", "--seed", "-1"], "seed: got -1"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
