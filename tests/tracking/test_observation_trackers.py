"""OC-SORT and Deep OC-SORT, by hand and against plain loops."""

import math

import cv2
import numpy as np
import pytest

from tracking import build_tracker
from tracking.boxes import xysr_to_xyxy, xyxy_to_xysr
from tracking.deepocsort import distinctiveness
from tracking.detections import Detections
from tracking.kalman import VELOCITY, XYSR, KalmanFilter
from tracking.observations import (
    direction_agreement,
    directions,
    earlier_observation,
    first_history,
    next_frame,
    replayed_states,
)


def box(x: float, y: float = 50.0) -> list[float]:
    return [x, y, x + 40, y + 100]


def frame(*lefts: float, looks: list[list[float]] | None = None) -> Detections:
    return Detections.from_xyxy([box(x) for x in lefts], np.full(len(lefts), 0.9), looks)


def test_history_gives_the_oldest_observation_it_has() -> None:
    history = first_history(np.array([box(0), box(500)]), 3)
    last = history[:, 0].copy()
    np.testing.assert_array_equal(earlier_observation(history, last), last)
    for step in range(1, 6):
        next_frame(history)
        history[0, 0] = box(10 * step)
        if step == 1:
            np.testing.assert_array_equal(earlier_observation(history, last)[0], box(0))
    earlier = earlier_observation(history, last)
    np.testing.assert_array_equal(earlier[0], box(20))  # three frames before frame 5
    np.testing.assert_array_equal(earlier[1], box(500))  # seen long ago only


def test_directions_and_their_agreement() -> None:
    start = np.array([box(0), box(0)])
    np.testing.assert_allclose(directions(start, np.array([box(30, 90), box(0)])), [[0.6, 0.8], [0, 0]])
    went = np.array([[1.0, 0.0], [0.0, 0.0]])
    agreement = direction_agreement(went, start, np.array([box(20), box(0, 70), box(-20), box(20, 70)]))
    np.testing.assert_allclose(agreement[0], [0.5, 0, -0.5, 0.25], atol=1e-9)
    np.testing.assert_array_equal(agreement[1], 0)


def test_re_update_equals_a_loop_over_the_virtual_boxes() -> None:
    kalman = KalmanFilter(XYSR)
    old = np.array([box(0), box(300), box(600)], float)
    new = np.array([box(60), box(340, 90), box(600)], float)
    anchors = kalman.initiate(xyxy_to_xysr(old))
    gaps = np.array([6, 3, 1])
    got = replayed_states(kalman, anchors, old, new, gaps)
    for index, gap in enumerate(gaps.tolist()):
        state = anchors[:, [index]].copy()
        for step in range(1, gap + 1):
            kalman.predict(state)
            if step < gap:
                virtual = old[[index]] + (new[[index]] - old[[index]]) * step / gap
                state = kalman.update(state, xyxy_to_xysr(virtual))
        np.testing.assert_allclose(got[:, index], state[:, 0], rtol=1e-9, atol=1e-9)


def test_re_update_changes_what_the_filter_believes() -> None:
    velocity = {}
    for re_update in (True, False):
        tracker = build_tracker("ocsort", re_update=re_update)
        for x in (0, 4, 8, 12, 16, 20):
            tracker.update(frame(x))
        for _ in range(19):
            tracker.update(frame())
        tracks = tracker.update(frame(4))  # came back: the filter had gone on to 100
        assert tracks.track_id.tolist() == [1]  # found at its last observation
        velocity[re_update] = tracker._table.state[VELOCITY, 0, 0]
    assert abs(velocity[True] - velocity[False]) > 0.1


def test_recovery_finds_who_stopped_while_hidden() -> None:
    for recovery, expected in ((True, [1]), (False, [2])):
        tracker = build_tracker("ocsort", recovery=recovery)
        for x in (0, 8, 16, 24, 32):
            tracker.update(frame(x))
        for _ in range(10):
            tracker.update(frame())
        for _ in range(3):
            tracks = tracker.update(frame(32))
        assert tracks.track_id.tolist() == expected


def test_boxes_are_the_detections_and_newcomers_wait() -> None:
    tracker = build_tracker("ocsort")
    for step in range(5):
        tracks = tracker.update(frame(3 * step))
        np.testing.assert_allclose(tracks.xyxy, [box(3 * step)])
    assert [len(tracker.update(frame(15, 300))) for _ in range(4)] == [1, 1, 2, 2]
    np.testing.assert_allclose(xysr_to_xyxy(tracker._table.position())[1], box(300), atol=1)


def test_distinctiveness() -> None:
    similarity = np.array([[0.9, 0.2, 0.1], [0.5, 0.45, 0.3]])
    got = distinctiveness(similarity, 0.5)
    row, column = [0.5, 0.05], [0.4, 0.25, 0.2]
    np.testing.assert_allclose(got, [[0.5 * (a + b) for b in column] for a in row], atol=1e-12)
    assert distinctiveness(np.array([[0.7]]), 0.5) == 0


def test_looks_decide_where_overlap_does_not() -> None:
    for appearance, expected in ((True, [2, 1]), (False, [1, 2])):
        tracker = build_tracker("deepocsort", appearance=appearance, inertia=0.0)
        for _ in range(5):
            tracker.update(frame(100, 116, looks=[[1, 0], [0, 1]]))
        tracks = tracker.update(frame(104, 112, looks=[[0, 1], [1, 0]]))
        order = [int(tracks.track_id[np.abs(tracks.xyxy[:, 0] - x).argmin()]) for x in (104, 112)]
        assert order == expected


def test_weak_detections_change_a_look_less() -> None:
    tracker = build_tracker("deepocsort", min_confidence=0.5)
    tracker.update(Detections.from_xyxy([box(0)], [0.9], [[1.0, 0.0]]))
    tracker.update(Detections.from_xyxy([box(0)], [0.75], [[0.0, 1.0]]))
    momentum = 0.95 + 0.05 * (1 - 0.5)
    expected = np.array([momentum, 1 - momentum]) / math.hypot(momentum, 1 - momentum)
    np.testing.assert_allclose(tracker._table.extra["embedding"][0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["botsort", "deepocsort"])
def test_camera_motion_follows_the_frame(name: str) -> None:
    random = np.random.default_rng(0)
    wide = cv2.GaussianBlur(random.integers(0, 256, (480, 1200, 3), dtype=np.uint8), (0, 0), 4)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    # The camera jumps by 60 pixels and the person stands still: in the image, everything moves by -60.
    ids = {}
    for camera_motion in (True, False):
        tracker = build_tracker(name, camera_motion=camera_motion, appearance=False, n_init=1)
        for offset in (0, 0, 0, 60):
            image = np.ascontiguousarray(wide[:, offset : offset + 640])
            tracks = tracker.update(frame(300 - offset), image)
        ids[camera_motion] = tracks.track_id.tolist()
        if camera_motion:
            assert abs(tracks.xyxy[0, 0] - 240) < 4
    assert ids == {True: [1], False: [2]}
    with pytest.raises(ValueError, match="frame: got None"):
        build_tracker(name, camera_motion=True, appearance=False).update(frame(1))
