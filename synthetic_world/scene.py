"""Who walks where: people, cameras and a place shared by all of them."""

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from .body import make_rig
from .camera import Camera
from .jit import compiled
from .levels import Level
from .match import MATCH, STREET, make_member
from .person import Person, make_person
from .pose import Pose, walk
from .primitives import Primitives, join
from .props import carried_rig
from .rig import Rig
from .seeds import rng_for

WARDROBE = 100000  # numbers of people who never appear, but whose clothes do, begin here
BODY_FIELDS = frozenset(
    {"number", "size", "girth", "feminine", "skin", "hair", "hair_colour", "beard", "gait", "speed"}
)


@lru_cache(maxsize=512)
def dressed(seed: int, number: int, level: Level, outfit: int = 0, crowd: str = STREET) -> tuple[Person, Rig]:
    """A person and their rig; kept, since building one takes longer than posing it.

    Args:
        seed: of the world.
        number: of the person.
        level: decides what clothes are like.
        outfit: 0 for the usual clothes; others change clothes, shoes, bag and hat, but never body, gait or role.
            Teams change as a whole.
        crowd: one of `match.CROWDS`.
    """
    member = make_member(seed, number, level, outfit) if crowd == MATCH else None
    if member is not None:
        return member, make_rig(member)
    person = make_person(seed, number, level)
    if outfit:
        rng = rng_for(seed, "wardrobe", number, outfit)
        for _ in range(1000):
            other = make_person(seed, WARDROBE + int(rng.integers(1000000)), level)
            if (other.feminine, other.role) == (person.feminine, person.role):
                names = [field.name for field in fields(Person) if field.name not in BODY_FIELDS]
                person = replace(person, **{name: getattr(other, name) for name in names})
                break
    if crowd == MATCH:  # nobody takes a bicycle onto the pitch
        person = replace(person, carried="nothing")
    return person, make_rig(person)


@dataclass(frozen=True)
class Stand:
    """Somebody at one moment: where, which way (radians), phase of the gait, and share of their usual speed.

    `track` counts the people of a sequence from 0, `outfit` is 0 for the usual clothes; `phoning` people do what
    they use to do with a phone, those who have one.
    """

    number: int
    position: tuple[float, float]
    heading: float
    phase: float
    pace: float
    track: int = 0
    outfit: int = 0
    phoning: bool = False


@dataclass(frozen=True)
class Group:
    """Several people at one moment, ready to render; index in `stands` = owner of the primitives.

    `carried` holds for each of them the umbrella, phone, bicycle or trolley, which is no part of the person: nobody
    owns it, and it hides people.
    """

    stands: tuple[Stand, ...]
    people: tuple[Person, ...]
    poses: tuple[Pose, ...]
    primitives: Primitives
    materials: np.ndarray
    carried: tuple[Primitives | None, ...]

    def shown(self, without: int | None = None) -> Primitives:
        """All bodies and what they carry, but for one person."""
        bodies = self.primitives
        if without is not None:
            bodies = bodies.select(bodies.owners != without)
        return join([bodies, *(own for index, own in enumerate(self.carried) if own and index != without)])

    def one(self, index: int) -> Primitives:
        """Primitives of one person alone."""
        return self.primitives.select(self.primitives.owners == index)


def gather(seed: int, level: Level, stands: list[Stand], crowd: str = STREET) -> Group:
    """Pose everybody; `crowd` as in `dressed`."""
    people, poses, parts, rows, carried = [], [], [], [], []
    offset = 0

    def add(rig: Rig, pose: Pose, owner: int) -> Primitives:
        nonlocal offset
        found = rig.posed(pose).owned_by(owner, offset)
        rows.append(rig.materials)
        offset += len(rig.materials)
        return found

    for owner, stand in enumerate(stands):
        person, rig = dressed(seed, stand.number, level, stand.outfit, crowd)
        holding = person.holds(stand.phoning)
        pose = walk(
            person.size, person.gait, stand.phase, stand.pace, np.array(stand.position), stand.heading, holding,
            person.side,
        )  # fmt: skip
        parts.append(add(rig, pose, owner))
        own = carried_rig(holding, person.side, person.carried_colour, person.size.height)
        carried.append(None if own is None else add(own, pose, -1))
        people.append(person)
        poses.append(pose)
    return Group(tuple(stands), tuple(people), tuple(poses), join(parts), np.concatenate(rows), tuple(carried))


def streaks(camera: Camera, group: Group, index: int, shutter: float) -> np.ndarray:
    """Pixels (2,) that somebody's waist moves across and down in so many seconds."""
    stand, person = group.stands[index], group.people[index]
    way = person.speed * stand.pace * shutter * np.array([math.cos(stand.heading), math.sin(stand.heading)])
    at = np.append(np.array(stand.position), 1.0)
    pixels, depth = camera.project(np.stack([at, at + np.append(way, 0.0)]))
    return pixels[1] - pixels[0] if depth.min() > 0.5 else np.zeros(2)


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
    return float(np.clip(1.5 * math.sqrt(people), 3.5, 25.0))


def outward_camera(rng: np.random.Generator, index: int, count: int, radius: float, size: tuple[int, int]) -> Camera:
    """A camera near the origin that looks outward into a sector of its own, at most 64 degrees wide.

    Args:
        rng: generator of this camera.
        index: which of `count` cameras.
        count: how many sectors there are.
        radius: of the area in which people walk, metres.
        size: width and height of the image.
    """
    angle = 2 * math.pi * index / count
    height = rng.uniform(2.6, 4.0)
    tilt = math.atan2(height - 0.9, 0.6 * radius) + rng.normal(0, 0.02)
    half = min(math.radians(32), 0.68 * math.pi / count)
    position = (1.2 * math.cos(angle), 1.2 * math.sin(angle), height)
    yaw = angle + float(rng.uniform(-0.03, 0.03))
    return Camera(position, yaw, tilt, 0.5 * size[0] / math.tan(half), *size)


def outside(position: np.ndarray, footprints: np.ndarray, room: float) -> np.ndarray:
    """Positions (N, 2), moved out of the circles (F, 3), x, y, radius, that are larger by `room` than given."""
    position = np.array(position, float)
    _push_out(position, footprints, room)
    return position


@compiled
def _push_out(position, footprints, room):
    """Move positions in place, out of one circle after the other."""
    for f in range(footprints.shape[0]):
        reach = footprints[f, 2] + room
        for n in range(position.shape[0]):
            x, y = position[n, 0] - footprints[f, 0], position[n, 1] - footprints[f, 1]
            distance = math.sqrt(x * x + y * y)
            if distance < reach:
                x, y = (x / distance, y / distance) if distance > 1e-6 else (1.0, 0.0)
                position[n, 0] += x * (reach - distance)
                position[n, 1] += y * (reach - distance)
