"""From a list of body parts and a pose to primitives in the world."""

from dataclasses import dataclass

import numpy as np

from .pose import ANKLE_L, ANKLE_R, AXLE_REAR, HEAD, PELVIS, Pose
from .primitives import Primitives
from .raycast import ROUNDED_CONE

# Texture frames: along the part itself, or one of the pose's frames with the joint that is its origin.
OWN = -1
ORIGIN_OF_FRAME = np.array([PELVIS, PELVIS, PELVIS, HEAD, ANKLE_L, ANKLE_R, PELVIS, AXLE_REAR])


@dataclass(frozen=True)
class Part:
    """A body part or piece of clothing between two points that are fixed to joints.

    Attributes:
        a: joint, frame and offset (forward, left, up; metres) of the first end.
        b: the same for the second end.
        radii: at both ends, in units of `scale`.
        material: row of the person's materials.
        scale: sideways, forward and axial stretch.
        kind: see `raycast`.
        texture: frame of the texture coordinates, `OWN` for the part's own axis.
        front: 0 when the part's front faces forward, 2 when it faces up (feet).
    """

    a: tuple[int, int, tuple[float, float, float]]
    b: tuple[int, int, tuple[float, float, float]]
    radii: tuple[float, float]
    material: int
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    kind: int = ROUNDED_CONE
    texture: int = OWN
    front: int = 0


class Rig:
    """A person's parts as arrays, ready to be posed."""

    def __init__(self, parts: list[Part], materials: list[np.ndarray]) -> None:
        self.materials = np.stack(materials)
        self.joint = np.array([[p.a[0], p.b[0]] for p in parts])
        self.frame = np.array([[p.a[1], p.b[1]] for p in parts])
        self.offset = np.array([[p.a[2], p.b[2]] for p in parts], float)
        self.radii = np.array([p.radii for p in parts], float)
        self.material = np.array([p.material for p in parts], np.int64)
        self.scale = np.array([p.scale for p in parts], float)
        self.kind = np.array([p.kind for p in parts], np.int64)
        self.texture = np.array([p.texture for p in parts])
        self.front = np.array([p.front for p in parts])

    def posed(self, pose: Pose) -> Primitives:
        """Primitives of the person in that pose, owner 0, materials counted from 0."""
        frames = pose.frames[self.frame]  # (P, 2, 3, 3)
        ends = pose.joints[self.joint] + np.einsum("peij,pej->pei", frames, self.offset)
        origin = ends[:, 0]
        axis = ends[:, 1] - origin
        length = np.linalg.norm(axis, axis=1)
        point = length < 1e-9
        own = frames[:, 0]
        axis = np.where(point[:, None], own[:, :, 2], axis / np.maximum(length, 1e-9)[:, None])
        front = np.take_along_axis(own, self.front[:, None, None], axis=2)[:, :, 0]
        front = front - (front * axis).sum(1)[:, None] * axis
        front /= np.linalg.norm(front, axis=1)[:, None]
        right = np.cross(front, axis)
        rotation = np.stack([right, front, axis], axis=1)  # (P, 3, 3), rows
        textures = np.stack([front, -right, axis], axis=1)
        shared = self.texture >= 0
        textures[shared] = pose.frames[self.texture[shared]].transpose(0, 2, 1)
        places = origin.copy()
        places[shared] = pose.joints[ORIGIN_OF_FRAME[self.texture[shared]]]
        return Primitives(
            kinds=self.kind,
            shapes=_shapes(self.kind, np.where(point, 0.0, length) / self.scale[:, 2], self.radii),
            origins=origin,
            frames=rotation / self.scale[:, :, None],
            textures=textures,
            places=places,
            materials=self.material,
            owners=np.zeros(len(origin), np.int64),
        )


def _shapes(kind: np.ndarray, length: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """h, ra, rb; a cone of which one ball holds the other becomes that ball."""
    swallowed = (kind == ROUNDED_CONE) & (length <= np.abs(radii[:, 0] - radii[:, 1]) + 1e-9)
    largest = radii.max(1)
    return np.stack(
        [
            np.where(swallowed, 0.0, length),
            np.where(swallowed, largest, radii[:, 0]),
            np.where(swallowed, largest, radii[:, 1]),
        ],
        axis=1,
    )
