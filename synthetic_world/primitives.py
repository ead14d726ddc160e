"""The primitives of one moment, as arrays, and where they appear on the screen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from .jit import compiled
from .raycast import BOX, CUT_CONE

FAR = 1e30  # infinite to the pixel loops, which know no infinity


@dataclass(frozen=True)
class Primitives:
    """P primitives in the world; metres.

    Attributes:
        kinds: (P,) int64, see `raycast`.
        shapes: (P, 3), h, ra, rb in the primitive's own frame.
        origins: (P, 3), where that frame's origin is.
        frames: (P, 3, 3), world offsets to the primitive's own coordinates; rows are perpendicular.
        textures: (P, 3, 3), rows are the forward, left and up axes of the texture frame.
        places: (P, 3), origin of the texture frame.
        materials: (P,) int64, row of the material table.
        owners: (P,) int64, index of the person, -1 for things.
    """

    kinds: np.ndarray
    shapes: np.ndarray
    origins: np.ndarray
    frames: np.ndarray
    textures: np.ndarray
    places: np.ndarray
    materials: np.ndarray
    owners: np.ndarray

    @cached_property
    def inverse(self) -> np.ndarray:
        """(P, 3, 3), the primitives' own offsets to those in the world."""
        return (self.frames / (self.frames**2).sum(2, keepdims=True)).transpose(0, 2, 1)

    def __len__(self) -> int:
        return len(self.kinds)

    def select(self, index: np.ndarray) -> "Primitives":
        """Those of the index or mask."""
        return Primitives(*(getattr(self, field.name)[index] for field in fields(self)))

    def owned_by(self, owner: int, material_offset: int) -> "Primitives":
        """The same primitives with another owner and another place in the material table."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["owners"] = np.full(len(self), owner, np.int64)
        values["materials"] = self.materials + material_offset
        return Primitives(**values)

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """World positions of both ends of the axes, (P, 3) each; a box has its centre twice."""
        length = np.where(self.kinds == BOX, 0.0, self.shapes[:, 0])
        return self.origins, self.origins + self.inverse[:, :, 2] * length[:, None]


def join(parts: Sequence[Primitives]) -> Primitives:
    """All of them in that order."""
    return Primitives(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Primitives)))


def screen_boxes(primitives: Primitives, position: np.ndarray, to_pixels: np.ndarray) -> np.ndarray:
    """Exact boxes of the silhouettes.

    Args:
        primitives: P primitives.
        position: (3,), the camera's position.
        to_pixels: (3, 3), world offsets from the camera to homogeneous pixels; third row is the depth in metres.

    Returns:
        (P, 4) float64, x0, y0, x1, y1 in pixels. Infinite boxes where a primitive reaches the camera's plane, empty
        boxes (x1 < x0) where it lies behind it.
    """
    return screen_extents(primitives, position, to_pixels)[:, :4]


def screen_extents(primitives: Primitives, position: np.ndarray, to_pixels: np.ndarray) -> np.ndarray:
    """As `screen_boxes`, (P, 5) with a depth that no part of the primitive is nearer than."""
    out = np.empty((len(primitives), 5))
    inverse = np.ascontiguousarray(primitives.inverse)
    _project(primitives.kinds, primitives.shapes, primitives.origins - position, inverse, to_pixels, out)
    out[out >= FAR] = np.inf
    out[out <= -FAR] = -np.inf
    return out


@compiled
def _project(kinds, shapes, offsets, inverse, to_pixels, out):
    """Fill (P, 5): x0, y0, x1, y1 and nearest depth.

    A primitive is the convex hull of two ellipsoids, or two discs, and so is its image; the box of an ellipsoid's
    image follows from its dual quadric. A box is the hull of its corners.
    """
    for p in range(kinds.shape[0]):
        row = out[p]
        row[0] = row[1] = row[4] = FAR
        row[2] = row[3] = -FAR
        if kinds[p] == BOX:
            for corner in range(8):
                x, y, z = 2.0 * (corner & 1) - 1.0, 1.0 * (corner & 2) - 1.0, 0.5 * (corner & 4) - 1.0
                _stretch(row, inverse[p], offsets[p], to_pixels, 0.0, 0.0, x, y, z)
        else:
            flat = 0.0 if kinds[p] == CUT_CONE else 1.0
            _stretch(row, inverse[p], offsets[p], to_pixels, shapes[p, 1], flat, 0.0, 0.0, 0.0)
            _stretch(row, inverse[p], offsets[p], to_pixels, shapes[p, 2], flat, 0.0, 0.0, shapes[p, 0])


@compiled
def _stretch(row, inverse, offset, to_pixels, radius, flat, x, y, z):
    """Stretch a box and its nearest depth by an ellipsoid around a point of the primitive's own frame."""
    px = offset[0] + inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] * z
    py = offset[1] + inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] * z
    pz = offset[2] + inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2] * z
    d0, d1, d2 = _axes(inverse, to_pixels, 2, radius, flat)
    depth = to_pixels[2, 0] * px + to_pixels[2, 1] * py + to_pixels[2, 2] * pz
    reach = d0 * d0 + d1 * d1 + d2 * d2
    before = row[4]
    row[4] = min(before, depth - math.sqrt(reach))
    a = depth * depth - reach
    if a <= 1e-9 or (before <= 0.0 < depth) or (depth <= 0.0 and row[2] >= row[0]):  # it reaches the camera's plane
        row[0] = row[1] = -FAR
        row[2] = row[3] = FAR
    elif depth > 0.0:
        for axis in range(2):
            e0, e1, e2 = _axes(inverse, to_pixels, axis, radius, flat)
            centre = to_pixels[axis, 0] * px + to_pixels[axis, 1] * py + to_pixels[axis, 2] * pz
            b = centre * depth - (e0 * d0 + e1 * d1 + e2 * d2)
            c = centre * centre - (e0 * e0 + e1 * e1 + e2 * e2)
            root = math.sqrt(max(b * b - a * c, 0.0))
            row[axis] = min(row[axis], (b - root) / a)
            row[axis + 2] = max(row[axis + 2], (b + root) / a)


@compiled
def _axes(inverse, to_pixels, r, radius, flat):
    """Row r of the image of an ellipsoid's three half axes."""
    x, y, z = to_pixels[r, 0] * radius, to_pixels[r, 1] * radius, to_pixels[r, 2] * radius
    return (
        x * inverse[0, 0] + y * inverse[1, 0] + z * inverse[2, 0],
        x * inverse[0, 1] + y * inverse[1, 1] + z * inverse[2, 1],
        (x * inverse[0, 2] + y * inverse[1, 2] + z * inverse[2, 2]) * flat,
    )
