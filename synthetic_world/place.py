"""A place: ground, light, and the things that stand around; never the same twice."""

import math
from dataclasses import dataclass, replace

import numpy as np

from . import materials as m
from .primitives import Primitives
from .raycast import BOX, CUT_CONE, ROUNDED_CONE
from .shading import ASPHALT, GRASS_AND_PATH, POLISHED, TILES

# Linear colours of grounds.
STONES = ((0.30, 0.29, 0.28), (0.22, 0.22, 0.23), (0.36, 0.32, 0.27), (0.42, 0.41, 0.39), (0.30, 0.20, 0.16))
WALLS = (
    (0.70, 0.66, 0.60), (0.55, 0.32, 0.25), (0.62, 0.62, 0.62), (0.80, 0.76, 0.66), (0.42, 0.40, 0.38),
    (0.72, 0.55, 0.42), (0.86, 0.85, 0.82), (0.45, 0.50, 0.54),
)  # fmt: skip
LEAVES = ((0.22, 0.34, 0.14), (0.28, 0.38, 0.16), (0.16, 0.27, 0.14), (0.42, 0.38, 0.15))
THINGS = (
    (0.25, 0.26, 0.28),
    (0.12, 0.2, 0.16),
    (0.5, 0.1, 0.1),
    (0.55, 0.55, 0.52),
    (0.32, 0.24, 0.18),
    (0.15, 0.2, 0.4),
)


@dataclass(frozen=True)
class Place:
    """Surroundings of one scene.

    Attributes:
        things: primitives that nobody owns.
        materials: their materials, (M, COLUMNS).
        light: (16,), direction to the sun, linear colours of sun, sky, ground bounce and haze, haze per metre.
        style: (13,), ground parameters read by `shading.ground_colour`.
        indoor: whether it is a hall.
    """

    things: Primitives
    materials: np.ndarray
    light: np.ndarray
    style: np.ndarray
    indoor: bool

    def revisited(self, rng: np.random.Generator, change: float) -> "Place":
        """The same surroundings with other light and other ground; `change` as in `Level.place_change`."""
        return replace(self, light=_light(rng, self.indoor, change), style=_style(rng, self.indoor, change))


class _Builder:
    """Collects things and their materials."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.found: list[tuple[int, tuple[float, float, float], np.ndarray, np.ndarray, np.ndarray, int]] = []

    def add(
        self,
        kind: int,
        shape: tuple[float, float, float],
        origin: np.ndarray,
        scale: tuple[float, float, float],
        yaw: float,
        row: np.ndarray,
    ) -> None:
        c, s = math.cos(yaw), math.sin(yaw)
        rotation = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        frame = rotation / np.array(scale)[:, None]
        self.found.append((kind, shape, np.asarray(origin, float), frame, rotation, len(self.rows)))
        self.rows.append(row)

    def primitives(self) -> Primitives:
        origins = np.array([f[2] for f in self.found])
        places = origins.copy()
        places[:, 2] = 0.0  # heights of patterns count from the ground
        return Primitives(
            kinds=np.array([f[0] for f in self.found], np.int64),
            shapes=np.array([f[1] for f in self.found], float),
            origins=origins,
            frames=np.stack([f[3] for f in self.found]),
            textures=np.stack([f[4] for f in self.found]),
            places=places,
            materials=np.array([f[5] for f in self.found], np.int64),
            owners=np.full(len(self.found), -1, np.int64),
        )


def make_place(rng: np.random.Generator, clear_radius: float, cameras: np.ndarray, change: float) -> Place:
    """A random place around the origin.

    Args:
        rng: generator of this place.
        clear_radius: nothing stands within it, so that people can walk there.
        cameras: (C, 2), where cameras are; nothing stands near them or around the lines to the origin.
        change: as in `Level.place_change`.
    """
    build = _Builder()
    indoor = bool(rng.random() < 0.25)
    _walls(build, rng, indoor, float(np.linalg.norm(cameras, axis=1).max()) + 3.0)
    for _ in range(int(rng.integers(3, 6)) if indoor else int(rng.integers(7, 14))):
        angle, radius = rng.uniform(0, 2 * math.pi), clear_radius + rng.uniform(0.8, 9.0)
        at = np.array([radius * math.cos(angle), radius * math.sin(angle)])
        if not _in_view(at, cameras):
            _thing(build, rng, at, indoor)
    return Place(
        build.primitives(), np.stack(build.rows), _light(rng, indoor, change), _style(rng, indoor, change), indoor
    )


def _in_view(at: np.ndarray, cameras: np.ndarray) -> bool:
    """Whether something there would stand between a camera and the middle."""
    for camera in cameras:
        share = float(np.clip(at @ camera / (camera @ camera), 0.0, 1.2))
        if share > 0.0 and np.linalg.norm(at - share * camera) < 1.5 + 1.5 * (1.0 - min(share, 1.0)):
            return True
    return False


def _walls(build: _Builder, rng: np.random.Generator, indoor: bool, radius: float) -> None:
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
        build.add(BOX, (1.0, 1.0, 1.0), origin, (2.0, half, height / 2), angle + rng.normal(0, 0.12), row)
        gap = 0.0 if indoor else rng.choice([0.0, 0.1, 0.35])
        angle += 1.7 * half / far + gap


def _thing(build: _Builder, rng: np.random.Generator, at: np.ndarray, indoor: bool) -> None:
    colour = np.clip(np.array(THINGS[rng.integers(len(THINGS))]) * rng.uniform(0.7, 1.4), 0, 1)
    row = m.material(colour, gloss=0.05)
    yaw = rng.uniform(0, math.pi)
    kind = (
        rng.choice(["bin", "bench", "post"]) if indoor else rng.choice(["tree", "bush", "post", "bin", "bench", "car"])
    )
    up = np.array([at[0], at[1], 0.0])
    if kind == "tree":
        tall = rng.uniform(2.2, 3.4)
        bark = m.material((0.28, 0.22, 0.17), folds=0.5)
        build.add(ROUNDED_CONE, (tall, 0.17, 0.11), up, (1, 1, 1), 0.0, bark)
        leaf = LEAVES[rng.integers(len(LEAVES))]
        for _ in range(4):
            middle = up + np.append(rng.normal(0, 0.7, 2), tall + rng.uniform(0.3, 1.8))
            size = tuple(rng.uniform(0.8, 1.5, 3))
            build.add(
                ROUNDED_CONE,
                (0, 1, 1),
                middle,
                size,
                0.0,
                m.material(leaf, code=m.FOLIAGE, seed=int(rng.integers(9999))),
            )
    elif kind == "bush":
        leaf = LEAVES[rng.integers(len(LEAVES))]
        for _ in range(2):
            middle = up + np.append(rng.normal(0, 0.4, 2), 0.4)
            size = tuple(rng.uniform(0.5, 0.9, 3))
            build.add(
                ROUNDED_CONE,
                (0, 1, 1),
                middle,
                size,
                0.0,
                m.material(leaf, code=m.FOLIAGE, seed=int(rng.integers(9999))),
            )
    elif kind == "post":
        tall = rng.choice([0.9, 1.1, 3.5, 5.0])
        build.add(CUT_CONE, (tall, 0.07, 0.05), up, (1, 1, 1), 0.0, row)
    elif kind == "bin":
        build.add(CUT_CONE, (0.95, 0.27, 0.30), up, (1, 1, 1), 0.0, row)
    elif kind == "bench":
        build.add(BOX, (1, 1, 1), up + np.array([0, 0, 0.43]), (0.9, 0.22, 0.03), yaw, row)
        build.add(BOX, (1, 1, 1), up + np.array([0, 0, 0.2]), (0.75, 0.18, 0.2), yaw, m.material((0.2, 0.2, 0.2)))
    else:
        paint = m.material(
            rng.choice([[0.75] * 3, [0.1] * 3, [0.45] * 3, [0.5, 0.1, 0.1], [0.15, 0.25, 0.45]]), gloss=0.25
        )
        build.add(ROUNDED_CONE, (0, 1, 1), up + np.array([0, 0, 0.62]), (2.2, 0.9, 0.45), yaw, paint)
        build.add(
            ROUNDED_CONE,
            (0, 1, 1),
            up + np.array([0, 0, 0.95]),
            (1.3, 0.8, 0.5),
            yaw,
            m.material((0.1, 0.12, 0.14), gloss=0.5),
        )
        for x, y in ((1.3, 0.75), (1.3, -0.75), (-1.3, 0.75), (-1.3, -0.75)):
            wheel = up + np.array([x * math.cos(yaw) - y * math.sin(yaw), x * math.sin(yaw) + y * math.cos(yaw), 0.32])
            build.add(ROUNDED_CONE, (0, 1, 1), wheel, (0.32, 0.12, 0.32), yaw, m.material((0.05, 0.05, 0.05)))


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
