"""The primitives of one moment, as arrays, and where they appear on the screen."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from .raycast import BOX, CUT_CONE


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

    A primitive is the convex hull of two ellipsoids, or two discs, and so is its image; the box of an ellipsoid's
    image follows from its dual quadric. A box is the hull of its corners.

    Args:
        primitives: P primitives.
        position: (3,), the camera's position.
        to_pixels: (3, 3), world offsets from the camera to homogeneous pixels; third row is the depth in metres.

    Returns:
        (P, 4) float64, x0, y0, x1, y1 in pixels. Infinite boxes where a primitive reaches the camera's plane, empty
        boxes (x1 < x0) where it lies behind it.
    """
    count = len(primitives)
    inverse = primitives.inverse
    flat = np.where(primitives.kinds == CUT_CONE, 0.0, 1.0)
    h, ra, rb = primitives.shapes.T
    low = np.full((count, 2), np.inf)
    high = np.full((count, 2), -np.inf)
    for along, radius in ((np.zeros(count), ra), (h, rb)):
        centre = (primitives.origins + inverse[:, :, 2] * along[:, None] - position) @ to_pixels.T  # (P, 3)
        half = to_pixels @ (
            inverse * radius[:, None, None] * np.stack([np.ones(count), np.ones(count), flat], 1)[:, None]
        )
        depth2 = (half[:, 2] ** 2).sum(1)
        a = centre[:, 2] ** 2 - depth2
        for axis in range(2):
            b = centre[:, axis] * centre[:, 2] - (half[:, axis] * half[:, 2]).sum(1)
            c = centre[:, axis] ** 2 - (half[:, axis] ** 2).sum(1)
            with np.errstate(invalid="ignore", divide="ignore"):
                root = np.sqrt(np.maximum(b * b - a * c, 0.0))
                first, second = (b - root) / a, (b + root) / a
            crosses = a <= 1e-9
            behind = (centre[:, 2] <= 0) & ~crosses
            low[:, axis] = np.minimum(low[:, axis], np.where(behind, np.inf, np.where(crosses, -np.inf, first)))
            high[:, axis] = np.maximum(high[:, axis], np.where(behind, -np.inf, np.where(crosses, np.inf, second)))
    box = primitives.kinds == BOX
    if box.any():
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        corners = primitives.origins[box][:, None] + np.einsum("pij,cj->pci", inverse[box], signs)
        image = (corners - position) @ to_pixels.T  # (B, 8, 3)
        behind = image[..., 2] <= 1e-6
        with np.errstate(invalid="ignore", divide="ignore"):
            xy = image[..., :2] / image[..., 2:]
        some, every = behind.any(1)[:, None], behind.all(1)[:, None]
        low[box] = np.where(every, np.inf, np.where(some, -np.inf, xy.min(1)))
        high[box] = np.where(every, -np.inf, np.where(some, np.inf, xy.max(1)))
    return np.concatenate([low, high], axis=1)
