"""Things that stand around and hide people."""

import math

import numpy as np

from . import materials as m
from .primitives import Primitives
from .raycast import BOX, CUT_CONE, ROUNDED_CONE

LEAVES = ((0.22, 0.34, 0.14), (0.28, 0.38, 0.16), (0.16, 0.27, 0.14), (0.42, 0.38, 0.15))
THINGS = (
    (0.25, 0.26, 0.28),
    (0.12, 0.2, 0.16),
    (0.5, 0.1, 0.1),
    (0.55, 0.55, 0.52),
    (0.32, 0.24, 0.18),
    (0.15, 0.2, 0.4),
)
WALLPAPER = ((0.70, 0.2, 0.2), (0.2, 0.3, 0.5), (0.75, 0.7, 0.6), (0.2, 0.4, 0.3))


class Builder:
    """Collects things, their materials and where people cannot walk."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.footprints: list[tuple[float, float, float]] = []  # circles on the ground: x, y, radius
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
        """One primitive; `scale` stretches it, `yaw` turns it."""
        c, s = math.cos(yaw), math.sin(yaw)
        rotation = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        frame = rotation / np.array(scale)[:, None]
        self.found.append((kind, shape, np.asarray(origin, float), frame, rotation, len(self.rows)))
        self.rows.append(row)

    def primitives(self) -> Primitives:
        """All of them, owned by nobody."""
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


def add_thing(build: Builder, rng: np.random.Generator, at: np.ndarray, indoor: bool) -> None:
    """Something that stands around the area in which people walk."""
    row = _paint(rng)
    yaw = rng.uniform(0, math.pi)
    kinds = ["bin", "bench", "post"] if indoor else ["tree", "bush", "post", "bin", "bench", "car"]
    _add(build, rng, at, str(rng.choice(kinds)), row, yaw)


def add_occluder(build: Builder, rng: np.random.Generator, at: np.ndarray, indoor: bool) -> None:
    """Something that stands where people walk."""
    row = _paint(rng)
    yaw = rng.uniform(0, math.pi)
    kinds = ["bin", "bench", "post", "plant", "board"] + ([] if indoor else ["car"])
    _add(build, rng, at, str(rng.choice(kinds)), row, yaw)


def _paint(rng: np.random.Generator) -> np.ndarray:
    colour = np.clip(np.array(THINGS[rng.integers(len(THINGS))]) * rng.uniform(0.7, 1.4), 0, 1)
    return m.material(colour, gloss=0.05)


def _leaf(
    build: Builder,
    rng: np.random.Generator,
    leaf: tuple[float, float, float],
    middle: np.ndarray,
    size: tuple[float, ...],
) -> None:
    row = m.material(leaf, code=m.FOLIAGE, seed=int(rng.integers(9999)))
    build.add(ROUNDED_CONE, (0, 1, 1), middle, (size[0], size[1], size[2]), 0.0, row)


def _add(build: Builder, rng: np.random.Generator, at: np.ndarray, kind: str, row: np.ndarray, yaw: float) -> None:
    up = np.array([at[0], at[1], 0.0])
    along = np.array([math.cos(yaw), math.sin(yaw)])
    radius = {"tree": 0.3, "bush": 1.1, "post": 0.15, "bin": 0.35, "plant": 0.45}.get(kind, 0.35)
    shifts = {"bench": (-0.6, 0.0, 0.6), "board": (-0.35, 0.35), "car": (-1.5, -0.5, 0.5, 1.5)}.get(kind, (0.0,))
    for shift in shifts:
        x, y = at + shift * along
        build.footprints.append((float(x), float(y), 0.95 if kind == "car" else radius))
    if kind == "tree":
        tall = rng.uniform(2.2, 3.4)
        build.add(ROUNDED_CONE, (tall, 0.17, 0.11), up, (1, 1, 1), 0.0, m.material((0.28, 0.22, 0.17), folds=0.5))
        leaf = LEAVES[rng.integers(len(LEAVES))]
        for _ in range(4):
            middle = up + np.append(rng.normal(0, 0.7, 2), tall + rng.uniform(0.3, 1.8))
            _leaf(build, rng, leaf, middle, tuple(rng.uniform(0.8, 1.5, 3)))
    elif kind == "bush":
        leaf = LEAVES[rng.integers(len(LEAVES))]
        for _ in range(2):
            middle = up + np.append(rng.normal(0, 0.4, 2), 0.4)
            _leaf(build, rng, leaf, middle, tuple(rng.uniform(0.5, 0.9, 3)))
    elif kind == "plant":
        build.add(CUT_CONE, (0.5, 0.26, 0.36), up, (1, 1, 1), 0.0, row)
        leaf = LEAVES[rng.integers(len(LEAVES))]
        for height in (0.75, 1.15):
            middle = up + np.append(rng.normal(0, 0.06, 2), height)
            _leaf(build, rng, leaf, middle, tuple(rng.uniform(0.3, 0.45, 3)))
    elif kind == "post":
        build.add(CUT_CONE, (rng.choice([0.9, 1.1, 3.5, 5.0]), 0.07, 0.05), up, (1, 1, 1), 0.0, row)
    elif kind == "bin":
        build.add(CUT_CONE, (0.95, 0.27, 0.30), up, (1, 1, 1), 0.0, row)
    elif kind == "bench":
        build.add(BOX, (1, 1, 1), up + np.array([0, 0, 0.43]), (0.9, 0.22, 0.03), yaw, row)
        build.add(BOX, (1, 1, 1), up + np.array([0, 0, 0.2]), (0.75, 0.18, 0.2), yaw, m.material((0.2, 0.2, 0.2)))
    elif kind == "board":
        poster = m.material(WALLPAPER[rng.integers(len(WALLPAPER))], code=m.PANELS, second=(0.3, 0.38, 0.42),
                            scale=0.7, seed=int(rng.integers(60000)), p=(0.6, 1.0, 0.0))  # fmt: skip
        build.add(BOX, (1, 1, 1), up + np.array([0, 0, 0.85]), (0.6, 0.05, 0.75), yaw, poster)
        build.add(BOX, (1, 1, 1), up + np.array([0, 0, 0.05]), (0.6, 0.2, 0.05), yaw, row)
    else:
        _car(build, rng, up, yaw)


def _car(build: Builder, rng: np.random.Generator, up: np.ndarray, yaw: float) -> None:
    paint = m.material(rng.choice([[0.75] * 3, [0.1] * 3, [0.45] * 3, [0.5, 0.1, 0.1], [0.15, 0.25, 0.45]]), gloss=0.25)
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
