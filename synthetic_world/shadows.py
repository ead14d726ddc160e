"""Soft shadows on the ground, drawn from above."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .jit import compiled
from .primitives import Primitives
from .raycast import BOX

ABOVE = np.array([0.0, 0.0, 1.0])
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


@dataclass(frozen=True)
class StillMaps:
    """What things leave on the ground: shadows and darkening, (2, G, G) uint8, and where, see `GroundMaps`."""

    maps: np.ndarray
    place: np.ndarray

    def around(self, centre: np.ndarray, half: float) -> "StillMaps":
        """The part within `half` metres of a point across and down, as far as there is one; it shares memory."""
        size = self.maps.shape[1]
        low = np.floor((centre - half - self.place[:2]) * self.place[2]).astype(int).clip(0, size - 1)
        high = (low + round(2 * half * self.place[2])).clip(1, size)
        maps = self.maps[:, low[1] : high[1], low[0] : high[0]]
        return StillMaps(maps, np.append(self.place[:2] + low / self.place[2], self.place[2]))


def draw_still_maps(
    things: Primitives, sun: np.ndarray, centre: np.ndarray, half: float, cells_per_metre: float
) -> StillMaps:
    """Maps of a square of ground with things alone.

    Args:
        things: what stands around.
        sun: (3,), unit vector to the sun.
        centre: (2,), middle of the square, metres.
        half: half its side, metres.
        cells_per_metre: resolution.
    """
    size = int(2 * half * cells_per_metre)
    place = np.array([centre[0] - half, centre[1] - half, cells_per_metre])
    shadow, contact = np.zeros((2, size, size), np.uint8)
    things = things.select(np.abs(things.origins[:, :2] - centre).max(1) < half + 12.0)
    _draw(shadow, things, sun, place)
    _draw(contact, things.select(things.origins[:, 2] < 1.0), ABOVE, place, grow=0.08)
    return StillMaps(np.stack([_soft(shadow, 0.06, place), _soft(contact, 0.07, place)]), place)


def add_people(still: StillMaps, people: Primitives, sun: np.ndarray, clouds: np.ndarray | None = None) -> GroundMaps:
    """Maps with people, too; `clouds`, (G, G) uint8, are shadows that fall on ground and people alike."""
    place = still.place
    moving, contact = np.zeros((2, *still.maps.shape[1:]), np.uint8)
    _draw(moving, people, sun, place)
    _draw(contact, people.select(people.origins[:, 2] < 0.35), ABOVE, place, grow=0.05)
    maps = np.empty((3, *contact.shape), np.uint8)
    maps[0] = still.maps[0] if clouds is None else np.maximum(still.maps[0], clouds)
    np.maximum(maps[0], _soft(moving, 0.035, place), out=maps[1])
    np.maximum(still.maps[1], _soft(contact, 0.07, place), out=maps[2])
    return GroundMaps(maps, place)


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
