"""The log of decisions changes none of them, and holds the costs of every pair that a tracker made."""

import numpy as np
import pytest

from tracking import TRACKERS, build_tracker
from tracking.decisions import record_decisions
from tracking.detections import Detections
from tracking.runner import track_sequence
from tracking.sources import SequenceDetections


@pytest.fixture(scope="module")
def crowd(crossing_crowd: list[Detections]) -> SequenceDetections:
    counts = [len(detections) for detections in crossing_crowd]
    boxes = np.concatenate([detections.xyxy for detections in crossing_crowd]).astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    confidence = np.concatenate([detections.confidence for detections in crossing_crowd])
    confidence[::7] = 0.05  # which trackers leave out, so that their own indices differ from the given ones
    looks = np.concatenate([detections.embeddings for detections in crossing_crowd])
    frame = np.repeat(np.arange(1, len(counts) + 1), counts)
    return SequenceDetections("crowd", frame, boxes, confidence, looks, len(counts))


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_the_log_holds_all_pairs_and_changes_nothing(name: str, crowd: SequenceDetections) -> None:
    frames = list(range(1, crowd.length + 1))
    plain = track_sequence(build_tracker(name, min_confidence=0.1), crowd, frames)
    tracker = build_tracker(name, min_confidence=0.1)
    assert tracker.decisions is None
    log, progress = record_decisions(tracker, frames)
    logged = track_sequence(tracker, crowd, frames, progress=progress)
    for field in ("frame", "track_id", "xywh", "detection"):
        np.testing.assert_array_equal(getattr(plain, field), getattr(logged, field))
    assert sorted(log.frames) == frames
    explained = 0
    for frame, earlier in zip(frames[1:], frames):
        now, before = log.frames[frame], log.frames[earlier]
        for identity, met in zip(now.track_id.tolist(), now.detection.tolist()):
            if met < 0 or before.met(identity) is None:
                continue  # not seen, or new
            pairs = [(stage, stage.pair(identity, met)) for stage in now.stages]
            assert any(pair is not None and pair["cost"] <= stage.limit for stage, pair in pairs), (frame, identity)
            assert now.holder(met) == identity
            explained += 1
    assert explained > 500
    rows = np.flatnonzero(logged.detection >= 0)
    first = np.searchsorted(crowd.frame, logged.frame[rows])
    for row, start in zip(rows.tolist(), first.tolist()):
        assert log.frames[int(logged.frame[row])].met(int(logged.track_id[row])) == logged.detection[row] - start


def test_parts_explain_the_cost(crowd: SequenceDetections) -> None:
    tracker = build_tracker("strongsort", min_confidence=0.1)
    frames = list(range(1, 60))
    log, progress = record_decisions(tracker, frames)
    track_sequence(tracker, crowd, frames, progress=progress)
    stages = [stage for frame in log.frames.values() for stage in frame.stages]
    looks = [stage for stage in stages if stage.name == "looks and motion"]
    assert looks and {stage.name for stage in stages} == {"looks and motion", "overlap"}
    for stage in looks:
        cosine, motion = stage.parts["cosine distance"], stage.parts["Mahalanobis distance squared"]
        allowed = motion <= tracker.options.gate
        np.testing.assert_allclose(stage.cost[allowed], (0.98 * cosine + 0.02 * motion)[allowed])
        assert (stage.cost[~allowed] == 1e5).all() and stage.limit == pytest.approx(0.35)
    assert log.frames[1].stages == [] and log.frames[1].holder(-1) is None and log.frames[1].met(999) is None


def test_identities_that_come_back_are_in_the_log() -> None:
    look, other = np.eye(2)
    frame, boxes, looks = [], [], []
    for number in (*range(1, 20), *range(140, 150)):
        for place, one in ((100, look), (500, other)):
            if place == 500 or number < 20 or number >= 140:
                frame.append(number)
                boxes.append([place, 100, 40, 100])
                looks.append(one)
    source = SequenceDetections(
        "x", np.array(frame), np.array(boxes, float), np.full(len(frame), 0.9), np.array(looks), 149
    )
    tracker = build_tracker("reidsort")
    frames = list(range(1, 150))
    log, progress = record_decisions(tracker, frames)
    tracked = track_sequence(tracker, source, frames, progress=progress)
    assert set(tracked.track_id.tolist()) == {1, 2}
    stages = [
        stage for decisions in log.frames.values() for stage in decisions.stages if stage.name == "re-entry by look"
    ]
    assert stages and min(stage.cost.min() for stage in stages) <= tracker.options.max_reentry
