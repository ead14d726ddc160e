"""No tracker fails, whatever detections come."""

import numpy as np
import pytest

from tracking import TRACKERS, build_tracker, tracker_options
from tracking.detections import Detections
from tracking.kalman import COVARIANCE, POSITION, VARIANCE, VELOCITY_VARIANCE, XYAH, XYSR, XYWH, KalmanFilter
from tracking.runner import track_sequence
from tracking.sources import SequenceDetections

SIZE = 8


def random_step(rng: np.random.Generator, people: np.ndarray) -> tuple:
    """Raw boxes, confidences and embeddings of one frame; `people` (P, 4) walk on from step to step."""
    people[:, :2] += rng.normal(0, 4, (len(people), 2))
    kind = rng.integers(0, 12)
    if kind == 0:
        return np.empty((0, 4)), np.empty(0), np.empty((0, SIZE))
    boxes = people[rng.random(len(people)) < 0.8]
    if kind == 1:  # a cut: everybody is elsewhere
        people[:, :2] = rng.uniform(-500, 2500, (len(people), 2))
    if kind == 2:
        boxes = np.concatenate([boxes, boxes[:3]])  # the same box twice
    if kind == 3:
        boxes = np.concatenate([boxes, rng.uniform(-1e3, 1e3, (5, 2)).repeat(2, 1) * [1, 1, 1e3, 1e-6]])
    boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    if kind == 4 and len(boxes) > 3:  # no size, negative size, a pixel's millionth, as large as can be
        boxes[0, 2:] = boxes[0, :2]
        boxes[1, 2:] = boxes[1, :2] - 10
        boxes[2, 2:] = boxes[2, :2] + 1e-6
        boxes[3] = [-1e7, -1e7, 1e7, 1e7]
    confidence = rng.choice([0.0, 0.05, 0.3, 0.65, 0.9, 1.0], len(boxes), p=[0.05, 0.05, 0.1, 0.1, 0.3, 0.4])
    embeddings = rng.normal(size=(len(boxes), SIZE))
    if kind == 5 and len(boxes) > 2:
        embeddings[0], embeddings[1], embeddings[2] = np.nan, 0, np.inf
        boxes[2, 0] = np.nan
    if kind == 6:
        confidence = rng.normal(0, 50, len(boxes))  # of a detector that gives scores without bounds
    return boxes, confidence, embeddings


def walk_randomly(name: str, steps: int) -> None:
    rng = np.random.default_rng(0)
    people = np.concatenate([rng.uniform(0, 900, (9, 2)), rng.uniform([15, 40], [80, 200], (9, 2))], axis=1)
    tracker = build_tracker(name)
    returned = 0
    with np.errstate(all="raise", under="ignore"):
        for step in range(steps):
            detections, _ = Detections.from_raw(*random_step(rng, people))
            tracks = tracker.update(detections)
            assert len(set(tracks.track_id.tolist())) == len(tracks), step
            assert np.isfinite(tracks.xyxy).all() and (tracks.track_id >= 1).all(), step
            assert (tracks.xyxy[:, 2:] >= tracks.xyxy[:, :2]).all(), step
            met = tracks.detection_index[tracks.detection_index >= 0]
            assert len(set(met.tolist())) == len(met) and (met < len(detections)).all(), step
            returned += len(tracks)
            if step % 997 == 996:
                tracker.reset()
    assert returned > steps


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_random_detections(name: str) -> None:
    walk_randomly(name, 150)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_ten_thousand_random_steps(name: str) -> None:
    walk_randomly(name, 10_000)


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_thousands_of_boxes_and_identities_beyond_32_bits(name: str) -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 9000, (1500, 2))
    boxes = np.concatenate([corner, corner + np.array([40, 100])], axis=1)
    crowd = Detections.from_xyxy(boxes, np.full(1500, 0.9), rng.normal(size=(1500, SIZE)))
    gallery = {"gallery_size": 10} if "gallery_size" in tracker_options(name) else {}  # a hundred need gigabytes here
    tracker = build_tracker(name, n_init=1, min_confidence=0.1, **gallery)
    tracker._table._next_id = 2**31 - 5
    for _ in range(2):
        tracks = tracker.update(crowd)
        assert len(tracks) > 1000 and len(set(tracks.track_id.tolist())) == len(tracks)
    assert tracks.track_id.max() > 2**31 and tracks.track_id.min() == 2**31 - 5


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_unknown_looks_count_as_no_look(name: str) -> None:
    if "appearance" not in tracker_options(name):
        pytest.skip(f"{name} has no appearance")
    tracker = build_tracker(name, n_init=1, min_confidence=0.1)
    box = [[100, 50, 140, 150]]
    for look in ([1.0, 0.0], [np.nan, 0.0], [1.0, 0.0]):
        detections, skipped = Detections.from_raw(box, [0.9], [look])
        assert skipped == 0
        tracks = tracker.update(detections)
        assert tracks.track_id.tolist() == [1]
    memory = tracker._table.extra["look" if name.startswith("reidsort") else "embedding"]
    np.testing.assert_allclose(memory.reshape(-1, 2)[0], [1, 0], atol=1e-6)


def test_raw_detections_are_counted() -> None:
    boxes = [[0, 0, 5, 5], [0, 0, 0, 5], [np.nan, 0, 5, 5], [0, 0, 5, 5], [0, 0, 1e39, 5], [5, 5, 1, 9]]
    detections, skipped = Detections.from_raw(boxes, [0.5, 1, 1, np.inf, 1, 1], np.ones((6, 2)))
    assert (len(detections), skipped) == (1, 5)
    with pytest.raises(ValueError, match="confidence: got 1 rows, allowed: 6"):
        Detections.from_raw(boxes, [0.5])


def test_gaps_and_repeats_in_frame_numbers() -> None:
    frame = np.array([1, 2, 3, 50, 51, 52, 52])
    xywh = np.tile([10.0, 10, 40, 100], (7, 1))
    source = SequenceDetections("x", frame, xywh, np.full(7, 0.9), None, 52)
    tracked = track_sequence(build_tracker("bytetrack"), source, [1, 2, 3, 50, 51, 52])
    assert set(tracked.track_id.tolist()) == {1} and tracked.frame.tolist() == [1, 2, 3, 50, 51, 52]
    assert tracked.detection[:5].tolist() == [0, 1, 2, 3, 4] and tracked.detection[5] in (5, 6)
    for frames in ([1, 2, 2], [2, 1]):
        with pytest.raises(ValueError, match="frames: got"):
            track_sequence(build_tracker("sort"), source, frames)


@pytest.mark.parametrize("model", [XYAH, XYSR, XYWH], ids=["xyah", "xysr", "xywh"])
def test_covariance_stays_positive_definite_over_100000_predictions(model) -> None:
    # Forty tracks at once, from a pixel high to ten thousand.
    kalman, height = KalmanFilter(model), np.logspace(0, 4, 40)
    third = np.full(40, 0.4) if model is XYAH else 0.4 * height**2 if model is XYSR else 0.4 * height
    last = np.full(40, 0.4) if model is XYSR else height
    state = kalman.initiate(np.stack([5 * height, 3 * height, third, last], axis=1))
    for _ in range(100_000):
        kalman.predict(state)
    moving = state[VELOCITY_VARIANCE] > 0  # SORT's aspect ratio has no velocity, so no covariance with it either
    determinant = state[VARIANCE] * state[VELOCITY_VARIANCE] - state[COVARIANCE] ** 2
    assert np.isfinite(state).all() and (state[VARIANCE] > 0).all() and (determinant[moving] > 0).all()
    assert moving.sum() >= 3 * 40 and (state[COVARIANCE][~moving] == 0).all() and (state[POSITION, :, 2:] > 0).all()
