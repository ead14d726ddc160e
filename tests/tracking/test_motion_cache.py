"""The camera's motion kept on disk: exact, known by its images, and enough for a tracker without them."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import tracking.motion_cache
from tracking import build_tracker
from tracking.camera_motion import CameraMotion, FlowMotion
from tracking.images import read_frame
from tracking.mot16_benchmark import Mot16BenchmarkConfig, run_benchmark
from tracking.motion_cache import camera_motions
from tracking.runner import TrackedSequence, track_sequence
from tracking.sequences import read_sequence
from tracking.sources import det_txt_source

FRAMES = 8


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A sequence of a textured scene in which two boxes stand, seen by a camera that moves."""
    folder = tmp_path / "train" / "MOT16-05"
    for part in ("img1", "gt", "det"):
        (folder / part).mkdir(parents=True)
    scene = np.random.default_rng(0).integers(0, 255, (12, 14, 3)).astype(np.uint8)
    scene = cv2.resize(scene, (700, 600), interpolation=cv2.INTER_CUBIC)
    truth, found = "", ""
    for frame in range(1, FRAMES + 1):
        x, y = 6 * frame, 3 * frame
        Image.fromarray(scene[y : y + 480, x : x + 600]).save(folder / "img1" / f"{frame:06d}.bmp")
        for person, (left, top) in enumerate([(100, 90), (330, 120)], start=1):
            truth += f"{frame},{person},{left - x},{top - y},60,150,1,1,1\n"
            found += f"{frame},-1,{left - x},{top - y},60,150,0.9\n"
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname=MOT16-05\nseqLength={FRAMES}\nimExt=.bmp\n")
    (folder / "gt" / "gt.txt").write_text(truth)
    (folder / "det" / "det.txt").write_text(found)
    return tmp_path


def assert_same(first: TrackedSequence, second: TrackedSequence) -> None:
    for name in ("frame", "track_id", "xywh", "confidence", "detection"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("method", ["strongsort", "deepsort", "botsort", "deepocsort"])
def test_a_tracker_does_with_motions_what_it_does_with_images(world: Path, method: str) -> None:
    sequence = read_sequence(world / "train" / "MOT16-05")
    tracker = build_tracker(method, appearance=False, camera_motion=True, n_init=1, min_confidence=0.1)
    found, frames = det_txt_source(sequence.folder / "det" / "det.txt", "a"), sequence.frames.tolist()
    estimator = type(tracker).motion_estimator
    motions = camera_motions("a", sequence.images, frames, estimator, world / "cache")
    np.testing.assert_array_equal(motions[0], np.eye(2, 3))
    assert (np.abs(motions[1:, :, 2] - [-6, -3]) < 1).all()
    live = estimator()
    for motion, frame in zip(motions, frames):
        np.testing.assert_array_equal(motion, live.estimate(read_frame(sequence.images[frame])))
    with_images = track_sequence(tracker, found, frames, sequence.images)
    assert_same(with_images, track_sequence(tracker, found, frames, motions=motions))
    still = track_sequence(tracker, found, frames, motions=np.tile(np.eye(2, 3), (FRAMES, 1, 1)))
    # Deep OC-SORT returns the detections' own boxes, which no motion changes.
    assert method == "deepocsort" or not np.array_equal(still.xywh, with_images.xywh)
    with pytest.raises(ValueError, match=r"motions: got \(1, 2, 3\), allowed: \(8, 2, 3\)"):
        track_sequence(tracker, found, frames, motions=motions[:1])


def test_each_method_forgets_its_image_when_it_is_given_a_motion() -> None:
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    for estimator in (CameraMotion(), FlowMotion()):
        estimator.estimate(image)
        motion = np.array([[1, 0, 5.0], [0, 1, 7.0]])
        assert estimator.estimate(motion) is motion
        np.testing.assert_array_equal(estimator.estimate(np.roll(image, 9, axis=1)), np.eye(2, 3))
        with pytest.raises(ValueError, match="frame: got int64"):
            estimator.estimate(np.zeros((2, 3), np.int64))


def test_the_fingerprint_knows_images_frames_and_method(world: Path, capsys) -> None:
    sequence = read_sequence(world / "train" / "MOT16-05")
    cache = world / "cache"

    def files(frames: list[int], estimator: type = CameraMotion) -> int:
        camera_motions("a", sequence.images, frames, estimator, cache)
        return len(list(cache.glob("a-motions-*.npz")))

    assert files([1, 2, 3]) == files([1, 2, 3]) == 1
    assert files([1, 3]) == 2
    assert files([1, 2, 3], FlowMotion) == 3
    os.utime(sequence.images[2], ns=(1, 1))
    assert files([1, 2, 3]) == 4
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert files([1, 2, 3]) == 4 and "is damaged" in capsys.readouterr().err
    with pytest.raises(ValueError, match="a: frame 9 and 0 more have no image"):
        files([1, 9])


def test_a_second_tracker_opens_no_image(world: Path, monkeypatch) -> None:
    opened = []
    monkeypatch.setattr(tracking.motion_cache, "read_frame", lambda path: opened.append(path) or read_frame(path))

    def run(out: str, *methods: str, **options) -> Path:
        shared = {"appearance": False, "camera_motion": True, "cache": world / "cache", "tracking_method": methods}
        run_benchmark(Mot16BenchmarkConfig(gt=world / "train", out=world / out, **{**shared, **options}))
        return world / out

    first = run("a", "strongsort", "deepsort")
    assert len(opened) == FRAMES  # both take ECC
    run("b", "botsort", "deepocsort")
    assert len(opened) == 2 * FRAMES
    second = run("c", "strongsort", max_age=7)
    assert len(opened) == 2 * FRAMES
    shutil.rmtree(world / "train" / "MOT16-05" / "img1")
    third = run("d", "strongsort")
    assert len(opened) == 2 * FRAMES
    texts = [(folder / "strongsort" / "MOT16-05.txt").read_text() for folder in (first, second, third)]
    assert texts[0] == texts[1] == texts[2] and texts[0]
    with pytest.raises(ValueError, match="no images, which camera_motion needs"):
        run("e", "strongsort", cache=world / "other")
