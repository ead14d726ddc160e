"""Every option of every tracker changes what it returns."""

import numpy as np
import pytest

from tracking import TRACKERS, build_tracker, tracker_options
from tracking.detections import Detections

# Tracker -> options that change its outcome; pairs (options, base) compare with another base than the defaults.
_STAGES = [{"min_iou": 0.5}, {"n_init": 1}, {"n_init": 5}, {"max_age": 2}, {"min_confidence": 0.65}]
_STRONGSORT = [
    {"min_confidence": 0.3},
    {"appearance": False},
    {"max_cosine": 0.1},
    {"ema_momentum": 0.1},
    {"appearance_weight": 0.5},
    {"gate": 4.0},
    {"nsa": "released"},
    {"max_iou_distance": 0.3},
    {"n_init": 1},
    {"max_age": 2},
    {"coast": 0},
]
_OCSORT = [
    *_STAGES,
    ({"inertia": 0.0}, {"inertia": 1.0}),
    ({"delta_t": 1}, {"inertia": 1.0}),
    {"recovery": False},
]
CASES: dict[str, list] = {
    "sort": _STAGES,
    "strongsort": [*_STRONGSORT, {"ema": False}, {"motion_cost": False}, {"nsa": "off"}],
    "deepsort": [
        *[case for case in _STRONGSORT if not {"ema_momentum", "appearance_weight"} & case.keys()],
        ({"ema_momentum": 0.1}, {"ema": True}),
        ({"appearance_weight": 0.5}, {"motion_cost": True}),
        {"ema": True},
        {"gallery_size": 2},
        {"motion_cost": True},
        {"cascade": False},
    ],
    "bytetrack": [*_STAGES, {"min_iou_weak": 0.9}, {"high_confidence": 0.8}, {"new_confidence": 0.9}],
    "botsort": [
        *_STAGES,
        {"min_iou_weak": 0.9},
        {"high_confidence": 0.8},
        {"new_confidence": 0.9},
        {"appearance": False},
        ({"max_cosine": 1.0}, {"max_iou_distance": 0.9}),
        ({"max_iou_distance": 0.9}, {"max_cosine": 1.0}),
        ({"ema_momentum": 0.0}, {"max_cosine": 1.0, "max_iou_distance": 0.9}),
    ],
    "ocsort": _OCSORT,
    "reidsort": [
        {"min_confidence": 0.65},
        {"high_confidence": 0.8},
        {"new_confidence": 0.9},
        {"max_duplicate": 0.05},
        {"n_init": 1},
        {"max_age": 2},
        {"appearance": False},
        {"calibration": False},
        {"appearance_weight": 0.1},
        {"max_different": 0.3},
        {"max_cost": 0.3},
        {"gate": 4.0},
        {"quality": False},
        {"ema_momentum": 0.1},
        {"slow_momentum": 0.1},
        {"second_stage": False},
        {"min_iou": 0.8},
        ({"common_motion": False}, {"coast": 10}),
        ({"gallery_age": 0}, {"max_age": 2, "max_reentry": 0.3}),
        ({"max_reentry": 0.0}, {"max_age": 2, "max_reentry": 0.3}),
        ({"reentry_speed": 0.0}, {"max_age": 2, "max_reentry": 0.3}),
        {"coast": 0},
        {"coast_hidden": 0},
        {"min_hidden": 0.9},
    ],
    "deepocsort": [
        *_OCSORT,
        {"appearance": False},
        {"appearance_bonus": 5.0},
        {"adaptive_weight": False},
        ({"weight_limit": 0.0}, {"appearance_bonus": 0.3}),
        ({"ema_momentum": 0.0}, {"appearance_bonus": 5.0}),
        ({"dynamic_ema": False}, {"appearance_bonus": 5.0, "ema_momentum": 0.3}),
    ],
}
CASES["reidsort++"] = [{"max_age": 2}]
CASES["strongsort++"] = [{"max_age": 2}]  # StrongSORT, tested as such; offline steps have tests of their own
# The first needs a frame, the second is tested by the filter's state.
ELSEWHERE = {"camera_motion", "re_update"}
OF_STRONGSORT = {"cascade", "gallery_size"}  # tested as options of DeepSORT


def outcome(frames: list[Detections], name: str, options: dict) -> list:
    tracker = build_tracker(name, **options)
    seen = [tracker.update(frame) for frame in frames]
    return [(tracks.track_id.tolist(), np.round(tracks.xyxy, 3).tolist()) for tracks in seen]


@pytest.fixture(scope="module")
def defaults(crossing_crowd: list[Detections]) -> dict[str, list]:
    return {name: outcome(crossing_crowd, name, {}) for name in TRACKERS}


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases], ids=lambda value: str(value)
)
def test_an_option_changes_the_outcome(crossing_crowd, defaults, name: str, case) -> None:
    option, base = case if isinstance(case, tuple) else (case, {})
    expected = outcome(crossing_crowd, name, base) if base else defaults[name]
    assert outcome(crossing_crowd, name, {**base, **option}) != expected


def test_no_option_is_forgotten() -> None:
    for name in set(TRACKERS) - {"reidsort++", "strongsort++"}:
        tested = {key for case in CASES[name] for key in (case[0] if isinstance(case, tuple) else case)}
        tested |= OF_STRONGSORT if name == "strongsort" else set()
        assert set(tracker_options(name)) - ELSEWHERE == tested, name


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_runs_repeat_reset_forgets_and_detections_are_named(crossing_crowd, defaults, name: str) -> None:
    tracker = build_tracker(name)
    for frame in crossing_crowd[:50]:
        tracker.update(frame)
    tracker.reset()
    again = [tracker.update(frame) for frame in crossing_crowd]
    assert [tracks.track_id.tolist() for tracks in again] == [ids for ids, _ in defaults[name]]
    met = 0
    for tracks, frame in zip(again, crossing_crowd):
        named = tracks.detection_index >= 0
        box = frame.xyxy[tracks.detection_index[named]]
        assert len(set(tracks.detection_index[named].tolist())) == named.sum()
        np.testing.assert_allclose(tracks.confidence[named], frame.confidence[tracks.detection_index[named]])
        assert np.abs(tracks.xyxy[named] - box).max(initial=0) < 60
        met += named.sum()
    assert met > 150


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_wrong_values_name_the_option(name: str) -> None:
    for option, value in (("max_age", -1), ("n_init", 0), ("min_confidence", "much")):
        with pytest.raises(ValueError, match=f"{option}: got"):
            build_tracker(name, **{option: value})
    for option in ("min_iou", "max_cosine", "ema_momentum", "delta_t", "inertia", "weight_limit", "gate"):
        if option in tracker_options(name):
            with pytest.raises(ValueError, match=f"{option}: got -0.5"):
                build_tracker(name, **{option: -0.5})
