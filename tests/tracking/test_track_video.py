"""The video command, on small videos of coloured figures that the tests make."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from reid.data.mot import read_results, write_results
from tracking import TRACKERS
from tracking.annotated_video import TrackAnnotator
from tracking.boxes import iou_matrix, xywh_to_xyxy
from tracking.detections import Detections
from tracking.drawing import track_colour
from tracking.frame_rate_line import RecentRate
from tracking.frame_source import open_source
from tracking.reidsort import ReidSort
from tracking.track_summary import TrackSummary
from tracking.track_video import main, track_video
from tracking.track_video_options import TrackVideoConfig
from tracking.tracks import Tracks

FRAMES, HEIGHT, WIDTH = 30, 120, 200
Run = Callable[..., subprocess.CompletedProcess[str]]


def boxes_at(frame: int) -> np.ndarray:
    """Two figures (2, 4), xywh, who walk towards and past each other on paths of their own."""
    return np.array([[10.0 + 4 * frame, 12, 20, 50], [160.0 - 4 * frame, 62, 20, 50]])


def image_at(frame: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    for (x, y, w, h), colour in zip(boxes_at(frame).astype(int), ((200, 30, 30), (30, 30, 200))):
        image[y : y + h, x : x + w] = colour
    return image


def find_figures(image: np.ndarray) -> np.ndarray:
    """A detector: the boxes of what is red or blue, with confidence 0.9."""
    found = []
    for channel in (0, 2):
        ys, xs = np.nonzero((image[:, :, channel] > 150) & (image[:, :, 2 - channel] < 90))
        if len(xs) > 200:
            found.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, 0.9])
    return np.array(found).reshape(-1, 5)


def write_video(path: Path, frames: int = FRAMES) -> Path:
    codec = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), codec, 10, (WIDTH, HEIGHT))
    for frame in range(frames):
        writer.write(cv2.cvtColor(image_at(frame), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("walk") / "walk.avi")


def config(source: Any, out: Path, **options: Any) -> TrackVideoConfig:
    targets: dict[str, Any] = {"save_txt": out / "t.txt"} | options
    targets = {"detector": f"{__name__}:find_figures", "appearance": False} | targets
    return TrackVideoConfig(source=str(source), **targets)


def frames_of(path: Path) -> list[np.ndarray]:
    return [image for _, image in open_source(path).frames()]


def test_everyone_keeps_one_identity_in_all_files(walk: Path, tmp_path: Path) -> None:
    targets = {"save": tmp_path / "t.mp4", "save_crops": tmp_path / "crops", "save_summary": tmp_path / "t.json"}
    result = track_video(config(walk, tmp_path, **targets))
    assert result["complete"] and result["notes"] == [] and result["frames"] == FRAMES
    assert result["frame_rate"] == 10 and result["size"] == [WIDTH, HEIGHT]
    assert json.loads((tmp_path / "t.json").read_text()) == result

    rows = read_results(tmp_path / "t.txt")
    for track in result["tracks"]:
        mine = rows.track_id == track["id"]
        truth = np.array([boxes_at(frame - 1) for frame in rows.frame[mine]])
        overlap = [iou_matrix(xywh_to_xyxy(rows.xywh[mine]), xywh_to_xyxy(truth[:, who])).diagonal() for who in (0, 1)]
        assert max(np.min(overlap[0]), np.min(overlap[1])) > 0.7  # one figure all the way
        assert track["frames"] == mine.sum() and [track["first"], track["last"]] == rows.frame[mine][[0, -1]].tolist()
        assert track["seconds"] == pytest.approx((track["last"] - track["first"] + 1) / 10)
        assert track["mean_confidence"] == pytest.approx(0.9) and track["path_length"] == pytest.approx(4 * 27, abs=10)
        crops = sorted((tmp_path / "crops" / f"{track['id']:06d}").iterdir())
        assert len(crops) == track["detected"] and cv2.imread(str(crops[0])).shape[1] == pytest.approx(20, abs=4)
    assert len(result["tracks"]) == 2
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["crops", "t.json", "t.mp4", "t.txt"]  # nothing temporary

    drawn = frames_of(tmp_path / "t.mp4")
    assert len(drawn) == FRAMES and drawn[0].shape == (HEIGHT, WIDTH, 3)
    plain = [np.abs(image.astype(int) - other).mean() for image, other in zip(drawn, frames_of(walk))]
    assert min(plain[3:]) > 4  # boxes, labels, trails


def test_two_runs_give_the_same(walk: Path, tmp_path: Path) -> None:
    results, files = [], []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        result = track_video(config(walk, tmp_path / name, save=tmp_path / name / "t.avi"))
        result.pop("speed")
        results.append(result)
        files.append([(tmp_path / name / file).read_bytes() for file in ("t.txt", "t.avi")])
    assert results[0] == results[1] and files[0] == files[1]


def test_the_time_of_each_stage_is_told(walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--source", str(walk), "--detector", f"{__name__}:find_figures", "--max-frames", "10", "--no-appearance"]
    assert main([*options, "--save", str(tmp_path / "t.avi"), "--save-summary", str(tmp_path / "t.json")]) == 0
    speed = json.loads((tmp_path / "t.json").read_text())["speed"]
    stages = ["reading", "detector", "tracker", "drawing", "writing"]
    assert list(speed["seconds"]) == stages == list(speed["milliseconds_per_frame"])
    line = capsys.readouterr().out
    for stage, value in speed["milliseconds_per_frame"].items():
        assert 0 < value == pytest.approx(100 * speed["seconds"][stage], abs=0.1) and f"{stage} {value:.1f}" in line
    assert 0 <= speed["loading_seconds"] < 0.01  # this detector has no network
    total = sum(speed["milliseconds_per_frame"].values())
    assert speed["frames_per_second"] == pytest.approx(1000 / total, rel=0.02)


def test_text_is_as_the_benchmark_writes_it(walk: Path, tmp_path: Path) -> None:
    track_video(config(walk, tmp_path))
    rows = read_results(tmp_path / "t.txt")
    write_results(tmp_path / "again.txt", rows.frame, rows.track_id, rows.xywh, rows.confidence)
    assert (tmp_path / "again.txt").read_text() == (tmp_path / "t.txt").read_text() != ""


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_truncated_video_ends_with_what_was_done(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_video(tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(whole[: len(whole) * 6 // 10])
    arguments = ["--source", str(tmp_path / f"cut{suffix}"), "--detector", f"{__name__}:find_figures"]
    arguments += ["--no-appearance", "--save", str(tmp_path / "t.mp4"), "--save-txt", str(tmp_path / "t.txt")]
    assert main([*arguments, "--save-summary", str(tmp_path / "t.json")]) == 3
    assert "breaks off after frame" in capsys.readouterr().err
    summary = json.loads((tmp_path / "t.json").read_text())
    assert not summary["complete"] and 5 < summary["frames"] < FRAMES
    assert len(frames_of(tmp_path / "t.mp4")) == summary["frames"]
    assert read_results(tmp_path / "t.txt").frame.max() == summary["frames"]


def test_a_video_without_its_end_and_an_empty_one_are_errors(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # the table of frames stands at the end
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "none.avi").write_bytes(walk.read_bytes()[:4000])  # a header, and not one frame
    (tmp_path / "folder").mkdir()
    for name in ("cut.mp4", "empty.mp4", "none.avi", "absent.mp4", "folder"):
        source = str(tmp_path / name)
        targets = ["--save", str(tmp_path / "result.mp4"), "--save-txt", str(tmp_path / "result.txt")]
        assert main(["--source", source, *targets]) == 2
        assert f"error: {'source: got ' * (name == 'absent.mp4')}{source}" in capsys.readouterr().err, name
    assert not list(tmp_path.glob("*result*"))  # neither results nor temporary files


def test_a_missing_package_is_an_error_of_one_line(walk: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    (tmp_path / "m.xml").write_text("<net/>")
    options = ["--detector", f"{__name__}:find_figures", "--save-txt", str(tmp_path / "t.txt")]
    assert main(["--source", str(walk), "--reid", str(tmp_path / "m.xml"), *options]) == 2
    assert capsys.readouterr().err.startswith("error: OpenVINO is not installed; pip install")


def test_a_folder_of_images_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for frame in range(12):
        cv2.imwrite(str(folder / f"shot {frame + 1}.png"), cv2.cvtColor(image_at(frame), cv2.COLOR_RGB2BGR))
    (folder / "notes.txt").write_text("no image")
    for (number, image), frame in zip(open_source(folder).frames(), range(12), strict=True):
        assert number == frame + 1 and np.array_equal(image, image_at(frame))
    (folder / "shot 7.png").write_bytes((folder / "shot 7.png").read_bytes()[:60])
    cv2.imwrite(str(folder / "shot 12.png"), np.full((61, 201, 3), 90, np.uint8))  # of another size
    result = track_video(config(folder, tmp_path, save=tmp_path / "t.mp4"))
    assert not result["complete"] and len(result["notes"]) == 1 and "shot 7.png" in result["notes"][0]
    assert result["frames"] == 11 and result["frame_rate"] == 25
    drawn = frames_of(tmp_path / "t.mp4")
    assert len(drawn) == 11 and drawn[-1].shape == (HEIGHT, WIDTH, 3)
    assert drawn[-1][HEIGHT // 2, WIDTH // 2].mean() == pytest.approx(90, abs=8) and drawn[-1][2].mean() < 8


def test_a_mot_sequence_keeps_its_frame_numbers_and_rate(tmp_path: Path) -> None:
    folder = tmp_path / "MOT16-77"
    (folder / "img1").mkdir(parents=True)
    (folder / "seqinfo.ini").write_text("[Sequence]\nseqLength=20\nframeRate=5\nimExt=.png\n")
    for frame in range(8, 16):
        cv2.imwrite(str(folder / "img1" / f"{frame + 1:06d}.png"), cv2.cvtColor(image_at(frame), cv2.COLOR_RGB2BGR))
    result = track_video(config(folder, tmp_path))
    assert result["frame_rate"] == 5 and result["tracks"][0]["last"] == 16 and result["tracks"][0]["first"] >= 9


def test_options_change_what_they_say(walk: Path, tmp_path: Path) -> None:
    crops = {"save_crops": tmp_path / "crops", "crop_step": 5}
    result = track_video(config(walk, tmp_path, max_frames=12, fps=4.0, tracker="sort", appearance=True, **crops))
    assert result["frames"] == 12 and result["complete"] and result["tracker"] == "sort"
    assert result["tracks"][0]["seconds"] == result["tracks"][0]["frames"] / 4
    for track in result["tracks"]:
        files = list((tmp_path / "crops" / f"{track['id']:06d}").iterdir())
        assert len(files) == -(-track["detected"] // 5)
    assert track_video(config(walk, tmp_path, detector_confidence=0.95))["tracks"] == []
    assert track_video(config(walk, tmp_path, min_confidence=0.95))["tracks"] == []
    assert track_video(config(walk, tmp_path, n_init=12, tracker="strongsort"))["tracks"][0]["frames"] < FRAMES - 9


def test_reidsort_begins_tracks_where_the_detector_is_sure(tmp_path: Path) -> None:
    def begins(detector: str, **options: Any) -> float | None:
        return config("0", tmp_path, detector=detector, **options).as_benchmark(None).new_confidence

    assert begins("hog") == 0.8 and begins("yolo:w.pt") == begins("torchvision:ssd300_vgg16=random") == 0.5
    assert begins("hog", new_confidence=0.2) == 0.2
    assert begins("det.txt") is None and begins("hog", tracker="bytetrack") is None


def test_an_embedder_is_used_where_one_is_given(walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "w.onnx"
    weights.write_bytes(b"weights")
    seen = []

    def embed(checkpoint: Any, crops: list[np.ndarray]) -> np.ndarray:
        seen.extend(crops)
        return np.array([crop.reshape(-1, 3).mean(0) / 255 for crop in crops], np.float32)

    monkeypatch.setattr("tracking.checkpoints.Checkpoint.__call__", embed)
    for tracker in ("reidsort", "strongsort"):
        result = track_video(config(walk, tmp_path, reid=weights, tracker=tracker, appearance=True))
        assert list(result["speed"]["seconds"]) == ["reading", "detector", "crops", "reid", "tracker", "writing"]
        assert len(result["tracks"]) == 2 and result["reid"] == str(weights) and result["options"]["appearance"]
    blank, people = [crop for crop in seen if not crop.any()], [crop for crop in seen if crop.any()]
    assert len(blank) == 2  # a call in each run that loads the network, ahead of the first frame
    assert len(people) == 4 * FRAMES and people[0].shape[0] == pytest.approx(50, abs=4)


def test_looks_of_people_whom_the_border_cuts_off_are_not_taken(
    walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "w.onnx"
    weights.write_bytes(b"weights")
    taken: list[tuple[Any, Any]] = []

    class Spy(ReidSort):
        def update(self, detections: Detections, frame: np.ndarray | None = None) -> Tracks:
            assert detections.embeddings is not None
            taken.append((detections.xyxy, detections.embeddings.any(axis=1)))
            return super().update(detections, frame)

    monkeypatch.setattr("tracking.checkpoints.Checkpoint.__call__", lambda _, crops: np.ones((len(crops), 4), "f4"))
    monkeypatch.setitem(TRACKERS, "reidsort", (Spy, TRACKERS["reidsort"][1]))
    monkeypatch.setattr("tracking.track_video.BORDER", 0.2)
    for border in (None, 0.1, 0.0):
        taken.clear()
        track_video(config(walk, tmp_path, reid=weights, appearance=True, border=border))
        near = {None: 0.2, 0.1: 0.1, 0.0: -1.0}[border] * HEIGHT
        for boxes, known in taken:
            for (left, _, right, bottom), is_known in zip(boxes, known):
                assert is_known == (left > near and right < WIDTH - near and bottom < HEIGHT - near)
        assert len(taken) == FRAMES and any(known.any() for _, known in taken)
        assert all(known.all() for _, known in taken) is (border == 0.0)


def test_detections_of_a_file_need_no_detector(walk: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    rows = np.array([[f + 1, -1, *box, 0.9, -1, -1, -1] for f in range(FRAMES) for box in boxes_at(f)])
    looks = np.tile(np.eye(4)[:2], (FRAMES, 1))
    np.savetxt(tmp_path / "det.txt", rows, delimiter=",")
    np.save(tmp_path / "det.npy", np.hstack([rows, looks]))
    monkeypatch.setattr("tracking.default_network.DEFAULT_REID", "zoo:nobody")
    for name, appearance in (("det.txt", False), ("det.npy", True)):
        result = track_video(config(walk, tmp_path, detector=str(tmp_path / name), appearance=True))
        assert len(result["tracks"]) == 2 and result["options"]["appearance"] is appearance
    assert capsys.readouterr().err.count("no zoo:nobody") == 1
    monkeypatch.undo()
    for appearance, network in ((True, "zoo:reidlite_distilled_world"), (False, None)):
        result = track_video(config(walk, tmp_path, detector=str(tmp_path / "det.txt"), appearance=appearance))
        assert result["reid"] == network and result["options"]["appearance"] is appearance


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"save_txt": None}, "--save-crops"),
        ({"save": "t.webm"}, ".mp4, .mkv, .avi"),
        ({"save": "same.avi"}, "would be overwritten"),
        ({"save": "t.mp4", "save_txt": "t.mp4"}, "twice"),
        ({"save_txt": "."}, "is a folder"),
        ({"save_crops": "full"}, "is not empty"),
        ({"crop_step": 2}, "--crop-step"),
        ({"save_crops": "crops", "crop_step": 0}, "crop_step"),
        ({"border": 0.1}, "--border: not used without a network"),
        ({"border": 0.6, "reid": "w.onnx"}, "border: got 0.6"),
        ({"max_frames": 0}, "max_frames"),
        ({"fps": 0.0}, "fps"),
        ({"tracker": "strongsort++"}, "strongsort\\+\\+"),
        ({"tracker": "nothing"}, "bytetrack"),
        ({"tracker": "sort", "ema": True, "appearance": True}, "--ema"),
        ({"detector": "nothing"}, "yolo:WEIGHTS"),
        ({"gate_fmr": 0.1, "appearance": True}, "--gate-fmr"),
        ({"reid": "absent.onnx", "appearance": True}, "absent.onnx is no file"),
    ],
)
def test_what_is_refused(options: dict[str, Any], words: str, walk: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    source = tmp_path / "same.avi"
    source.write_bytes(walk.read_bytes())
    paths = ("save", "save_txt", "save_crops", "reid")
    options = {name: tmp_path / value if name in paths and value else value for name, value in options.items()}
    with pytest.raises(ValueError, match=words):
        track_video(config(source, tmp_path, **options))
    assert source.read_bytes() == walk.read_bytes() and not (tmp_path / "t.txt").exists()


def test_an_error_in_the_middle_leaves_no_file(walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.txt").write_text("earlier")
    calls, real = [], find_figures

    def fail(image: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 5:
            raise ValueError("broken detector")
        return real(image)

    monkeypatch.setattr(sys.modules[__name__], "find_figures", fail)
    with pytest.raises(ValueError, match="broken detector"):
        track_video(config(walk, tmp_path, save=tmp_path / "t.mp4"))
    assert len(calls) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"] and (tmp_path / "t.txt").read_text() == "earlier"


def test_a_signal_ends_with_what_was_done(walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = [], find_figures

    def stop(image: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 9:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        return real(image)

    monkeypatch.setattr(sys.modules[__name__], "find_figures", stop)
    before = signal.getsignal(signal.SIGINT)
    result = track_video(config(walk, tmp_path, save=tmp_path / "t.mp4"))
    assert result["frames"] == 9 and not result["complete"] and "stopped after 9 frames" in result["notes"][0]
    assert len(frames_of(tmp_path / "t.mp4")) == 9 and signal.getsignal(signal.SIGINT) is before


def test_colours_belong_to_identities() -> None:
    image = np.full((200, 300, 3), 128, np.uint8)
    annotate = TrackAnnotator(200, 300)
    for track_id in (1, 2, 7, 123456):
        box = np.array([[100.0, 60, 140, 160]])
        drawn = annotate(image, Tracks(box, np.array([track_id]), np.ones(1), np.zeros(1)))
        assert drawn[160, 120, ::-1].tolist() == list(track_colour(track_id % 360))
    assert image.min() == image.max() == 128


def test_summary_counts_guessed_places_apart() -> None:
    summary = TrackSummary(rate=2)
    box = np.array([[0.0, 0, 10, 20]])
    for frame, (shift, index, confidence) in enumerate([(0, 0, 0.5), (3, -1, 0.5), (6, 0, 1.0)], start=4):
        summary.add(frame, Tracks(box + shift, np.array([9]), np.array([confidence]), np.zeros(1), np.array([index])))
    row = summary.rows()[0]
    assert (row["id"], row["frames"], row["detected"], row["first"], row["last"], row["seconds"]) == (
        9,
        3,
        2,
        4,
        6,
        1.5,
    )
    assert row["mean_confidence"] == 0.75 and row["path_length"] == pytest.approx(2 * 18**0.5, abs=0.1)


def test_rate_is_that_of_the_last_frames() -> None:
    rate = RecentRate()
    assert rate.tick(0) == 0 and rate.tick(0.5) == 2
    for frame in range(40):
        recent = rate.tick(1 + frame / 10)
    assert recent == pytest.approx(10)


def test_the_command_runs_hog_and_says_what_it_wrote(
    repository: Path, run_python: Run, walk: Path, tmp_path: Path
) -> None:
    options = ["--source", walk, "--max-frames", 4, "--save", "t.mp4", "--save-summary", "t.json"]
    done = run_python(repository / "tracking/track_video.py", *options, cwd=tmp_path)
    assert "4 frames, " in done.stdout and "wrote t.mp4" in done.stdout and "no --reid" in done.stderr
    assert len(frames_of(tmp_path / "t.mp4")) == 4
