"""Soft shadows on the ground, drawn from above."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .jit import compiled
from .primitives import Primitives
from .raycast import BOX

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


@dataclass(frozen=True)
class GroundMaps:
    """Maps of the ground and where they lie.

    Attributes:
        maps: (3, G, G) uint8, shadows of things, shadows of things and people, darkening at feet and under things.
        place: x and y of the corner, cells per metre.
    """

    maps: np.ndarray
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
    above = np.array([0.0, 0.0, 1.0])
    things = things.select(np.abs(things.origins[:, :2] - centre).max(1) < half + 12.0)
    _draw(still, things, sun, place)
    _draw(moving, people, sun, place)
    _draw(contact, people.select(people.origins[:, 2] < 0.35), above, place, grow=0.05)
    _draw(contact, things.select(things.origins[:, 2] < 1.0), above, place, grow=0.08)
    still = _soft(still, 0.06, place)
    every = np.maximum(still, _soft(moving, 0.035, place))
    return GroundMaps(np.stack([still, every, _soft(contact, 0.07, place)]), place)


def _soft(grid: np.ndarray, metres: float, place: np.ndarray) -> np.ndarray:
    # Twice a mean of n x n cells has a variance of (n^2 - 1) / 6.
    cells = 1 + 2 * max(1, round(0.5 * math.sqrt(6.0 * (metres * place[2]) ** 2 + 1.0) - 0.5))
    return cv2.blur(cv2.blur(grid, (cells, cells)), (cells, cells))


def _draw(grid: np.ndarray, primitives: Primitives, sun: np.ndarray, place: np.ndarray, grow: float = 0.0) -> None:
    if not len(primitives):
        return
    first, second = primitives.ends()
    # A shadow is about as wide as the narrower of the two girths is from above.
    girth = np.sqrt((primitives.inverse[:, :, :2] ** 2).sum(1)).mean(1) * primitives.shapes[:, 1:].mean(1) + grow
    down = sun[:2] / sun[2]
    cells = [(points[:, :2] - down * points[:, 2:] - place[:2]) * place[2] for points in (first, second)]
    box = primitives.kinds == BOX
    draw_rounds(grid, np.concatenate(cells, 1), np.where(box, -1.0, np.maximum(girth * place[2], 0.5)))
    for p in np.flatnonzero(box):
        corners = primitives.origins[p] + CORNERS @ primitives.inverse[p].T
        hull = (corners[:, :2] - down * corners[:, 2:] - place[:2]) * place[2]
        if np.abs(hull).max() < 2**24 and (hull.max(0) > 0).all() and (hull.min(0) < grid.shape[0]).all():
            cv2.fillConvexPoly(grid, cv2.convexHull(((hull - 0.5) * 16).astype(np.int32)), 255, shift=4)


@compiled
def draw_rounds(grid, ends, radii):
    """Set to 255 what is within a radius of a line between two points; cells, the first one's centre is at 0.5."""
    for p in range(ends.shape[0]):
        x, y, r = ends[p, 0], ends[p, 1], radii[p]
        dx, dy = ends[p, 2] - x, ends[p, 3] - y
        inverse = 1.0 / (dx * dx + dy * dy + 1e-9)
        first, last = max(min(x, x + dx) - r, 0.0), min(max(x, x + dx) + r, grid.shape[1] - 0.5)
        top, low = max(min(y, y + dy) - r, 0.0), min(max(y, y + dy) + r, grid.shape[0] - 0.5)
        if r <= 0.0 or first >= last or top >= low:
            continue
        for j in range(int(top), int(low) + 1):
            for i in range(int(first), int(last) + 1):
                u, v = i + 0.5 - x, j + 0.5 - y
                share = min(max((u * dx + v * dy) * inverse, 0.0), 1.0)
                u, v = u - share * dx, v - share * dy
                if u * u + v * v <= r * r:
                    grid[j, i] = 255
