"""ReidSort's own parts, by hand."""

import numpy as np
import pytest

from tracking import build_tracker
from tracking.detections import Detections
from tracking.look_calibration import PRIOR_OTHER, PRIOR_SAME, LookCalibration
from tracking.occlusion import hidden_share


def frame(*people: tuple[float, int], y: float = 50.0, confidence: float = 0.9) -> Detections:
    """Left edge and look of each box, 40 x 100."""
    looks = np.eye(8)[[look for _, look in people]].reshape(-1, 8)
    return Detections.from_xyxy([[x, y, x + 40, y + 100] for x, _ in people], [confidence] * len(people), looks)


def test_calibration_learns_where_the_line_runs() -> None:
    calibration = LookCalibration()
    assert calibration.different(np.array([0.5 * (PRIOR_SAME + PRIOR_OTHER)]))[0] == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    same, other = rng.normal(0.5, 0.05, 4000), rng.normal(0.8, 0.05, 4000)
    for step in range(0, 4000, 100):
        calibration.learn(same[step : step + 100], other[step : step + 100])
    assert calibration.same == pytest.approx(0.5, abs=0.01) and calibration.other == pytest.approx(0.8, abs=0.01)
    low, middle, high = calibration.different(np.array([0.5, 0.65, 0.8]))
    assert low < 0.05 and middle == pytest.approx(0.5, abs=0.1) and high > 0.95
    # Odds of two normal densities of one spread, the prior's 20 pairs aside.
    spread = np.sqrt(0.5 * (same.var() + other.var()))
    odds = np.exp(((0.6 - 0.5) ** 2 - (0.6 - 0.8) ** 2) / (2 * spread**2))
    assert calibration.different(np.array([0.6]))[0] == pytest.approx(odds / (1 + odds), abs=0.05)


def test_hidden_share_by_hand() -> None:
    behind, front, beside = [0, 0, 40, 100], [20, 10, 60, 110], [500, 0, 540, 100]
    np.testing.assert_allclose(hidden_share(np.array([behind, front, beside], float)), [0.5 * 0.9, 0, 0])
    np.testing.assert_allclose(hidden_share(np.array([behind], float), np.array([front, beside], float)), [0.45])
    assert hidden_share(np.empty((0, 4))).shape == (0,)
    np.testing.assert_array_equal(hidden_share(np.array([behind], float), np.empty((0, 4))), [0])


def learnt(tracker) -> None:
    """Two other people, who let the tracker learn what distances mean."""
    for step in range(60):
        tracker.update(frame((2000 + step, 5), (3000 - step, 6)))


def test_a_lost_person_comes_back_by_look_alone() -> None:
    for options, same in (({}, True), ({"gallery_age": 0}, False)):
        tracker = build_tracker("reidsort", max_age=5, **options)
        learnt(tracker)
        for _ in range(12):
            first = tracker.update(frame((100, 0)))
        for _ in range(40):
            tracker.update(frame())
        for _ in range(3):
            tracks = tracker.update(frame((300, 0)))
        assert (tracks.track_id.tolist() == first.track_id.tolist()) is same
    for _ in range(12):
        other = tracker.update(frame((700, 3)))
    assert other.track_id.tolist() != first.track_id.tolist()


def test_a_hidden_person_is_returned_behind_the_one_in_front() -> None:
    for options, count in (({}, 2), ({"coast_hidden": 0}, 1)):
        tracker = build_tracker("reidsort", **options)
        behind, front = [100, 40, 140, 140], [110, 50, 150, 150]
        edges = [[0, 0, 40, 100], [600, 300, 640, 400]]  # tell how large the image is
        looks = np.eye(8)[:4]
        for _ in range(6):
            tracker.update(Detections.from_xyxy([behind, front, *edges], [0.9] * 4, looks))
        for _ in range(5):
            tracks = tracker.update(Detections.from_xyxy([front, *edges], [0.9] * 3, looks[1:]))
        near = tracks.xyxy[(np.abs(tracks.xyxy[:, 0] - 105) < 20)]
        assert len(near) == count


def test_the_unseen_move_with_the_common_motion() -> None:
    place = {}
    for common in (True, False):
        tracker = build_tracker("reidsort", common_motion=common, coast=20)
        everyone = [(100.0 * k, k % 8) for k in range(7)]
        for _ in range(6):
            tracker.update(frame(*everyone))
        for step in range(1, 6):  # the camera turns; number 4 is not seen
            tracks = tracker.update(frame(*[(x + 8 * step, look) for x, look in everyone if x != 300]))
        place[common] = tracks.xyxy[tracks.track_id == 4][0, 0]
    assert abs(place[True] - 340) < 5 and abs(place[False] - 300) < 5


def test_no_track_begins_on_top_of_another() -> None:
    for options, count in (({}, 1), ({"max_duplicate": 1.0}, 2)):
        tracker = build_tracker("reidsort", appearance=False, **options)
        tracker.update(frame((100, 0)))
        for _ in range(5):
            tracks = tracker.update(frame((100, 0), (103, 0)))
        assert len(tracks) == count
