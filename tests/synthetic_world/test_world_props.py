"""Umbrellas, phones, bicycles and trolleys: held by hands, nobody's own, and in the way of what is behind them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthetic_world import scene
from synthetic_world.camera import Camera
from synthetic_world.crops import BACKGROUND, render_crop
from synthetic_world.export import ReidOptions, plan_reid
from synthetic_world.frames import frame_truth
from synthetic_world.keypoints import HIDDEN, VISIBLE, seen_keypoints
from synthetic_world.levels import get_level
from synthetic_world.person import CARRIED, PHONES, make_person
from synthetic_world.place import make_place
from synthetic_world.pose import (
    AXLE_REAR,
    ELBOW_L,
    ELBOW_R,
    FRONT_AXLE,
    HEAD,
    HOLDS,
    PALM,
    PALM_L,
    PALM_R,
    SHOULDER_L,
    SHOULDER_R,
    WHEEL,
    WHEEL_RADIUS,
    WRIST_L,
    WRIST_R,
    walk,
)  # fmt: skip
from synthetic_world.props import carried_rig
from synthetic_world.render import View, full_view, person_boxes, render
from synthetic_world.scene import Group, Stand, gather
from synthetic_world.seeds import rng_for
from synthetic_world.shadows import add_people, draw_still_maps

LEVEL = get_level("medium")
CAMERA = Camera((-8.0, 0.0, 2.6), 0.0, 0.15, 600.0, 480, 480)
HELD = [name for name in HOLDS if name != "nothing"]


def group_with(holding: str, heading: float, monkeypatch: pytest.MonkeyPatch, number: int = 6) -> Group:
    """One person who holds that."""
    original = scene.dressed

    def dressed(*arguments: object) -> tuple:
        person, rig = original(*arguments)
        return replace(person, carried=holding), rig

    monkeypatch.setattr(scene, "dressed", dressed)
    group = gather(0, LEVEL, [Stand(number, (0.0, 0.0), heading, 0.7, 1.0)])
    monkeypatch.undo()
    return group


def view_of(group: Group, alone: bool = False) -> View:
    shown = group.primitives if alone else group.shown()
    place = make_place(rng_for(0, "test place"), 6.0, np.array([CAMERA.position[:2]]), 0.5)
    maps = add_people(draw_still_maps(place.things, place.light[:3], np.zeros(2), 5.0, 10.0), shown, place.light[:3])
    return render(CAMERA, full_view(CAMERA), shown, len(group.stands), group.materials, place, maps)


@pytest.mark.parametrize("holding", HELD)
@pytest.mark.parametrize("heading", [0.0, math.pi / 2, math.pi, -math.pi / 2])
def test_what_is_carried_is_not_the_person_but_hides_them(
    holding: str, heading: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = group_with(holding, heading, monkeypatch)
    both, alone = view_of(group), view_of(group, alone=True)
    own, body = both.people == 0, alone.people == 0
    assert (own & ~body).sum() == 0  # the mask holds nothing but the person
    hidden = body & ~own
    assert (both.depth[hidden] < alone.depth[hidden]).all()  # by something in front
    assert both.alone[0] == alone.alone[0] == body.sum()
    truth = frame_truth(CAMERA, group, both)
    assert truth.visibility[0] == pytest.approx(own.sum() / body.sum())
    rows, columns = np.nonzero(body)
    box = person_boxes(CAMERA, group.primitives, 1)[0]
    assert np.abs(box - [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).max() <= 1.5
    changed = (both.light != alone.light).any(2)
    # It can be seen, or its shadow can, unless the body hides a phone.
    assert changed.sum() > 10 or (holding.startswith("phone") and heading != math.pi)
    states = seen_keypoints(CAMERA, full_view(CAMERA), both, group.poses[0], 0)
    for x, y, state in states:
        if state == VISIBLE:
            row, column = np.nonzero(own)
            assert np.hypot(column + 0.5 - x, row + 0.5 - y).min() <= 1.0
        elif hidden[int(y), int(x)]:
            assert state == HIDDEN


def test_umbrellas_hide_heads_from_above(monkeypatch: pytest.MonkeyPatch) -> None:
    group = group_with("umbrella", math.pi, monkeypatch)
    above = Camera((-5.0, 0.0, 6.5), 0.0, 0.75, 500.0, 480, 480)
    place = make_place(rng_for(0, "test place"), 6.0, np.array([above.position[:2]]), 0.5)
    maps = add_people(
        draw_still_maps(place.things, place.light[:3], np.zeros(2), 5.0, 10.0), group.shown(), place.light[:3]
    )
    view = render(above, full_view(above), group.shown(), 1, group.materials, place, maps)
    states = seen_keypoints(above, full_view(above), view, group.poses[0], 0)[:, 2]
    assert (states[:5] == HIDDEN).all() and (view.people == 0).sum() > 50


@pytest.mark.parametrize("holding", HELD)
@pytest.mark.parametrize("side", [1, -1])
def test_hands_are_where_things_are_and_arms_keep_their_length(holding: str, side: int) -> None:
    for number in range(8):
        person = make_person(0, number, LEVEL)
        pose = walk(person.size, person.gait, 1.0, 1.0, np.zeros(2), 0.4, holding, side)
        left, right = (SHOULDER_L, ELBOW_L, WRIST_L, PALM_L), (SHOULDER_R, ELBOW_R, WRIST_R, PALM_R)
        for shoulder, elbow, wrist, palm in (left, right):
            lengths = [np.linalg.norm(pose.joints[a] - pose.joints[b])
                       for a, b in ((shoulder, elbow), (elbow, wrist), (wrist, palm))]  # fmt: skip
            assert lengths == pytest.approx([person.size.upper_arm, person.size.forearm, PALM], abs=1e-6)
        rig = carried_rig(holding, side, (0.5, 0.2, 0.2), person.size.height)
        assert rig is not None
        own = rig.posed(pose)
        first, second = own.ends()
        near = PALM_L if side > 0 else PALM_R
        palms = [near] if holding != "bicycle" else [PALM_L, PALM_R]
        for palm in palms:
            at = pose.joints[palm]
            along = second - first
            share = ((at - first) * along).sum(1) / np.maximum((along**2).sum(1), 1e-9)
            closest = first + np.clip(share, 0.0, 1.0)[:, None] * along
            assert np.linalg.norm(closest - at, axis=1).min() < 0.12
        if holding == "phone at ear":
            ear = pose.keypoints[3 if side > 0 else 4]
            assert np.linalg.norm(pose.joints[near] - ear) < 0.12
        assert (np.minimum(first[:, 2], second[:, 2]) > -0.01).all()  # nothing in the ground
    with pytest.raises(ValueError, match="holding: got 'anvil', allowed are nothing, umbrella"):
        walk(person.size, person.gait, 0.0, 1.0, np.zeros(2), 0.0, "anvil")


def test_wheels_roll_as_far_as_feet_walk() -> None:
    person = make_person(0, 1, LEVEL)
    first, second = (
        walk(person.size, person.gait, phase, 1.0, np.zeros(2), 0.0, "bicycle", 1)
        for phase in (0.0, person.step_rate * 0.3)
    )
    angle = math.acos(float(np.clip((np.trace(first.frames[WHEEL].T @ second.frames[WHEEL]) - 1) / 2, -1, 1)))
    assert angle * WHEEL_RADIUS == pytest.approx(0.3)
    assert first.joints[AXLE_REAR, 2] == FRONT_AXLE[1] == WHEEL_RADIUS
    assert abs(first.joints[HEAD, 1]) < 0.1


def test_some_carry_something_and_phones_come_and_go() -> None:
    people = [make_person(0, number, LEVEL) for number in range(400)]
    carried = {name: sum(person.carried == name for person in people) / 400 for name in CARRIED}
    assert all(0.005 < carried[name] < 0.08 for name in CARRIED if name != "nothing")
    phones = {name: sum(person.phone == name for person in people) / 400 for name in PHONES}
    assert all(0.02 < phones[name] < 0.25 for name in PHONES if name != "nothing")
    talker = next(person for person in people if person.phone != "nothing" and person.carried == "nothing")
    assert talker.holds(True) == talker.phone and talker.holds(False) == "nothing"
    poses = [
        gather(0, LEVEL, [Stand(talker.number, (0.0, 0.0), 0.0, 0.0, 1.0, phoning=phoning)])
        for phoning in (True, False)
    ]
    assert poses[0].carried[0] is not None and poses[1].carried[0] is None
    assert not np.allclose(poses[0].poses[0].joints, poses[1].poses[0].joints)


def test_false_alarms_show_nothing_that_the_absent_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    group = group_with("bicycle", 0.3, monkeypatch)
    assert len(group.shown(without=0)) == 0
    assert len(group.shown()) > len(group.primitives)
    task = next(task for task in plan_reid(ReidOptions(pids=10, cameras=2), Path())
                if task.kind == BACKGROUND)  # fmt: skip
    assert render_crop(task)[1]["identity"] is None
