"""Scenes: people who leave, return and change clothes, things that hide them, cameras that move."""

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from synthetic_world import export
from synthetic_world.crops import PERSON, CropTask, render_crop
from synthetic_world.crowd import BODY, OUTFITS, Crowd
from synthetic_world.export import MotOptions, ReidOptions, plan_reid, write_mot
from synthetic_world.frames import SEPARATE, SequenceTask, frame_camera, render_frame, sequence_scene
from synthetic_world.levels import get_level
from synthetic_world.motion import light_at, smear
from synthetic_world.person import make_person
from synthetic_world.place import make_place
from synthetic_world.render import full_view, person_boxes, render
from synthetic_world.scene import Stand, dressed, gather, outside
from synthetic_world.seeds import rng_for
from synthetic_world.shadows import add_people, draw_still_maps

LEVEL = get_level("medium")
DOORS = np.array([[9.0, 0.0, 10.9, 0.0], [0.0, 9.0, 0.0, 10.9]])


def walkers(count: int) -> list:
    return [make_person(0, number, LEVEL) for number in range(count)]


def test_walkers_leave_and_return_as_themselves() -> None:
    crowd = Crowd(1, 1, walkers(8), 5.0, doors=DOORS, clothes_change=True)
    seen: dict[int, list[int]] = {n: [] for n in range(8)}
    outfits: dict[int, dict[int, int]] = {n: {} for n in range(8)}
    met = 0
    for frame in range(600):
        stands = crowd.at(frame)
        assert len(stands) >= 4
        for stand in stands:
            assert stand.number == stand.track
            seen[stand.track].append(frame)
            outfits[stand.track][frame] = stand.outfit
        still = [np.array(stand.position) for stand in stands if stand.pace == 0]
        met += any(np.linalg.norm(a - b) < 1.1 for i, a in enumerate(still) for b in still[:i])
    gaps = [(n, a, b) for n, frames in seen.items() for a, b in itertools.pairwise(frames) if b > a + 1]
    assert len(gaps) >= 2 and met > 20
    assert all(outfits[n][a] != outfits[n][b] for n, a, b in gaps)
    for n, frames in seen.items():
        changes = [(n, a, b) for a, b in itertools.pairwise(frames) if outfits[n][a] != outfits[n][b]]
        assert set(changes) <= set(gaps)  # never before the camera
    again = crowd.at(100)  # going back finds the same walk
    assert again == Crowd(1, 1, walkers(8), 5.0, doors=DOORS, clothes_change=True).at(100)
    plain = Crowd(1, 1, walkers(8), 5.0, doors=DOORS).at(100)
    assert [stand.position for stand in plain] == [stand.position for stand in again]
    assert {stand.outfit for stand in plain} == {0}


def test_nobody_walks_through_things() -> None:
    things = np.array([[0.0, 0.0, 0.5], [2.0, 1.0, 0.9], [-2.0, -2.0, 0.2]])
    crowd = Crowd(0, 1, walkers(10), 10.0, footprints=things)
    for frame in range(0, 200, 5):
        at = np.array([stand.position for stand in crowd.at(frame)])
        distance = np.linalg.norm(at[:, None] - things[None, :, :2], axis=2) - things[:, 2]
        assert distance.min() > 0.5 * BODY
    assert outside(np.zeros((1, 2)), things[:1], 0.3)[0] == pytest.approx([0.8, 0.0])


def test_other_clothes_on_the_same_body() -> None:
    usual, other, again = (dressed(0, 12, LEVEL, outfit)[0] for outfit in (0, 1, 1))
    assert usual == make_person(0, 12, LEVEL) and other == again
    assert other.outfit != usual.outfit
    for name in (
        "number",
        "size",
        "girth",
        "feminine",
        "skin",
        "hair",
        "hair_colour",
        "beard",
        "gait",
        "speed",
        "role",
    ):
        assert getattr(other, name) == getattr(usual, name)


def test_a_crop_in_other_clothes_keeps_its_identity() -> None:
    tasks = [CropTask(0, "easy", (32, 64), Path(), "a.jpg", 3, 3, PERSON, 1, 2, 1, 1, 0, outfit) for outfit in (0, 1)]
    (first, note), (second, other) = (render_crop(task) for task in tasks)
    assert note["identity"] == other["identity"] == 3
    assert (note["outfit"], other["outfit"]) == (0, 1)
    assert np.abs(first.astype(int) - second).mean() > 4


def test_crops_change_clothes_with_the_time_of_the_day_only_when_asked() -> None:
    worn: dict[tuple[int, int], set[int]] = {}
    for task in plan_reid(ReidOptions(pids=20, cameras=4, clothes_change=True), Path()):
        worn.setdefault((task.number, task.sequence), set()).add(task.outfit)
    assert all(len(outfits) == 1 for outfits in worn.values())
    assert set.union(*worn.values()) == set(range(OUTFITS))
    several = [{min(worn[key]) for key in worn if key[0] == number} for number in range(1, 21)]
    assert sum(len(outfits) > 1 for outfits in several) > 10
    assert {task.outfit for task in plan_reid(ReidOptions(pids=20, cameras=4), Path())} == {0}


def test_every_option_reaches_the_sequence() -> None:
    options = MotOptions(3, 40, 5, 2, "easy", 6, 320, 180, 5.0, True, SEPARATE, True, "match")
    task = export._sequence(options, 2)
    assert task == SequenceTask(6, "easy", 2, 40, 5, 2, (320, 180), 5.0, True, SEPARATE, True, "match")
    for change, want in ((True, {0, 1, 2}), (False, {0})):
        crowd = sequence_scene(SequenceTask(0, "easy", 1, 900, 8, 1, (96, 64), 1.0, clothes_change=change)).crowd
        assert {stand.outfit for frame in range(0, 600, 5) for stand in crowd.at(frame)} == want


def test_things_hide_people_and_count() -> None:
    task = SequenceTask(0, "hard", 1, 100, 8, 2, (160, 90), 1.0)
    scene = sequence_scene(task)
    assert len(scene.place.footprints) > 5
    hidden = 0
    for frame in range(1, 15):
        _, view, group, truth = render_frame(task, frame, 0)
        eye = frame_camera(task, frame, 0)
        for row, index in enumerate(truth.index):
            x, y, w, h = truth.boxes[row]
            inside = x >= 0 and y >= 0 and x + w <= eye.width and y + h <= eye.height
            if not inside or truth.visibility[row] == 1.0:
                continue
            # Alone with the things: what is missing then, things hide.
            one = gather(task.seed, get_level("hard"), [group.stands[index]])
            sun = scene.place.light[:3]
            maps = add_people(draw_still_maps(scene.place.things, sun, np.zeros(2), 5.0, 4.0), one.primitives, sun)
            alone = render(eye, full_view(eye), one.primitives, 1, one.materials, scene.place, maps)
            shown = (alone.people == 0).sum()
            assert shown >= (view.people == index).sum()
            if shown < alone.alone[0] and shown == (view.people == index).sum():
                hidden += 1
                assert truth.visibility[row] == pytest.approx(shown / alone.alone[0])
    assert hidden > 0
    easy = make_place(rng_for(0, "place"), 6.0, np.array([[9.0, 0.0]]), 0.5)
    hard = make_place(rng_for(0, "place"), 6.0, np.array([[9.0, 0.0]]), 0.5, 6.0, 3)
    assert (np.linalg.norm(easy.footprints[:, :2], axis=1) > 4).all()
    assert (np.linalg.norm(hard.footprints[:, :2], axis=1) < 6).sum() >= 4 and len(hard.doors) == 3


def test_moving_cameras_keep_the_truth(tmp_path: Path) -> None:
    options = MotOptions(1, 4, 6, 2, "medium", 1, 320, 180, 5.0, camera_motion=True)
    write_mot(options, tmp_path / "world")
    task = SequenceTask(1, "medium", 1, 4, 6, 2, (320, 180), 5.0, camera_motion=True)
    for camera in range(2):
        notes = json.loads((tmp_path / f"world/train/WORLD-01-c{camera + 1}/annotations.json").read_text())
        assert len({frame["view"]["yaw"] for frame in notes["frames"]}) == 4
        for frame in notes["frames"]:
            homography = np.array(frame["view"]["ground_homography"])
            eye = frame_camera(task, frame["frame"], camera)
            _, view, group, truth = render_frame(task, frame["frame"], camera)
            boxes = person_boxes(eye, group.primitives, len(group.stands))
            for person, index in zip(frame["people"], truth.index):
                left, top, width, height = person["box"]
                assert boxes[index] == pytest.approx([left, top, left + width, top + height], abs=0.02)
                rows, columns = np.nonzero(view.people == index)
                if len(rows):
                    assert columns.min() >= left - 1 and columns.max() <= left + width + 1
                    assert rows.min() >= top - 1 and rows.max() <= top + height + 1
                # Pixels of the ground under the feet, taken back to the ground.
                pixel, _ = eye.project(np.array([[*person["ground"], 0.0]]))
                back = np.linalg.inv(homography) @ (*pixel[0], 1.0)
                assert np.linalg.norm(back[:2] / back[2] - person["ground"]) < 0.05


def test_separate_views_share_nobody_and_overlapping_ones_do() -> None:
    for cameras in (2, 5):
        task = SequenceTask(2, "easy", 1, 10, 12, cameras, (96, 54), 1.0, camera_motion=True, views=SEPARATE)
        seen = []
        for frame in (1, 6, 10):
            tracks = [set(), set()] if cameras == 2 else [set() for _ in range(cameras)]
            for camera in range(cameras):
                _, view, group, _ = render_frame(task, frame, camera)
                tracks[camera] = {group.stands[index].track for index in np.unique(view.people) if index >= 0}
            assert sum(map(len, tracks)) == len(set.union(*tracks))
            seen.append(set.union(*tracks))
        assert set.union(*seen)
    task = SequenceTask(2, "easy", 1, 10, 12, 2, (96, 54), 1.0)
    both = [{render_frame(task, 1, camera)[2].stands[i].track for i in render_frame(task, 1, camera)[3].index}
            for camera in range(2)]  # fmt: skip
    assert len(both[0] & both[1]) >= 3


def test_a_hundred_people() -> None:
    task = SequenceTask(0, "medium", 1, 50, 100, 1, (320, 180), 5.0)
    image, _, group, truth = render_frame(task, 20, 0)
    assert image.std() > 10 and len(group.stands) >= 60 and len(truth.index) > 40
    depth = frame_camera(task, 20, 0).project(np.array([[*stand.position, 0.0] for stand in group.stands]))[1]
    assert np.ptp(depth) > 15
    assert isinstance(group.stands[0], Stand) and np.isfinite(truth.boxes).all()


def test_light_and_blur_change_as_they_say() -> None:
    light = np.ones(16)
    moments = np.array([light_at(light, 0, 1, 0.7, seconds) for seconds in range(0, 200, 10)])
    assert (moments[:, :3] == 1).all() and np.ptp(moments[:, 3]) > 0.2
    near = light_at(light, 0, 1, 0.7, 0.04) - light_at(light, 0, 1, 0.7, 0.0)
    assert np.abs(near).max() < 0.01
    eye = frame_camera(SequenceTask(0, "easy", 1, 2, 2, 1, (96, 54), 25.0), 1, 0)
    still = rng_for(0, "image").random((54, 96, 3)).astype(np.float32)
    assert smear(still, eye, eye) is still
    turned = type(eye)(eye.position, eye.yaw + 3.0 / eye.focal, eye.tilt, eye.focal, eye.width, eye.height)
    smeared = smear(still, eye, turned)
    assert smeared.mean() == pytest.approx(still.mean(), abs=0.01)
    across, down = (np.abs(np.diff(cv2.cvtColor(smeared, cv2.COLOR_RGB2GRAY), axis=axis)).mean() for axis in (1, 0))
    assert across < 0.7 * down
