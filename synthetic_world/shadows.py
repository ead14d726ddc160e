"""Soft shadows on the ground, drawn from above."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .primitives import Primitives
from .raycast import BOX

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


@dataclass(frozen=True)
class GroundMaps:
    """Three uint8 maps of the ground and where they lie.

    Attributes:
        still: shadows of things.
        moving: shadows of people.
        contact: darkening close to feet and under things.
        place: x and y of the corner, cells per metre.
    """

    still: np.ndarray
    moving: np.ndarray
    contact: np.ndarray
    place: np.ndarray


def draw_ground_maps(
    things: Primitives, people: Primitives, sun: np.ndarray, centre: np.ndarray, half: float, cells_per_metre: float
) -> GroundMaps:
    """Maps of a square of ground.

    Args:
        things: what stands around.
        people: bodies.
        sun: (3,), unit vector to the sun.
        centre: (2,), middle of the square, metres.
        half: half its side, metres.
        cells_per_metre: resolution.
    """
    size = int(2 * half * cells_per_metre)
    place = np.array([centre[0] - half, centre[1] - half, cells_per_metre])
    still, moving, contact = (np.zeros((size, size), np.uint8) for _ in range(3))
    reach = half + 12.0
    near = np.abs(things.origins[:, :2] - centre).max(1) < reach
    _draw(still, things.select(near), sun, place)
    _draw(moving, people, sun, place)
    low = people.select(people.origins[:, 2] < 0.35)
    _draw(contact, low, np.array([0.0, 0.0, 1.0]), place, grow=0.05)
    _draw(contact, things.select(near & (things.origins[:, 2] < 1.0)), np.array([0.0, 0.0, 1.0]), place, grow=0.08)
    return GroundMaps(_soft(still, 0.06, place), _soft(moving, 0.035, place), _soft(contact, 0.07, place), place)


def _soft(grid: np.ndarray, metres: float, place: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(grid, (0, 0), max(0.6, metres * place[2]))


def _draw(grid: np.ndarray, primitives: Primitives, sun: np.ndarray, place: np.ndarray, grow: float = 0.0) -> None:
    if not len(primitives):
        return
    inverse = np.linalg.inv(primitives.frames)
    first, second = primitives.ends()
    # A shadow is about as wide as the narrower of the two girths is from above.
    girth = np.linalg.norm(inverse[:, :, :2], axis=1).mean(1) * primitives.shapes[:, 1:].mean(1) + grow
    flat = [points[:, :2] - sun[:2] * (points[:, 2:] / sun[2]) for points in (first, second)]
    cells = [np.round((points - place[:2]) * place[2] * 16).astype(np.int64) for points in flat]
    inside = np.abs(np.concatenate(cells, 1)).max(1) < 2**24
    for p in np.flatnonzero(inside):
        if primitives.kinds[p] == BOX:
            corners = primitives.origins[p] + CORNERS @ inverse[p].T
            hull = ((corners[:, :2] - sun[:2] * (corners[:, 2:] / sun[2]) - place[:2]) * place[2] * 16).astype(np.int32)
            cv2.fillConvexPoly(grid, cv2.convexHull(hull), 255, shift=4)
        else:
            thick = max(1, min(2000, round(2.0 * girth[p] * place[2])))
            a, b = cells[0][p], cells[1][p]
            start, end = (int(a[0]), int(a[1])), (int(b[0]), int(b[1]))
            if thick > 200 or math.dist(start, end) < 16:
                cv2.circle(grid, start, thick * 8, 255, -1, shift=4)
            else:
                cv2.line(grid, start, end, 255, thick, shift=4)
