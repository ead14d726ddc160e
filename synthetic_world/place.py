"""A place: ground, light, and the things that stand around; never the same twice."""

import math
from dataclasses import dataclass, replace

import numpy as np

from . import materials as m
from .furniture import Builder, add_occluder, add_thing
from .primitives import Primitives
from .raycast import BOX
from .shading import ASPHALT, GRASS_AND_PATH, PITCH, POLISHED, TILES

# Linear colours of grounds.
STONES = ((0.30, 0.29, 0.28), (0.22, 0.22, 0.23), (0.36, 0.32, 0.27), (0.42, 0.41, 0.39), (0.30, 0.20, 0.16))
WALLS = (
    (0.70, 0.66, 0.60), (0.55, 0.32, 0.25), (0.62, 0.62, 0.62), (0.80, 0.76, 0.66), (0.42, 0.40, 0.38),
    (0.72, 0.55, 0.42), (0.86, 0.85, 0.82), (0.45, 0.50, 0.54),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Surroundings of one scene.

    Attributes:
        things: primitives that nobody owns.
        materials: their materials, (M, COLUMNS).
        light: (16,), direction to the sun, linear colours of sun, sky, ground bounce and haze, haze per metre.
        style: (13,), ground parameters read by `shading.ground_colour`.
        indoor: whether it is a hall.
        footprints: (F, 3), circles on the ground where nobody can walk: x, y, radius.
        doors: (D, 4), x and y in front of each door and behind it, where nobody can be seen.
    """

    things: Primitives
    materials: np.ndarray
    light: np.ndarray
    style: np.ndarray
    indoor: bool
    footprints: np.ndarray
    doors: np.ndarray

    def revisited(self, rng: np.random.Generator, change: float) -> "Place":
        """The same surroundings with other light and other ground; `change` as in `Level.place_change`."""
        light = _light(rng, self.indoor, change)
        return replace(self, light=light, style=self.style if self.pitch else _style(rng, self.indoor, change))

    @property
    def pitch(self) -> bool:
        """Whether it is a playing field."""
        return int(self.style[0]) == PITCH


def make_place(
    rng: np.random.Generator,
    clear_radius: float,
    cameras: np.ndarray,
    change: float,
    occluders: float = 0.0,
    doors: int = 0,
    pitch: bool = False,
) -> Place:
    """A random place around the origin.

    Args:
        rng: generator of this place.
        clear_radius: nothing but occluders stands within it, so that people can walk there.
        cameras: (C, 2), where cameras are; nothing stands near them or around the lines to the origin.
        change: as in `Level.place_change`.
        occluders: things within the clear radius, for each 100 square metres.
        doors: how many doors there are in walls.
        pitch: a playing field, outdoors, with nothing in the way.
    """
    build = Builder()
    indoor = bool(rng.random() < 0.25) and not pitch
    walls = _walls(build, rng, indoor, max(float(np.linalg.norm(cameras, axis=1).max()), clear_radius) + 3.0)
    for _ in range(int(rng.integers(3, 6)) if indoor else int(rng.integers(7, 14))):
        angle, radius = rng.uniform(0, 2 * math.pi), clear_radius + rng.uniform(0.8, 9.0)
        at = np.array([radius * math.cos(angle), radius * math.sin(angle)])
        if not _in_view(at, cameras):
            add_thing(build, rng, at, indoor)
    light, style = _light(rng, indoor, change), _style(rng, indoor, change)
    if pitch:
        style = _pitch(rng, change)
    else:
        _occluders(build, rng, clear_radius, occluders, indoor)
    found = _doors(build, rng, walls, doors)
    footprints = np.array(build.footprints).reshape(-1, 3)
    return Place(build.primitives(), np.stack(build.rows), light, style, indoor, footprints, found)


def _occluders(build: Builder, rng: np.random.Generator, radius: float, density: float, indoor: bool) -> None:
    used: list[np.ndarray] = []
    for _ in range(round(density * math.pi * radius**2 / 100.0)):
        angle, share = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0.06, 1.0))
        at = radius * share * np.array([math.cos(angle), math.sin(angle)])
        if all(np.linalg.norm(at - other) > 2.5 for other in used):
            used.append(at)
            add_occluder(build, rng, at, indoor)


def _doors(build: Builder, rng: np.random.Generator, walls: np.ndarray, count: int) -> np.ndarray:
    found = []
    for x, y, yaw, half in walls[np.argsort(np.linalg.norm(walls[:, :2], axis=1), kind="stable")][:count]:
        inward = -np.array([math.cos(yaw), math.sin(yaw)])
        side = np.array([-inward[1], inward[0]])
        face = np.array([x, y]) + 2.0 * inward + rng.uniform(-0.3, 0.3) * half * side
        row = m.material(rng.choice([[0.1, 0.1, 0.12], [0.25, 0.17, 0.12], [0.15, 0.2, 0.25]]), gloss=0.1)
        build.add(BOX, (1.0, 1.0, 1.0), np.append(face, 1.1), (0.03, 0.6, 1.1), yaw, row)
        found.append([*(face + 1.0 * inward), *(face - 0.9 * inward)])
    return np.array(found).reshape(-1, 4)


def _in_view(at: np.ndarray, cameras: np.ndarray) -> bool:
    """Whether something there would stand between a camera and the middle."""
    for camera in cameras:
        share = float(np.clip(at @ camera / (camera @ camera), 0.0, 1.2))
        if share > 0.0 and np.linalg.norm(at - share * camera) < 1.5 + 1.5 * (1.0 - min(share, 1.0)):
            return True
    return False


def _walls(build: Builder, rng: np.random.Generator, indoor: bool, radius: float) -> np.ndarray:
    """Walls all around; (W, 4), x, y, yaw and half the width of each."""
    found = []
    angle = rng.uniform(0, 2 * math.pi)
    end = angle + 2 * math.pi
    while angle < end:
        far = radius + (rng.uniform(0.0, 3.0) if indoor else rng.uniform(2.0, 16.0))
        half = rng.uniform(4.0, 8.0)
        height = rng.uniform(3.0, 4.5) if indoor else rng.uniform(5.0, 16.0)
        wall = WALLS[rng.integers(len(WALLS))]
        glass = np.array([0.30, 0.38, 0.42]) * rng.uniform(0.5, 1.1)
        code = m.PANELS if indoor or rng.random() < 0.2 else m.FACADE
        period = rng.uniform(1.4, 3.2)
        row = m.material(wall, code=code, second=glass, scale=period, seed=int(rng.integers(60000)),
                         p=(rng.uniform(0.35, 0.75), rng.uniform(0.8, 1.3), float(rng.random() < 0.4)))  # fmt: skip
        origin = np.array([far * math.cos(angle), far * math.sin(angle), height / 2])
        yaw = angle + rng.normal(0, 0.12)
        build.add(BOX, (1.0, 1.0, 1.0), origin, (2.0, half, height / 2), yaw, row)
        found.append([origin[0], origin[1], yaw, half])
        gap = 0.0 if indoor else rng.choice([0.0, 0.1, 0.35])
        angle += 1.7 * half / far + gap
    return np.array(found)


def _light(rng: np.random.Generator, indoor: bool, change: float) -> np.ndarray:
    azimuth, elevation = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(28, 65))
    sun = np.array(
        [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
    )
    warm = change * rng.uniform(-0.08, 0.12)
    tint = np.array([1.0 + warm, 1.0, 1.0 - 1.4 * warm])
    if indoor:
        sun = np.array([0.25 * sun[0], 0.25 * sun[1], 0.96])
        direct, sky, bounce = 0.35 * tint, 0.75 * tint, 0.35 * tint
    else:
        overcast = 0.5 + change * rng.uniform(-0.5, 0.5)
        direct = (1.25 - 1.1 * overcast) * tint * np.array([1.05, 1.0, 0.92])
        sky = (0.5 + 0.45 * overcast) * np.array([0.92, 1.0, 1.12])
        bounce = (0.3 + 0.1 * overcast) * tint
    # Cameras set their exposure so that level ground is about equally bright everywhere.
    level = (
        1.15 * math.exp(change * rng.normal(0.0, 0.12)) / float((direct * sun[2] / np.linalg.norm(sun) + sky).mean())
    )
    direct, sky, bounce = level * direct, level * sky, level * bounce
    haze = np.array([0.72, 0.78, 0.85]) if not indoor else np.array([0.6, 0.6, 0.58])
    return np.concatenate([sun / np.linalg.norm(sun), direct, sky, bounce, haze, [rng.uniform(0.001, 0.006)]])


def _style(rng: np.random.Generator, indoor: bool, change: float) -> np.ndarray:
    style = np.zeros(13)
    kind = POLISHED if indoor else int(rng.choice([ASPHALT, TILES, GRASS_AND_PATH], p=[0.4, 0.5, 0.1]))
    # Grounds differ around a common grey; the more so, the more places differ.
    first = np.array(STONES[rng.integers(len(STONES))]) * rng.uniform(0.75, 1.3)
    first = 0.27 + (0.4 + 0.6 * change) * (first - 0.27)
    second = first * rng.uniform(0.75, 1.25)
    angle = rng.uniform(0, math.pi)
    style[0], style[1:4], style[4:7] = kind, first, second
    style[7] = rng.choice([0.3, 0.4, 0.6, 1.0])
    style[8], style[9], style[10] = rng.integers(60000), math.cos(angle), math.sin(angle)
    style[11] = rng.choice([0.25, 0.4, 0.6])
    if kind == GRASS_AND_PATH:
        style[4:7] = (0.10, 0.17, 0.05)
        style[11] = rng.uniform(0.0, 0.35)
    elif kind == ASPHALT:
        style[1:4] = 0.6 * first + 0.4 * np.array((0.15, 0.15, 0.16)) * rng.uniform(0.7, 1.3)
        style[7] = rng.choice([0.0, 3.0, 5.0])
    elif kind == POLISHED:
        style[12] = 0.08
    return style


def _pitch(rng: np.random.Generator, change: float) -> np.ndarray:
    """Grass in two tones with white lines; where the circle lies and how it is turned differs from place to place."""
    style = np.zeros(13)
    grass = np.array([0.075, 0.16, 0.04]) * (1.0 + 0.4 * change * rng.uniform(-1.0, 1.0, 3))
    angle = rng.uniform(0, 2 * math.pi)
    style[0], style[1:4], style[4:7] = PITCH, grass, grass * rng.uniform(1.15, 1.4)
    style[7], style[8] = rng.uniform(1.8, 2.6), rng.integers(60000)
    style[9], style[10], style[11] = math.cos(angle), math.sin(angle), rng.uniform(0.0, 3.0)
    return style
