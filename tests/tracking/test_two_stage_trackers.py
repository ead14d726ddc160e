"""ByteTrack, BoT-SORT and DeepSORT, by hand."""

import numpy as np
import pytest

from tracking import build_tracker
from tracking.boxes import cxywh_to_xyxy, xyxy_to_cxywh
from tracking.camera_motion import move_boxes, move_state
from tracking.detections import Detections
from tracking.kalman import POSITION, VARIANCE, XYAH, XYSR, XYWH, KalmanFilter


def frame(*people: tuple[float, float], looks: list[list[float]] | None = None) -> Detections:
    """Left edge and confidence of each box."""
    return Detections.from_xyxy([[x, 50, x + 40, 150] for x, _ in people], [c for _, c in people], looks)


@pytest.mark.parametrize("name", ["bytetrack", "botsort"])
def test_weak_detections_keep_tracks_and_begin_none(name: str) -> None:
    options = {} if name == "bytetrack" else {"appearance": False}
    tracker = build_tracker(name, **options)
    frames = [*[frame((10, 0.9))] * 3, *[frame((10, 0.3), (300, 0.3))] * 3, frame((10, 0.9))]
    assert [tracker.update(detections).track_id.tolist() for detections in frames] == [[1]] * 7
    tracker = build_tracker(name, **options)
    # Between strong (0.6) and new (0.7): no track; below min_confidence: nothing.
    assert [len(tracker.update(frame((10, 0.65)))) for _ in range(4)] == [0] * 4
    tracker = build_tracker(name, **options)
    tracker.update(frame((10, 0.9)))
    assert len(tracker.update(frame((10, 0.05)))) == 0


@pytest.mark.parametrize("name", ["bytetrack", "botsort"])
def test_a_newcomer_needs_two_frames_but_not_in_the_first(name: str) -> None:
    tracker = build_tracker(name, **({} if name == "bytetrack" else {"appearance": False}))
    assert len(tracker.update(frame((10, 0.9)))) == 1
    assert [len(tracker.update(frame((10, 0.9), (300, 0.9)))) for _ in range(2)] == [1, 2]


def test_a_lost_track_is_found_again_within_max_age() -> None:
    for gap, expected in ((30, [1]), (31, [])):
        tracker = build_tracker("bytetrack")
        for detections in [*[frame((10, 0.9))] * 3, *[frame()] * gap, frame((10, 0.9))]:
            tracks = tracker.update(detections)
        assert tracks.track_id.tolist() == expected


def test_botsort_takes_the_smaller_of_overlap_and_look() -> None:
    # Both boxes overlap both tracks; by overlap alone they stay, by looks they swap.
    for options, expected in (({}, [2, 1]), ({"appearance": False}, [1, 2]), ({"max_iou_distance": 0.1}, [1, 2])):
        tracker = build_tracker("botsort", **options)
        for _ in range(4):
            tracker.update(frame((100, 0.9), (116, 0.9), looks=[[1, 0], [0, 1]]))
        tracks = tracker.update(frame((104, 0.9), (112, 0.9), looks=[[0, 1], [1, 0]]))
        at = [int(tracks.track_id[np.abs(tracks.xyxy[:, 0] - x).argmin()]) for x in (104, 112)]
        # A look that agrees is no cost at all: 0.5 * 0 < 1 - IoU.
        assert at == expected, options


def test_botsort_remembers_strong_looks_only() -> None:
    tracker = build_tracker("botsort")
    tracker.update(frame((10, 0.9), looks=[[1, 0]]))
    tracker.update(frame((10, 0.3), looks=[[0, 1]]))
    np.testing.assert_array_equal(tracker._table.extra["embedding"], [[1, 0]])
    tracker.update(frame((10, 0.9), looks=[[0, 1]]))
    np.testing.assert_allclose(tracker._table.extra["embedding"], [[0.9, 0.1]] / np.hypot(0.9, 0.1), rtol=1e-6)


def test_deepsort_is_strongsort_with_its_options() -> None:
    deepsort = build_tracker("deepsort")
    same = build_tracker("strongsort", ema=False, motion_cost=False, nsa="off", cascade=True)
    assert vars(deepsort.options) == vars(same.options)


def test_the_camera_moves_boxes_and_states() -> None:
    angle, zoom = np.deg2rad(30), 1.2
    motion = np.array([[np.cos(angle), -np.sin(angle), 5.0], [np.sin(angle), np.cos(angle), -3.0]])
    motion[:, :2] *= zoom
    boxes = np.array([[10.0, 20.0, 50.0, 120.0]])
    moved = move_boxes(boxes, motion)
    centre = motion[:, :2] @ [30, 70] + motion[:, 2]
    np.testing.assert_allclose(moved[0], np.concatenate([centre - np.array([24, 60]), centre + np.array([24, 60])]))
    expected = {XYWH: [48, 120], XYAH: [0.4, 120], XYSR: [48 * 120, 0.4]}
    for model, size in expected.items():
        start = {XYWH: [30, 70, 40, 100], XYAH: [30, 70, 0.4, 100], XYSR: [30, 70, 4000, 0.4]}[model]
        state = KalmanFilter(model).initiate(np.array([start], float))
        before = state[VARIANCE, 0].copy()
        move_state(state, motion, model)
        np.testing.assert_allclose(state[POSITION, 0], [*centre, *size])
        np.testing.assert_allclose(state[VARIANCE, 0, :2], before[:2] * zoom**2)
    np.testing.assert_allclose(cxywh_to_xyxy(xyxy_to_cxywh(boxes)), boxes)
