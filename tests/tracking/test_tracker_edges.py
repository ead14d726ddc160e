"""Edges of what detectors and files give: confidences of 0 and 1, empty, repeated and missing frames, extreme sizes."""

from pathlib import Path

import numpy as np
import pytest

from reid.data.mot import read_results, write_results
from reid.embed_boxes import embed_boxes
from tracking import TRACKERS, build_tracker, tracker_options
from tracking.detections import Detections
from tracking.kalman import COVARIANCE, VARIANCE, VELOCITY_VARIANCE
from tracking.look_calibration import PRIOR_SAME
from tracking.runner import track_sequence
from tracking.sources import SequenceDetections

PEOPLE = 6
BOXES = np.array([[150.0 * place, 100, 150.0 * place + 45, 220] for place in range(PEOPLE)])
LOOKS = np.eye(PEOPLE, 8)


def built(name: str, **options: object):
    known = {key: value for key, value in options.items() if key in tracker_options(name)}
    return build_tracker(name, **{"min_confidence": 0.0, "n_init": 1, **known})


def crowd(confidence: float = 0.9, shift: float = 0.0) -> Detections:
    return Detections.from_xyxy(BOXES + shift * np.array([1, 0, 1, 0]), np.full(PEOPLE, confidence), LOOKS)


def assert_sound(tracker, tracks) -> None:
    assert len(set(tracks.track_id.tolist())) == len(tracks) and np.isfinite(tracks.xyxy).all()
    state = tracker.table.state
    # SORT's aspect ratio has no velocity, so nothing to go with it either.
    determinant = state[VARIANCE] * state[VELOCITY_VARIANCE] - state[COVARIANCE] ** 2
    assert np.isfinite(state).all() and (state[VARIANCE] > 0).all()
    assert (determinant[state[VELOCITY_VARIANCE] > 0] > 0).all()


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_confidence_0_and_1(name: str) -> None:
    options = {"nsa": "released", "high_confidence": -1.0, "new_confidence": -1.0}
    tracker = built(name, **options)
    for step in range(60):
        tracks = tracker.update(crowd(float(step // 5 % 2), 0.5 * step))
        assert tracks.track_id.tolist() == list(range(1, PEOPLE + 1)), step
        assert_sound(tracker, tracks)


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_confidence_at_the_limit_counts(name: str) -> None:
    limit = float(np.float32(0.3))
    tracker = built(name, min_confidence=limit, high_confidence=-1.0, new_confidence=-1.0)
    assert len(tracker.update(crowd(limit))) == PEOPLE
    tracker.reset()
    assert len(tracker.update(crowd(0.29))) == 0


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_the_same_frame_again_and_again(name: str) -> None:
    tracker = built(name)
    for _ in range(300):
        tracks = tracker.update(crowd())
        assert tracks.track_id.tolist() == list(range(1, PEOPLE + 1))
    np.testing.assert_allclose(tracks.xyxy, BOXES, atol=0.5)
    assert_sound(tracker, tracks)


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_hundreds_of_empty_frames(name: str) -> None:
    tracker = built(name)
    for _ in range(5):
        tracker.update(crowd())
    for step in range(400):
        tracks = tracker.update(Detections.empty(8) if step % 2 else Detections.empty())
        assert_sound(tracker, tracks)
    assert len(tracks) == 0 and len(tracker.table) == 0
    later = tracker.update(crowd())
    assert len(later) == PEOPLE and later.track_id.min() > PEOPLE
    tracker.reset()
    assert tracker.update(crowd()).track_id.tolist() == list(range(1, PEOPLE + 1))


@pytest.mark.parametrize("wide", [False, True], ids=["no-columns", "zeros"])
@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_frames_without_any_look_keep_tracks_and_their_looks(name: str, wide: bool) -> None:
    tracker, nothing = built(name), np.zeros((PEOPLE, 8 if wide else 0))
    for step in range(30):
        found = crowd(shift=0.5 * step)
        if step < 8 or step % 3 == 0 or 12 < step < 20:
            found = Detections.from_xyxy(found.xyxy, found.confidence, nothing)
        tracks = tracker.update(found)
        assert tracks.track_id.tolist() == list(range(1, PEOPLE + 1)), step
        tracker.update(Detections.empty(step % 2 * 5) if step == 9 else found)
    for memory in (tracker.table.extra[key] for key in ("embedding", "look", "slow") if key in tracker.table.extra):
        recent = memory if memory.ndim == 2 else memory.max(axis=1)  # a gallery keeps places that were never filled
        np.testing.assert_allclose(recent, LOOKS, atol=1e-6)


def test_a_gallery_keeps_its_looks_through_unknown_ones() -> None:
    tracker = built("deepsort", gallery_size=3)
    for step in range(10):
        looks = LOOKS if step < 3 else 0 * LOOKS
        tracker.update(Detections.from_xyxy(BOXES, np.full(PEOPLE, 0.9), looks))
    np.testing.assert_array_equal(tracker.table.extra["embedding"], np.repeat(LOOKS[:, None], 3, axis=1))


def test_reidsort_learns_nothing_from_tracks_without_looks() -> None:
    tracker = built("reidsort")
    for step in range(12):
        tracker.update(Detections.from_xyxy(BOXES, np.full(PEOPLE, 0.9), LOOKS if step == 11 else 0 * LOOKS))
    assert tracker._looks.same == pytest.approx(PRIOR_SAME)


@pytest.mark.parametrize("name", [name for name in sorted(TRACKERS) if "appearance" in tracker_options(name)])
def test_boxes_that_cannot_be_embedded_break_no_tracker(name: str) -> None:
    def embed(crops):
        return np.stack([crop.mean(axis=(0, 1)) + 1 for crop in crops])

    frame, outside = np.full((60, 80, 3), 128, np.uint8), np.array([[200.0, 0, 220, 20]])
    tracker = built(name)
    for step in range(9):
        boxes = outside if step % 4 == 0 else np.concatenate([outside, [[5.0, 5, 25, 45]]])
        looks = embed_boxes(embed, [frame], [boxes])[0].embeddings
        tracks = tracker.update(Detections.from_xyxy(boxes, np.full(len(boxes), 0.9), looks))
        assert tracks.track_id[0] == 1 and np.isfinite(tracks.xyxy).all(), step


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_gaps_in_frame_numbers_are_no_time(name: str) -> None:
    numbers = [*range(1, 9), *range(5000, 5009), 2**40]
    frame = np.repeat(numbers, PEOPLE)
    xywh = np.tile(np.concatenate([BOXES[:, :2], BOXES[:, 2:] - BOXES[:, :2]], axis=1), (len(numbers), 1))
    looks = np.tile(LOOKS, (len(numbers), 1)).astype(np.float32)
    source = SequenceDetections("x", frame, xywh, np.full(len(frame), 0.9), looks, 2**40)
    tracked = track_sequence(built(name), source, numbers)
    assert set(tracked.track_id.tolist()) == set(range(1, PEOPLE + 1))
    assert sorted(set(tracked.frame.tolist())) == numbers


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_sizes_from_a_thousandth_of_a_pixel_to_a_million(name: str) -> None:
    size = 10.0 ** np.arange(-3, 7)
    left = np.cumsum(3 * size)
    boxes = np.stack([left, np.zeros(len(size)), left + size, 2 * size], axis=1)
    detections, skipped = Detections.from_raw(boxes, np.full(len(size), 0.9), np.eye(len(size)))
    assert skipped == 0
    tracker = built(name)
    for _ in range(40):
        tracks = tracker.update(detections)
        assert_sound(tracker, tracks)
    assert len(tracks) >= 6


def test_identities_beyond_32_bits_are_written_and_read(tmp_path: Path) -> None:
    track_id = np.array([2**31 - 1, 2**31, 2**53 - 1])
    xywh = np.array([[1.0, 2, 3, 4]] * 3)
    write_results(tmp_path / "A.txt", np.array([1, 2, 3]), track_id, xywh, np.ones(3))
    np.testing.assert_array_equal(read_results(tmp_path / "A.txt").track_id, track_id)
