"""Light that moves: the sun, the shadows of people and things, and those of clouds."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from synthetic_world.camera import Camera
from synthetic_world.frames import SUN_STEP, SequenceTask, render_frame, sequence_scene
from synthetic_world.levels import get_level
from synthetic_world.motion import cloud_shadows, sun_at
from synthetic_world.place import Place, make_place
from synthetic_world.render import full_view, render
from synthetic_world.scene import Group, Stand, gather
from synthetic_world.seeds import rng_for
from synthetic_world.shadows import GroundMaps, add_people, draw_still_maps

LEVEL = get_level("medium")
CAMERA = Camera((-8.0, 0.0, 4.0), 0.0, 0.42, 300.0, 320, 240)


def outdoors() -> Place:
    for n in range(9):
        place = make_place(rng_for(n, "light test"), 8.0, np.array([CAMERA.position[:2]]), 0.5)
        if not place.indoor:
            return place
    raise AssertionError("nine halls")


def someone(x: float, y: float) -> Group:
    return gather(0, LEVEL, [Stand(3, (x, y), 0.3, 0.7, 1.0)])


def mapped(group: Group, place: Place) -> tuple[GroundMaps, GroundMaps]:
    """Maps with and without the shadow of people."""
    still = draw_still_maps(place.things, place.light[:3], np.zeros(2), 7.0, 20.0)
    nobody = group.primitives.select(np.zeros(len(group.primitives), bool))
    return add_people(still, group.primitives, place.light[:3]), add_people(still, nobody, place.light[:3])


def angle_between(first: np.ndarray, second: np.ndarray) -> float:
    turn = math.atan2(first[1], first[0]) - math.atan2(second[1], second[0])
    return abs(math.degrees((turn + math.pi) % (2 * math.pi) - math.pi))


@pytest.mark.parametrize(("azimuth", "elevation"), [(0.9, 0.6), (2.6, 0.9), (-2.0, 0.5), (-0.6, 0.8)])
def test_shadows_in_the_picture_point_away_from_the_sun(azimuth: float, elevation: float) -> None:
    place, group = outdoors(), someone(0.0, 0.0)
    place = replace(place, things=place.things.select(np.zeros(len(place.things), bool)))  # whose shadows cover theirs
    flat = math.cos(elevation)
    place.light[:3] = flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)
    views = [
        render(CAMERA, full_view(CAMERA), group.primitives, 1, group.materials, place, maps)
        for maps in mapped(group, place)
    ]
    darker = (views[1].light - views[0].light).mean(2) > 0.02
    rows, columns = np.nonzero(darker & (views[0].people < 0))
    on_ground = CAMERA.to_ground(np.stack([columns, rows], 1) + 0.5)
    # From the feet to the far end, which is the head's.
    distance = np.linalg.norm(on_ground, axis=1)
    reach = group.people[0].size.height * flat / math.sin(elevation)
    assert distance.max() == pytest.approx(reach, rel=0.15, abs=0.15)
    end = on_ground[distance > 0.75 * distance.max()].mean(0)
    assert angle_between(end, -place.light[:2]) < 6.0


def test_the_shadow_walks_along() -> None:
    place = outdoors()
    middles = []
    for x, y in ((0.0, 0.0), (0.8, -0.5)):
        with_it, without = mapped(someone(x, y), place)
        rows, columns = np.nonzero(with_it.maps[1] > without.maps[1] + 40)
        middles.append(np.array([columns.mean(), rows.mean()]) / with_it.place[2])
    assert middles[1] - middles[0] == pytest.approx([0.8, -0.5], abs=0.12)


def test_the_sun_moves_slowly_and_for_ever() -> None:
    light = outdoors().light
    assert sun_at(light, 0, 1, 0.0)[:3] == pytest.approx(light[:3])
    for seconds in (0.0, 100.0, 5000.0, 40000.0):
        now, soon = sun_at(light, 0, 1, seconds), sun_at(light, 0, 1, seconds + SUN_STEP)
        assert np.linalg.norm(now[:3]) == pytest.approx(1.0)
        assert 26.0 < math.degrees(math.asin(now[2])) < 67.0
        assert angle_between(now, soon) < 0.06
        level = (now[3:6] * now[2] + now[6:9]).mean()
        assert level == pytest.approx((light[3:6] * light[2] + light[6:9]).mean())
    assert 15.0 < angle_between(sun_at(light, 0, 1, 400.0), light) < 45.0


def test_shadows_of_clouds_pass_with_the_wind() -> None:
    def at(seconds: float, corner: tuple[float, float] = (-20.0, -20.0)) -> np.ndarray:
        return cloud_shadows(0, 1, 0.7, seconds, np.array(corner), 8.0, 320).astype(np.float32)

    assert np.ptp(at(0.0)) > 60 and at(0.0).max() < 200
    # Where the middle of the map is two seconds later.
    _, _, _, best = cv2.minMaxLoc(cv2.matchTemplate(at(2.0), at(0.0)[80:240, 80:240], cv2.TM_CCOEFF_NORMED))
    speed = (np.array(best) - 80) / 8.0 / 2.0
    assert 1.4 < np.linalg.norm(speed) < 4.1
    # The same clouds, somewhere else.
    away = at(10.0, (-20.0 + 10.0 * speed[0], -20.0 + 10.0 * speed[1]))
    assert np.abs(away - at(0.0)).mean() < 12 < np.abs(at(10.0) - at(0.0)).mean()


def test_a_long_sequence_has_moving_light() -> None:
    task = next(
        task
        for number in range(1, 9)
        if not sequence_scene(task := SequenceTask(0, "medium", number, 800, 3, 1, (160, 90), 2.0)).place.indoor
    )
    first, again, last = (render_frame(task, frame, 0) for frame in (1, 2, 800))
    ground = (first[1].people < 0) & (again[1].people < 0) & (last[1].people < 0) & np.isfinite(first[1].depth)
    change = [np.abs(first[1].light - other[1].light)[ground] for other in (again, last)]
    assert np.median(change[0]) < 0.01 and change[1].mean() > 3 * change[0].mean()
