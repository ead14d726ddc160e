"""Who walks where: people, cameras and a place shared by all of them."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .body import make_rig
from .camera import Camera
from .levels import Level
from .person import Person, make_person
from .pose import Pose, walk
from .primitives import Primitives, join
from .rig import Rig
from .seeds import rng_for

PERSONAL_SPACE = 0.62  # metres between the middles of two people


@lru_cache(maxsize=512)
def dressed(seed: int, number: int, level: Level) -> tuple[Person, Rig]:
    """A person and their rig; kept, since building one takes longer than posing it."""
    person = make_person(seed, number, level)
    return person, make_rig(person)


@dataclass(frozen=True)
class Stand:
    """Somebody at one moment: where, which way (radians), phase of the gait, and share of their usual speed."""

    number: int
    position: tuple[float, float]
    heading: float
    phase: float
    pace: float


@dataclass(frozen=True)
class Group:
    """Several people at one moment, ready to render; index in `stands` = owner of the primitives."""

    stands: tuple[Stand, ...]
    people: tuple[Person, ...]
    poses: tuple[Pose, ...]
    primitives: Primitives
    materials: np.ndarray

    def one(self, index: int) -> Primitives:
        """Primitives of one person alone."""
        return self.primitives.select(self.primitives.owners == index)


def gather(seed: int, level: Level, stands: list[Stand]) -> Group:
    """Pose everybody."""
    people, poses, parts, rows = [], [], [], []
    offset = 0
    for owner, stand in enumerate(stands):
        person, rig = dressed(seed, stand.number, level)
        pose = walk(person.size, person.gait, stand.phase, stand.pace, np.array(stand.position), stand.heading)
        parts.append(rig.posed(pose).owned_by(owner, offset))
        offset += len(rig.materials)
        people.append(person)
        poses.append(pose)
        rows.append(rig.materials)
    return Group(tuple(stands), tuple(people), tuple(poses), join(parts), np.concatenate(rows))


def ring_camera(
    rng: np.random.Generator,
    index: int,
    count: int,
    distance: tuple[float, float],
    size: tuple[int, int],
    spread: float,
) -> Camera:
    """A camera that looks at the origin from around it.

    Args:
        rng: generator of this camera.
        index: which of `count` cameras; they are spaced evenly, with some jitter.
        count: how many there are.
        distance: least and largest distance to the origin, metres.
        size: width and height of the image.
        spread: focal length as a share of the width.
    """
    angle = 2 * math.pi * (index + rng.uniform(-0.3, 0.3)) / count
    radius = rng.uniform(*distance)
    height = rng.uniform(2.2, 4.2)
    aim = rng.normal(0, 0.03)
    # Aimed at chest height, a little above or below.
    tilt = math.atan2(height - 0.9, radius) + rng.normal(0, 0.02)
    position = (radius * math.cos(angle), radius * math.sin(angle), height)
    return Camera(position, angle + math.pi + aim, tilt, spread * size[0] * rng.uniform(0.9, 1.15), *size)


def area_radius(people: int) -> float:
    """Radius of the area in which that many people walk, metres."""
    return float(np.clip(1.5 * math.sqrt(people), 3.5, 15.0))


class Crowd:
    """Walkers who cross an area again and again, stop at times, and keep out of each other's way.

    Attributes:
        positions: (T, N, 2), metres.
        headings: (T, N), radians.
        phases: (T, N), of the gait.
        paces: (T, N), share of the usual speed.
    """

    def __init__(self, seed: int, sequence: int, people: list[Person], frames: int, fps: float) -> None:
        self.numbers = [person.number for person in people]
        count = len(people)
        rng = rng_for(seed, "crowd", sequence)
        radius = area_radius(count)
        usual = np.array([person.speed for person in people])
        rate = np.array([person.step_rate for person in people])
        position = _spread_out(rng, count, radius)
        target = _across(rng, position, radius)
        heading = np.arctan2(*(target - position).T[::-1])
        pace = np.ones(count)
        phase = rng.uniform(0, 2 * math.pi, count)
        rest = np.zeros(count)  # seconds left of a stop
        step = 1.0 / fps
        shapes = ((frames, count, 2), (frames, count), (frames, count), (frames, count))
        self.positions, self.headings, self.phases, self.paces = (np.empty(shape) for shape in shapes)
        for t in range(frames):
            self.positions[t], self.headings[t], self.phases[t], self.paces[t] = position, heading, phase, pace
            arrived = np.linalg.norm(target - position, axis=1) < 0.8
            fresh = _across(rng, position, radius)
            stops = rng.random(count) < 0.2
            pause = rng.uniform(1.0, 3.0, count)
            rest = np.where(arrived & stops, pause, rest - step)
            target = np.where(arrived[:, None], fresh, target)
            wish = target - position
            wish /= np.linalg.norm(wish, axis=1, keepdims=True) + 1e-9
            wish += _away(position, heading)
            turn = np.arctan2(wish[:, 1], wish[:, 0]) - heading
            turn = (turn + math.pi) % (2 * math.pi) - math.pi
            heading = heading + np.clip(turn, -2.2 * step, 2.2 * step) * np.where(rest > 0, 0.3, 1.0)
            # Who turns a lot walks slower; who waits stands.
            aim = np.where(rest > 0, 0.0, np.clip(1.1 - 0.6 * np.abs(turn), 0.35, 1.0))
            pace = pace + np.clip(aim - pace, -1.5 * step, 1.5 * step)
            forward = np.stack([np.cos(heading), np.sin(heading)], 1)
            moved = position + forward * (usual * pace * step)[:, None]
            moved = _apart(moved)
            walked = np.linalg.norm(moved - position, axis=1)
            phase = phase + rate * np.maximum(walked, 0.3 * usual * pace * step) / np.maximum(0.5 + 0.5 * pace, 0.5)
            position = moved

    def at(self, frame: int) -> list[Stand]:
        """Everybody in that frame, counted from 0."""
        return [
            Stand(
                number,
                (float(x), float(y)),
                float(self.headings[frame, n]),
                float(self.phases[frame, n]),
                float(self.paces[frame, n]),
            )
            for n, (number, (x, y)) in enumerate(zip(self.numbers, self.positions[frame]))
        ]


def _spread_out(rng: np.random.Generator, count: int, radius: float) -> np.ndarray:
    angle, share = rng.uniform(0, 2 * math.pi, count), np.sqrt(rng.uniform(0, 1, count))
    position = radius * share[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    for _ in range(30):
        position = _apart(position)
    return position


def _across(rng: np.random.Generator, position: np.ndarray, radius: float) -> np.ndarray:
    """New targets near the edge of the area, on the far side of each position."""
    angle = np.arctan2(position[:, 1], position[:, 0]) + math.pi + rng.uniform(-1.1, 1.1, len(position))
    return radius * rng.uniform(0.7, 1.0, len(position))[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _away(position: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Sideways wish of each walker, away from who is close ahead."""
    offset = position[None, :] - position[:, None]  # (N, N, 2), from row to column
    distance = np.linalg.norm(offset, axis=2) + 1e-9
    forward = np.stack([np.cos(heading), np.sin(heading)], 1)
    ahead = np.einsum("ijk,ik->ij", offset, forward) / distance
    left = np.stack([-forward[:, 1], forward[:, 0]], 1)
    side = np.einsum("ijk,ik->ij", offset, left)
    near = (distance < 2.2) & (ahead > 0.5)
    np.fill_diagonal(near, False)
    push = np.where(near, (2.2 - distance) / 2.2 * np.where(side >= 0, -1.0, 1.0), 0.0).sum(1)
    return np.clip(1.2 * push, -1.5, 1.5)[:, None] * left


def _apart(position: np.ndarray) -> np.ndarray:
    """Positions after pushing apart those who would walk through each other."""
    offset = position[:, None] - position[None, :]
    distance = np.linalg.norm(offset, axis=2)
    np.fill_diagonal(distance, np.inf)
    lack = np.clip(PERSONAL_SPACE - distance, 0.0, None) * 0.5
    return position + (offset / np.maximum(distance, 1e-6)[..., None] * lack[..., None]).sum(1)
