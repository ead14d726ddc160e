from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking import build_tracker
from tracking.detections import Detections
from tracking.runner import track_sequence
from tracking.sources import deepsort_npy_source


def axis(index: int, size: int = 8) -> np.ndarray:
    vector = np.zeros(size, np.float32)
    vector[index] = 1
    return vector


def person(x: float, y: float = 100.0, confidence: float = 0.9, look: np.ndarray | None = None) -> tuple:
    return ([x, y, x + 40, y + 100], confidence, axis(0) if look is None else look)


def detections(*people: tuple) -> Detections:
    if not people:
        return Detections.empty()
    xyxy, confidence, look = zip(*people)
    return Detections.from_xyxy(xyxy, confidence, np.stack(look))


def run(tracker, frames: list[list[tuple]]) -> list:
    return [tracker.update(detections(*people)) for people in frames]


def id_at(tracks, x: float) -> int:
    """The identity of the box whose left edge is nearest to x."""
    return int(tracks.track_id[np.abs(tracks.xyxy[:, 0] - x).argmin()])


def turning_back() -> list[list[tuple]]:
    """Two people meet at x = 200, stand there hidden for 3 frames, and turn back: motion alone swaps them."""
    frames = []
    for step in range(12):
        frames.append([person(80 + 10 * step, look=axis(0)), person(320 - 10 * step, look=axis(1))])
    frames += [[], [], []]
    for step in range(8):
        frames.append([person(190 - 10 * step, look=axis(0)), person(210 + 10 * step, look=axis(1))])
    return frames


def test_appearance_keeps_identities_where_motion_swaps_them() -> None:
    frames = turning_back()
    seen = run(build_tracker("strongsort", gate=1e6, motion_cost=False), frames)
    first, second = id_at(seen[8], 160), id_at(seen[8], 240)
    assert first != second
    assert (id_at(seen[-1], 120), id_at(seen[-1], 280)) == (first, second)
    blind = run(build_tracker("strongsort", gate=1e6, appearance=False, max_iou_distance=0.99), frames)
    assert (id_at(blind[-1], 120), id_at(blind[-1], 280)) != (id_at(blind[8], 160), id_at(blind[8], 240))


def test_a_track_is_returned_from_its_third_detection_on() -> None:
    seen = run(build_tracker("strongsort"), [[person(10 + step)] for step in range(5)])
    assert [len(tracks) for tracks in seen] == [0, 0, 1, 1, 1]
    assert seen[2].track_id.tolist() == [1] and seen[2].confidence[0] == pytest.approx(0.9)
    np.testing.assert_allclose(seen[4].xyxy[0], [14, 100, 54, 200], atol=1)
    assert [len(tracks) for tracks in run(build_tracker("strongsort", n_init=1), [[person(10)]])] == [1]


def test_an_unconfirmed_track_dies_with_its_first_miss() -> None:
    seen = run(build_tracker("strongsort"), [[person(10)], [person(10)], [], *[[person(10)]] * 3])
    assert [len(tracks) for tracks in seen] == [0, 0, 0, 0, 0, 1]
    assert seen[-1].track_id.tolist() == [2]


@pytest.mark.parametrize(("gap", "same"), [(5, True), (6, False)])
def test_max_age(gap: int, same: bool) -> None:
    frames = [*[[person(10)]] * 4, *[[]] * gap, *[[person(10)]] * 3]
    seen = run(build_tracker("strongsort", max_age=5), frames)
    assert (seen[-1].track_id.tolist() == [1]) is same


def test_coast_returns_unseen_tracks_at_their_predicted_box() -> None:
    frames = [*[[person(10 + 4 * step)] for step in range(8)], [], []]
    assert [len(tracks) for tracks in run(build_tracker("strongsort"), frames)][-3:] == [1, 1, 0]
    assert [len(tracks) for tracks in run(build_tracker("strongsort", coast=0), frames)][-3:] == [1, 0, 0]
    assert run(build_tracker("strongsort"), frames)[8].xyxy[0, 0] == pytest.approx(42, abs=2)


def test_the_gate_forbids_far_pairs_that_look_alike() -> None:
    frames = [*[[person(10)]] * 4, *[[person(400)]] * 3]
    assert run(build_tracker("strongsort"), frames)[-1].track_id.tolist() == [2]
    assert run(build_tracker("strongsort", gate=1e9, motion_cost=False), frames)[-1].track_id.tolist() == [1]


def test_appearance_is_a_moving_average() -> None:
    tracker = build_tracker("strongsort")
    run(tracker, [[person(10, look=axis(0))], [person(10, look=axis(1))]])
    expected = 0.9 * axis(0) + 0.1 * axis(1)
    np.testing.assert_allclose(tracker._table.extra["embedding"][0], expected / np.linalg.norm(expected), rtol=1e-6)
    gallery = build_tracker("strongsort", ema=False, gallery_size=3)
    run(gallery, [[person(10, look=axis(0))], [person(10, look=axis(1))]])
    np.testing.assert_array_equal(gallery._table.extra["embedding"][0], [axis(0), axis(1), axis(0)])


def noisy_world(seed: int = 0) -> list[Detections]:
    """Twelve people with noise, misses and weak detections, their looks alike, over 150 frames."""
    random = np.random.default_rng(seed)
    position = random.uniform(0, 500, (12, 2))
    velocity = random.normal(0, 4, (12, 2))
    looks = random.normal(0, 1, (12, 16)) + 1.2
    frames = []
    for _ in range(150):
        position += velocity + random.normal(0, 3, (12, 2))
        velocity = np.where((position < 0) | (position > 500), -velocity, velocity)
        kept = random.random(12) < 0.6
        corner = (position + random.normal(0, 4, (12, 2)))[kept]
        size = random.normal([45, 110], 4, (kept.sum(), 2))
        features = looks[kept] + random.normal(0, 1.0, (kept.sum(), 16))
        xyxy = np.hstack([corner, corner + size])
        frames.append(Detections.from_xyxy(xyxy, random.uniform(0.3, 1, kept.sum()), features))
    return frames


def test_the_cascade_prefers_the_track_seen_last() -> None:
    alike = (axis(0) + 0.4 * axis(1)) / np.linalg.norm(axis(0) + 0.4 * axis(1))
    both = [person(100, look=axis(0)), person(110, look=alike)]
    frames = [*[both] * 4, *[both[1:]] * 3, [person(105, look=axis(0))]]
    assert id_at(run(build_tracker("strongsort", coast=0), frames)[-1], 105) == 1
    assert id_at(run(build_tracker("strongsort", coast=0, cascade=True), frames)[-1], 105) == 2


def test_runs_are_deterministic_and_reset_forgets() -> None:
    tracker = build_tracker("strongsort")
    first = [tracker.update(frame).track_id.tolist() for frame in noisy_world()]
    tracker.reset()
    assert [tracker.update(frame).track_id.tolist() for frame in noisy_world()] == first


def test_camera_motion_follows_the_frame() -> None:
    random = np.random.default_rng(0)
    wide = cv2.GaussianBlur(random.integers(0, 256, (480, 1200, 3), dtype=np.uint8), (0, 0), 40)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    # The camera jumps by 30 pixels and the person stands still: in the image, everything moves by -30.
    frames = [(0, 300.0)] * 5 + [(30, 270.0)]
    with_motion, without = build_tracker("strongsort", camera_motion=True), build_tracker("strongsort")
    for offset, x in frames:
        image = np.ascontiguousarray(wide[:, offset : offset + 640])
        compensated = with_motion.update(detections(person(x)), image)
        plain = without.update(detections(person(x)), image)
    assert compensated.track_id.tolist() == [1]
    assert abs(compensated.xyxy[0, 0] - 270) < 3
    assert 1 not in plain.track_id or abs(plain.xyxy[0, 0] - 270) > 3
    with pytest.raises(ValueError, match="frame: got None"):
        build_tracker("strongsort", camera_motion=True).update(detections(person(1)))


def test_frames_without_detections_and_boxes_without_area() -> None:
    tracker = build_tracker("strongsort")
    assert len(tracker.update(Detections.empty())) == 0
    flat = Detections.from_xyxy([[10, 10, 10, 50], [10, 10, 5, 5]], None, np.ones((2, 4)))
    for _ in range(4):
        assert len(tracker.update(flat)) == 0
    seen = run(build_tracker("strongsort"), [*[[person(10)]] * 3, [], [person(10)]])
    assert seen[-1].track_id.tolist() == [1]


def test_errors_say_what_is_wrong() -> None:
    tracker = build_tracker("strongsort")
    with pytest.raises(ValueError, match=r"embeddings: got None.*appearance=False"):
        tracker.update(Detections.from_xyxy([[0, 0, 5, 5]]))
    tracker.update(detections(person(1)))
    with pytest.raises(ValueError, match="embeddings: got length 3, allowed: 8"):
        tracker.update(Detections.from_xyxy([[0, 0, 5, 5]], None, np.ones((1, 3))))
    with pytest.raises(ValueError, match="embeddings: got NaN"):
        Detections.from_xyxy([[0, 0, 5, 5]], None, [[np.nan]])
    with pytest.raises(ValueError, match=r"tracker: got 'nosort', allowed: .*sort, strongsort"):
        build_tracker("nosort")
    with pytest.raises(ValueError, match=r"option of strongsort: got 'speed', allowed: min_confidence"):
        build_tracker("strongsort", speed=3)
    for option in ({"n_init": 0}, {"max_age": 1.5}, {"nsa": "maybe"}, {"max_cosine": "far"}, {"ema_momentum": 2}):
        with pytest.raises(ValueError, match=next(iter(option))):
            build_tracker("strongsort", **option)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "hota"), [("MOT17-05-FRCNN", 0.475), ("MOT17-09-FRCNN", 0.475)])
def test_hota_on_real_detections_and_features(shared_data: Path, tmp_path: Path, name: str, hota: float) -> None:
    from tracking.evaluation import evaluate_mot

    source = deepsort_npy_source(shared_data / "deepsort-features" / f"{name}.npy")
    tracker = build_tracker("strongsort", min_confidence=0.1)
    track_sequence(tracker, source, range(1, source.length + 1)).write(tmp_path / f"{name}.txt")
    scores = evaluate_mot(shared_data / "mot16" / "train", tmp_path)["sequences"][name]
    assert scores["HOTA"] >= hota and scores["IDF1"] >= 0.57


def test_a_shrinking_box_does_not_turn_over_while_it_coasts():
    tracker = build_tracker("strongsort", appearance=False, coast=30, min_confidence=0.1)
    for height in (200, 140, 90, 50, 25):
        box = np.array([[100, 100, 100 + height / 2, 100 + height]], np.float32)
        tracker.update(Detections.from_xyxy(box, confidence=np.array([0.9])))
    boxes = [tracker.update(Detections.empty()).xyxy for _ in range(20)]
    assert sum(len(box) for box in boxes) > 0
    for box in boxes:
        assert (box[:, 2:] > box[:, :2]).all()
