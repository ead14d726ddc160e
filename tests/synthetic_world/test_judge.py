"""The judge: scores against cases counted by hand, matching, tables, and what it says when something is missing."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from synthetic_world import judge
from synthetic_world.__main__ import main
from synthetic_world.judge_metrics import (
    SIGMAS,
    box_iou,
    histograms,
    keypoint_similarity,
    match_boxes,
    rank_scores,
)
from synthetic_world.masks import encode_mask
from synthetic_world.sheet import write_sheet


def line(*angles: float) -> np.ndarray:
    """Features on a circle: near angles are near features."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_ranking_by_hand() -> None:
    # By distance: own camera (out), junk (out), distractor, match, other, match: right at places 2 and 4 of 4.
    query_ids = np.array([[1, 1]])
    gallery_ids = np.array([[1, 1], [-1, 2], [0, 2], [1, 2], [2, 2], [1, 3]])
    rank1, average = rank_scores(line(0), line(1, 2, 3, 4, 5, 6), query_ids, gallery_ids)
    assert rank1 == 0
    assert average == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_ranking_leaves_out_queries_without_a_match() -> None:
    query_ids = np.array([[1, 1], [7, 1], [2, 1]])
    gallery_ids = np.array([[1, 2], [2, 2], [7, 1]])
    rank1, average = rank_scores(line(0, 90, 0), line(0, 10, 90), query_ids, gallery_ids)
    assert rank1 == pytest.approx(1 / 2)
    assert average == pytest.approx((1 + 1 / 2) / 2)
    with pytest.raises(ValueError, match="no query has a match"):
        rank_scores(line(0), line(0), np.array([[1, 1]]), np.array([[1, 1]]))


def test_iou_and_matching() -> None:
    truth = np.array([[0, 0, 10, 20], [2, 0, 12, 20], [50, 0, 60, 20.0]])
    found = np.array([[1.9, 0, 11.9, 20], [50, 0, 60, 9.9], [0, 0, 10, 20]])
    assert box_iou(truth, found)[0, 2] == pytest.approx(1)
    assert box_iou(truth[:1], truth[1:])[0] == pytest.approx([160 / 240, 0])
    # The first found box overlaps both people, but each is counted once; half the height is not enough for the third.
    assert match_boxes(truth, found).tolist() == [2, 0, -1]
    assert match_boxes(truth, found[:1]).tolist() == [-1, 0, -1]
    assert match_boxes(truth, np.zeros((0, 4))).tolist() == [-1, -1, -1]
    assert match_boxes(np.zeros((0, 4)), found).tolist() == []


def test_keypoint_similarity_by_hand() -> None:
    truth = np.zeros((17, 3))
    assert np.isnan(keypoint_similarity(truth[:, :2], truth, 100.0))
    truth[0, 2], truth[5, 2] = 2, 1
    found = truth[:, :2].copy()
    found[1:5] = 1000  # v = 0: counts nowhere
    assert keypoint_similarity(found, truth, 100.0) == pytest.approx(1)
    found[5] = 3, 4
    # 5 pixels off at a shoulder, area 100: exp(-25 / (2 * 100 * (2 * 0.079)^2)).
    expected = (1 + np.exp(-25 / (2 * 100 * 0.158**2))) / 2
    assert keypoint_similarity(found, truth, 100.0) == pytest.approx(expected)


def test_keypoint_similarity_is_cocos() -> None:
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    random = np.random.default_rng(0)
    truth = np.concatenate([random.uniform(0, 80, (17, 2)), random.integers(0, 3, (17, 1))], axis=1)
    found = truth[:, :2] + random.normal(0, 4, (17, 2))
    parameters = cocoeval.Params(iouType="keypoints")
    assert pytest.approx(SIGMAS) == parameters.kpt_oks_sigmas
    oracle = cocoeval.COCOeval(iouType="keypoints")
    box = [0, 0, 80, 80]
    oracle._gts[1, 1] = [{"keypoints": truth.ravel().tolist(), "bbox": box, "area": 1500.0}]
    points = np.concatenate([found, np.ones((17, 1))], axis=1).ravel().tolist()
    oracle._dts[1, 1] = [{"keypoints": points, "score": 1.0}]
    assert keypoint_similarity(found, truth, 1500.0) == pytest.approx(float(oracle.computeOks(1, 1)[0, 0]))


def test_histograms_see_colours_and_grey_world_takes_out_a_tint() -> None:
    random = np.random.default_rng(0)
    people = [random.integers(60, 160, (8, 4, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1) for _ in range(2)]
    tinted = np.rint(people[0] * np.array([1.5, 1.0, 0.8])).astype(np.uint8)
    features = {grey: histograms([*people, tinted], grey) for grey in (False, True)}
    for rows in features.values():
        assert rows.shape == (3, 6 * (192 + 256))
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3))
    nearness = {grey: float(rows[0] @ rows[2]) for grey, rows in features.items()}
    assert nearness[True] > nearness[False] + 0.2
    assert nearness[True] > features[True][0] @ features[True][1]


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Two people in two cameras, a distractor and junk; each is one grey."""
    files = {
        "query/0001_c1s1_000001_01.jpg": 40,
        "query/0002_c1s1_000002_01.jpg": 200,
        "bounding_box_test/0001_c2s1_000001_01.jpg": 45,
        "bounding_box_test/0002_c2s1_000002_01.jpg": 195,
        "bounding_box_test/0000_c2s1_000003_01.jpg": 120,
        "bounding_box_test/-1_c2s1_000004_01.jpg": 40,
    }
    for name, grey in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((32, 16, 3), grey, np.uint8))
    (tmp_path / "annotations.json").write_text(json.dumps({"world": {"level": "hard"}}))
    return tmp_path


def by_brightness(images: list[np.ndarray]) -> np.ndarray:
    return line(*(float(image.mean()) / 4 for image in images))


def test_judge_reid(crops: Path) -> None:
    scores = judge.judge_reid(crops, by_brightness)
    assert (scores["queries"], scores["gallery"]) == (2, 3)
    assert scores["osnet_rank1"] == scores["osnet_map"] == 1
    best = max(scores["histogram_map"], scores["histogram_grey_world_map"])
    assert scores["best_histogram_map"] == best
    assert scores["ratio"] == pytest.approx(1 / best)


def person(box: list[float], visibility: float, image: tuple[int, int] = (400, 200)) -> dict[str, Any]:
    left, top, width, height = (round(value) for value in box)
    mask = np.zeros((image[1], image[0]), bool)
    mask[max(top, 0) : top + height, max(left, 0) : left + width] = True
    points = [[left + width / 2, top + height * (joint + 0.5) / 17, 2] for joint in range(17)]
    return {"box": box, "visibility": visibility, "keypoints": points, "mask": encode_mask(mask)}


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """One frame with a person in full, one at the border, one hidden and one small."""
    folder = tmp_path / "train" / "WORLD-01"
    (folder / "img1").mkdir(parents=True)
    cv2.imwrite(str(folder / "img1" / "000001.jpg"), np.zeros((200, 400, 3), np.uint8))
    people = [
        person([20, 10, 60, 180], 1.0),
        person([120, 60, 50, 180], 0.8),
        person([220, 10, 60, 180], 0.6),
        person([320, 10, 30, 90], 1.0),
    ]
    notes = {"world": {"level": "medium"}, "frames": [{"frame": 1, "people": people}]}
    (folder / "annotations.json").write_text(json.dumps(notes))
    return tmp_path


def test_who_counts(frames: Path) -> None:
    (_, people), *_ = judge.frames_of(frames)
    boxes, tall = judge.counted(people, (400, 200), "detect")
    # The second is 140 pixels high within the image: enough to be found, not to judge the pose.
    assert tall.tolist() == [True, True, False, False]
    assert boxes[1].tolist() == [120, 60, 170, 200]
    assert judge.counted(people, (400, 200), "pose")[1].tolist() == [True, False, False, False]


def test_judge_detection_and_pose(frames: Path) -> None:
    (_, people), *_ = judge.frames_of(frames)
    points = np.array([people[0]["keypoints"]])[:, :, :2]

    def finds_first_and_nobody(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert image.shape == (200, 400, 3)
        return np.array([[22, 12, 80, 190], [200, 0, 210, 10.0]]), np.concatenate([points, points])

    scores = judge.judge_detection(frames, finds_first_and_nobody)
    assert scores == {"people": 2, "recall": 0.5, "unmatched_per_frame": 1.0, "frames": 1}
    assert judge.judge_pose(frames, finds_first_and_nobody) == {"people": 1, "oks": 1.0, "oks_found": 1.0}

    def finds_nobody(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((0, 4)), np.zeros((0, 17, 2))

    assert judge.judge_pose(frames, finds_nobody) == {"people": 1, "oks": 0.0, "oks_found": 0.0}


def test_table_says_which_goals_are_reached() -> None:
    reid = {
        f"{name}_{score}": 0.2 for name in ("histogram", "histogram_grey_world", "osnet") for score in ("rank1", "map")
    }
    reid |= {"best_histogram_map": 0.2, "ratio": 1.0}
    detection = {"people": 10, "recall": 0.9, "unmatched_per_frame": 0.0, "frames": 2}
    pose = {"people": 10, "oks": 0.59, "oks_found": 0.7}
    scores = {"reid": reid, "detection": detection, "pose": pose}
    goals = {
        level: [row.reached for row in judge.table(level, scores) if row.goal] for level in ("easy", "medium", "hard")
    }
    assert goals == {"easy": [True, False], "medium": [False, True, False], "hard": [True, True, False]}
    text = judge.as_markdown("medium, seed 0", judge.table("medium", scores))
    assert "| 1.00 | on medium >= 1.5 | MISSED |" in text
    assert "| 0.900 | >= 0.90 | reached |" in text
    assert len({row.count("|") for row in text.splitlines()}) == 1


def test_folders_are_judged_as_they_are(
    crops: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judge, "load_osnet", lambda models, threads: by_brightness)
    out = crops / "scores" / "hard.json"
    assert main(["judge", "--models", "nowhere", "--reid", str(crops), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "hard, folder" in printed and "OSNet x0.25 (MSMT17): Rank-1, mAP | 100.0, 100.0" in printed
    assert "YOLO" not in printed
    (record,) = json.loads(out.read_text())
    assert record["level"] == "hard" and record["reid"]["osnet_map"] == 1


def test_small_worlds_are_made_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def finds_nobody(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((0, 4)), np.zeros((0, 17, 2))

    monkeypatch.setattr(judge, "load_osnet", lambda models, threads: by_brightness)
    monkeypatch.setattr(judge, "load_yolo", lambda models, task: finds_nobody)
    monkeypatch.setattr(judge, "SEQUENCES", 1)
    out = tmp_path / "scores.json"
    arguments = ["--models", "nowhere", "--level", "easy", "--seed", "3", "--pids", "2", "--frames", "1"]
    assert main(["judge", *arguments, "--out", str(out)]) == 0
    assert "easy, seed 3" in capsys.readouterr().out
    (record,) = json.loads(out.read_text())
    assert record["reid"]["queries"] == 2 * 6
    assert record["detection"]["frames"] == 1


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["judge", *map(str, arguments)])
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_missing_things_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert f"{judge.OSNET} is missing" in failure(capsys, "--models", tmp_path)
    assert f"{judge.DETECTOR} is missing" in failure(capsys, "--models", tmp_path, "--mot", tmp_path)
    (tmp_path / judge.OSNET).write_bytes(b"nothing")
    assert "onnxruntime cannot open it" in failure(capsys, "--models", tmp_path)
    (tmp_path / judge.DETECTOR).mkdir()
    monkeypatch.setattr(judge.importlib.util, "find_spec", lambda name: None)
    message = failure(capsys, "--models", tmp_path, "--mot", tmp_path)
    assert "pip install ultralytics-opencv-headless openvino" in message
    assert "pip install onnxruntime" in failure(capsys, "--models", tmp_path)
    monkeypatch.setattr(judge, "load_osnet", lambda models, threads: by_brightness)
    assert "annotations.json is missing: no folder of the world" in failure(
        capsys, "--models", tmp_path, "--reid", tmp_path
    )


def test_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sheets" / "easy.jpg"
    assert main(["sheet", "--level", "easy", "--people", "2", "--cameras", "3", "--out", str(out)]) == 0
    image = cv2.imread(str(out))
    assert image is not None and image.shape == (256, 192, 3)
    tiles = image.reshape(2, 128, 3, 64, 3).std(axis=(1, 3))
    assert (tiles > 5).all()  # no tile was left empty
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3)).astype(np.uint8)
    with pytest.raises(ValueError, match="fewer people"):
        write_sheet(out, noise)


@pytest.mark.real_data
def test_osnet_judges_a_small_world(shared_data: Path, tmp_path: Path) -> None:
    reid, _ = judge.make_world(tmp_path, "easy", 0, 6, 1, 1)
    scores = judge.judge_reid(reid, judge.load_osnet(shared_data / "models"))
    assert scores["queries"] == 36
    assert scores["osnet_map"] > 0.8


def test_folders_of_something_else_are_named(tmp_path: Path) -> None:
    for reid, mot in ((tmp_path, None), (None, tmp_path)):
        with pytest.raises(FileNotFoundError, match=r"annotations.json is missing: no folder of the world"):
            judge._level_of(reid, mot)
