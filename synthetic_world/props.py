"""What people carry and what hides them: umbrella, phone, pushed bicycle, trolley; no part of the person."""

import math
from functools import lru_cache

import numpy as np

from . import materials as m
from .pose import (
    ASIDE,
    AXLE_FRONT,
    AXLE_REAR,
    BAR,
    BODY,
    FRONT_AXLE,
    GRIP,
    GROUND,
    HEAD,
    PALM_L,
    PALM_R,
    REAR_AXLE,
    USUAL_HEIGHT,
    WHEEL,
    WHEEL_RADIUS,
)
from .raycast import BOX, CUT_CONE
from .rig import Part, Rig

Colour = tuple[float, float, float]
Point = tuple[int, int, tuple[float, float, float]]

PAINT, DARK, METAL = range(3)  # rows of the materials
LEFT = 1  # front of parts that may point forward or up
PANELS = 8  # of an umbrella, two by two
RIM, SPOKES = 12, 6  # straight pieces of a wheel, and its spokes


@lru_cache(maxsize=512)
def carried_rig(holding: str, side: int, colour: Colour, height: float) -> Rig | None:
    """Parts of what somebody holds, to be posed with the body; None for what is not seen.

    Args:
        holding: one of `pose.HOLDS`.
        side: 1 left, -1 right.
        colour: of the umbrella, the frame, the case; sRGB, 0..1.
        height: of the person, metres.
    """
    k = height / USUAL_HEIGHT
    if holding == "umbrella":
        parts = _umbrella(side, k)
    elif holding.startswith("phone"):
        parts = [_phone(holding, side)]
    elif holding == "bicycle":
        parts = _bicycle(side)
    elif holding == "trolley":
        parts = _trolley(side, k)
    else:
        return None
    second = np.array(colour) * 0.8
    return Rig(parts, [
        m.material(colour, code=m.PINSTRIPES, second=second, p=(0.5, PANELS / 2, 0.0), folds=0.12, gloss=0.05),
        m.material((0.05, 0.05, 0.06), gloss=0.1),
        m.material((0.5, 0.51, 0.53), gloss=0.3),
    ])  # fmt: skip


def _palm(side: int) -> int:
    return PALM_L if side > 0 else PALM_R


def _umbrella(side: int, k: float) -> list[Part]:
    """A stick from the hand to a dome of two cones above the head."""

    def over(up: float) -> Point:
        return HEAD, BODY, (0.06, side * 0.07, k * 0.115 + up)

    hand: Point = (_palm(side), BODY, (0.0, 0.0, 0.0))
    return [
        Part(hand, over(0.33), (0.008, 0.008), METAL),
        Part((_palm(side), BODY, (-0.01, 0.0, -0.12)), hand, (0.014, 0.014), DARK),
        Part(over(0.06), over(0.19), (0.50, 0.39), PAINT, kind=CUT_CONE),
        Part(over(0.19), over(0.29), (0.39, 0.02), PAINT, kind=CUT_CONE),
    ]


def _phone(holding: str, side: int) -> Part:
    """A slab in the hand: upright at the ear and before the face, its face up when somebody looks down at it."""
    halves = {"phone at ear": (0.008, 0.035, 0.075), "phone low": (0.036, 0.075, 0.006)}
    half = halves.get(holding, (0.038, 0.006, 0.078))
    at: Point = (_palm(side), BODY, (0.02, 0.0, 0.03))
    return Part(at, at, (1.0, 1.0), DARK, scale=half, kind=BOX)


def _bicycle(side: int) -> list[Part]:
    """Frame, handlebar, saddle and two wheels with spokes, which turn."""
    y = side * ASIDE

    def at(place: tuple[float, float], across: float = 0.0) -> Point:
        return GROUND, BODY, (place[0], y + across, place[1])

    crank, seat, steer, fork = (-0.10, 0.30), (-0.24, 0.80), (0.28, 0.80), (0.32, 0.70)
    tubes = [
        (crank, seat, 0.017), (seat, steer, 0.017), (crank, fork, 0.019), (steer, fork, 0.02),
        (crank, REAR_AXLE, 0.011), (seat, REAR_AXLE, 0.011), (fork, FRONT_AXLE, 0.014),
    ]  # fmt: skip
    parts = [Part(at(a), at(b), (r, r), PAINT, front=LEFT) for a, b, r in tubes]
    parts.append(Part(at(steer), at(BAR), (0.014, 0.014), METAL, front=LEFT))
    parts.append(Part(at(BAR, -GRIP), at(BAR, GRIP), (0.013, 0.013), METAL))
    for across in (-GRIP, GRIP):
        parts.append(Part(at(BAR, 0.75 * across), at(BAR, 1.05 * across), (0.019, 0.019), DARK))
    parts.append(Part(at(seat), at((-0.27, 0.92)), (0.014, 0.014), METAL, front=LEFT))
    parts.append(Part(at((-0.16, 0.94)), at((-0.36, 0.94)), (0.03, 0.075), DARK, scale=(0.5, 1.0, 1.0), front=LEFT))
    for axle in (AXLE_FRONT, AXLE_REAR):
        parts += _wheel(axle)
    return parts


def _wheel(axle: int) -> list[Part]:
    def at(step: float, radius: float) -> Point:
        angle = 2.0 * math.pi * step / RIM
        return axle, WHEEL, (radius * math.sin(angle), 0.0, radius * math.cos(angle))

    tyre = WHEEL_RADIUS - 0.019
    rim = [Part(at(step, tyre), at(step + 1, tyre), (0.019, 0.019), DARK, front=LEFT) for step in range(RIM)]
    spokes = [
        Part(at(step, tyre), at(step + RIM / 2, tyre), (0.0025, 0.0025), METAL, front=LEFT)
        for step in np.arange(SPOKES) * RIM / (2 * SPOKES)
    ]
    return rim + spokes


def _trolley(side: int, k: float) -> list[Part]:
    """A case on wheels that follows at the end of its handle."""
    palm: Point = (_palm(side), BODY, (0.0, 0.0, 0.0))
    foot, hand = np.array([-0.62 * k, side * 0.30 * k, 0.06]), np.array([-0.20 * k, side * 0.30 * k, 0.74 * k])
    along = (hand - foot) / np.linalg.norm(hand - foot)

    def at(distance: float) -> Point:
        x, y, z = foot + distance * along
        return GROUND, BODY, (float(x), float(y), float(z))

    parts = [
        Part(at(0.28), palm, (1.0, 1.0), PAINT, scale=(0.19, 0.11, 0.27), kind=BOX),
        Part(at(0.5), palm, (0.01, 0.01), METAL),
    ]
    for across in (-0.14, 0.14):
        x, y, z = foot + np.array([0.03, across, -0.025])
        wheel: Point = (GROUND, BODY, (float(x), float(y), float(z)))
        parts.append(Part(wheel, wheel, (1.0, 1.0), DARK, scale=(0.02, 0.035, 0.035)))
    return parts
