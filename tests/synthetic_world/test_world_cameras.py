"""Cameras differ in all that the README says, and each difference shows in the picture."""

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from synthetic_world import crops
from synthetic_world.camera import Camera, ColourResponse
from synthetic_world.crops import PERSON, CropTask, reid_camera, render_crop
from synthetic_world.levels import LEVELS, get_level
from synthetic_world.motion import streak
from synthetic_world.scene import Stand, gather, streaks
from synthetic_world.seeds import rng_for

LEVEL = get_level("medium")


def test_cameras_differ_in_everything() -> None:
    found = [reid_camera(0, LEVEL, camera, 12)[:2] for camera in range(1, 13)]
    views, responses = zip(*found, strict=True)
    heights = [view.position[2] for view in views]
    assert 2.2 <= min(heights) < 2.8 and 3.5 < max(heights) <= 4.2
    assert np.ptp([math.degrees(view.tilt) for view in views]) > 4
    assert np.ptp([view.focal for view in views]) > 0.1 * views[0].focal
    for field in fields(ColourResponse):
        values = np.array([getattr(response, field.name) for response in responses], float)
        assert len(np.unique(values, axis=0)) > 8, field.name
    for name, level in LEVELS.items():
        many = [ColourResponse.sample(rng_for(n, "responses"), level) for n in range(100)]
        assert all(1.0 - 0.4 * level.blur <= one.resolution <= 1.0 for one in many), name
        assert all(0.004 * level.blur <= one.shutter <= 0.03 * level.blur for one in many), name
        assert all(75 <= one.quality <= 95 and 0.3 * level.blur <= one.blur <= level.blur for one in many), name


def test_fewer_pixels_on_the_sensor_show_less() -> None:
    light = np.zeros((64, 64, 3), np.float32)
    light[:, ::2] = 0.6
    rng = rng_for(0, "test")
    sharp, coarse = (ColourResponse(resolution=share).apply(light, rng) for share in (1.0, 0.6))
    assert coarse.shape == sharp.shape == (64, 64, 3)
    assert coarse[:, 8:-8].std() < 0.5 * sharp[:, 8:-8].std()


def test_walkers_smear_and_the_ground_does_not() -> None:
    light = rng_for(0, "image").random((40, 60, 3)).astype(np.float32)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    still, fast = light.copy(), light.copy()
    streak(still, mask, np.array([0.5, 0.0]))
    assert (still == light).all()
    streak(fast, mask, np.array([5.0, 0.0]))
    inner = np.s_[12:28, 24:36]
    across, down = (np.abs(np.diff(fast[inner], axis=axis)).mean() for axis in (1, 0))
    assert across < 0.6 * down
    assert fast[inner].mean() == pytest.approx(light[inner].mean(), abs=0.03)
    away = np.ones((40, 60), bool)
    away[6:34, 14:46] = False
    assert (fast[away] == light[away]).all()


def test_the_smear_is_as_long_as_the_way() -> None:
    camera = Camera((-8.0, 0.0, 2.6), 0.0, 0.15, 300.0, 320, 240)
    across, along, standing = (
        gather(0, LEVEL, [Stand(3, (0.0, 0.0), heading, 0.0, pace)])
        for heading, pace in ((math.pi / 2, 1.0), (0.0, 1.0), (0.0, 0.0))
    )
    way = across.people[0].speed * 0.1
    assert streaks(camera, across, 0, 0.1)[0] == pytest.approx(-300.0 * way / 8.0, rel=0.05)
    assert abs(streaks(camera, along, 0, 0.1)[0]) < 0.1
    assert (streaks(camera, standing, 0, 0.1) == 0).all()


def test_the_shutter_shows_in_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [CropTask(0, "hard", (64, 128), Path(), "a.jpg", n, n, PERSON, 1 + n % 2, 2, 1, 1, 0) for n in range(1, 9)]
    smeared = [render_crop(task)[0] for task in tasks]
    monkeypatch.setattr(crops, "streak", lambda *_: None)
    assert sum((render_crop(task)[0] != image).any() for task, image in zip(tasks, smeared, strict=True)) >= 2
