import numpy as np
import pytest

from tracking import build_tracker
from tracking.detections import Detections


def frame(*lefts: float, confidence: float = 0.9) -> Detections:
    return Detections.from_xyxy([[x, 50, x + 40, 150] for x in lefts], np.full(len(lefts), confidence))


def test_two_people_keep_their_identities() -> None:
    tracker = build_tracker("sort")
    for step in range(20):
        tracks = tracker.update(frame(10 + 3 * step, 300 - 3 * step))
        assert tracks.track_id.tolist() == [1, 2]
        np.testing.assert_allclose(tracks.xyxy[0], [10 + 3 * step, 50, 50 + 3 * step, 150], atol=4)


def test_a_newcomer_needs_n_init_detections() -> None:
    tracker = build_tracker("sort")
    for _ in range(5):
        tracker.update(frame(10))
    assert [len(tracker.update(frame(10, 300))) for _ in range(4)] == [1, 1, 2, 2]


@pytest.mark.parametrize(("max_age", "expected"), [(1, 2), (2, 1)])
def test_max_age(max_age: int, expected: int) -> None:
    tracker = build_tracker("sort", max_age=max_age)
    for detections in [frame(10)] * 5 + [frame()] * 2 + [frame(10)] * 3:
        tracks = tracker.update(detections)
    assert tracks.track_id.tolist() == [expected]


def test_options_act_and_empty_frames_pass() -> None:
    tracker = build_tracker("sort", min_confidence=0.95)
    assert len(tracker.update(frame(10))) == 0 and len(tracker.update(Detections.empty())) == 0
    assert len(build_tracker("sort").update(Detections.from_xyxy([[5, 5, 5, 9]]))) == 0
    for min_iou, ids in ((0.3, [2]), (0.1, [1])):
        tracker = build_tracker("sort", min_iou=min_iou)
        tracker.update(frame(10))
        assert tracker.update(frame(36)).track_id.tolist() == ids  # IoU 14 / 66
    tracker.reset()
    assert tracker.update(frame(500)).track_id.tolist() == [1]


def test_shrinking_boxes_stay_finite() -> None:
    tracker = build_tracker("sort", max_age=100)
    for size in (100, 60, 30, 10, 3):
        tracker.update(Detections.from_xyxy([[50, 50, 50 + size, 50 + size]]))
    for _ in range(60):
        tracker.update(Detections.empty())
    assert np.isfinite(tracker._table.state).all() and (tracker._table.position()[:, 2] > 0).all()
