"""One view of a scene: light, depth, and who is at each pixel."""

from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .place import Place
from .primitives import Primitives, join, screen_boxes, screen_extents
from .raycast import cast, empty_buffers, enter_frames
from .shading import shade
from .shadows import GroundMaps

NOTHING_KNOWN = np.zeros((0, 0, 4), np.float32)


@dataclass(frozen=True)
class Window:
    """A rectangle of a camera's image, sampled with `columns` x `rows` rays; it may reach beyond the image."""

    x0: float
    y0: float
    x1: float
    y1: float
    columns: int
    rows: int

    @property
    def step(self) -> tuple[float, float]:
        """Camera pixels per sample, across and down."""
        return (self.x1 - self.x0) / self.columns, (self.y1 - self.y0) / self.rows

    def samples(self, pixels: np.ndarray) -> np.ndarray:
        """Coordinates (..., 2) of the camera's image in samples of the window."""
        return (pixels - np.array([self.x0, self.y0])) / np.array(self.step)


@dataclass(frozen=True)
class View:
    """What a window shows.

    Attributes:
        light: (H, W, 3) float32, linear RGB.
        depth: (H, W) float32, metres along the optical axis, infinite in the sky.
        people: (H, W) int32, index of the person, -1 elsewhere.
        alone: (N,) int64, each person's pixels within the window as if nothing else was there.
    """

    light: np.ndarray
    depth: np.ndarray
    people: np.ndarray
    alone: np.ndarray


@dataclass(frozen=True)
class _Cast:
    primitives: Primitives
    rays: np.ndarray
    local_origin: np.ndarray
    local_rays: np.ndarray
    depth: np.ndarray
    index: np.ndarray
    alone: np.ndarray


def full_view(camera: Camera) -> Window:
    """The whole image, one ray a pixel."""
    return Window(0.0, 0.0, camera.width, camera.height, camera.width, camera.height)


def person_boxes(camera: Camera, people: Primitives, count: int) -> np.ndarray:
    """Boxes (count, 4) of the complete silhouettes, x0, y0, x1, y1 in pixels, not clipped to the image.

    Who is absent or behind the camera gets a box with x1 < x0.
    """
    boxes = screen_boxes(people, np.array(camera.position), camera.to_pixels)
    out = np.tile([np.inf, np.inf, -np.inf, -np.inf], (count, 1))
    np.minimum.at(out[:, :2], people.owners, boxes[:, :2])
    np.maximum.at(out[:, 2:], people.owners, boxes[:, 2:])
    return out


def _cast(camera: Camera, window: Window, primitives: Primitives, people: int) -> _Cast:
    position = np.array(camera.position)
    extents = screen_extents(primitives, position, camera.to_pixels)
    step = np.array(window.step * 2)
    corner = np.array([window.x0, window.y0] * 2)
    boxes = (extents[:, :4] - corner) / step
    # Samples whose centres may lie within.
    limits = np.array([window.columns, window.rows])
    low = np.clip(np.floor(boxes[:, :2]), 0, limits)
    high = np.clip(np.ceil(boxes[:, 2:]), 0, limits)
    seen = np.flatnonzero((low < high).all(1))
    # Person after person, then things, each from front to back.
    owners = primitives.owners[seen]
    seen = seen[np.lexsort((extents[seen, 4], np.where(owners < 0, people, owners)))]
    primitives = primitives.select(seen)
    inverse = np.linalg.inv(camera.to_pixels)
    sx, sy = window.step
    rays = np.stack([
        inverse @ (window.x0 + 0.5 * sx, window.y0 + 0.5 * sy, 1.0), inverse[:, 0] * sx, inverse[:, 1] * sy,
    ])  # fmt: skip
    local_origin, local_rays = np.empty((len(primitives), 3)), np.empty((len(primitives), 3, 3))
    enter_frames(primitives.frames, primitives.origins, position, rays, local_origin, local_rays)
    depth, index, stamp = empty_buffers(window.rows, window.columns)
    alone = np.zeros(people, np.int64)
    screen = np.concatenate([low, high], 1)[seen].astype(np.int64)
    cast(
        primitives.kinds,
        primitives.shapes,
        primitives.owners,
        local_origin,
        local_rays,
        screen,
        extents[seen, 4],
        depth,
        index,
        stamp,
        np.empty((8, 2)),
        alone,
    )
    return _Cast(primitives, rays, local_origin, local_rays, depth, index, alone)


def silhouette_pixels(camera: Camera, window: Window, person: Primitives) -> int:
    """Pixels of one person rendered alone; the window may reach beyond the image."""
    return int(_cast(camera, window, person.owned_by(0, 0), 1).alone[0])


def render(
    camera: Camera,
    window: Window,
    people: Primitives,
    count: int,
    materials: np.ndarray,
    place: Place,
    maps: GroundMaps,
    known: np.ndarray | None = None,
) -> View:
    """Render people and things.

    Args:
        camera: the camera.
        window: the part of its image to render.
        people: bodies; owners 0 to count - 1, those of one owner stand together.
        count: how many people there are.
        materials: (M, COLUMNS), rows that `people.materials` points to.
        place: surroundings; its own materials are appended here.
        maps: shadows on the ground.
        known: (H, W, 4) float32, what other views of the same window of the same place have found out, see `shade`;
            zeros to begin with.
    """
    things = place.things.owned_by(-1, len(materials))
    got = _cast(camera, window, join([people, things]), count)
    primitives = got.primitives
    light = np.empty((window.rows, window.columns, 3), np.float32)
    flat = (len(primitives), -1)
    own = primitives.materials < len(materials)
    table = np.concatenate([
        np.concatenate([materials, place.materials])[primitives.materials], primitives.kinds[:, None],
        primitives.owners[:, None], primitives.shapes, primitives.frames.reshape(flat), got.local_origin,
        got.local_rays.reshape(flat), primitives.textures.reshape(flat), primitives.places,
        np.where(own, primitives.materials, len(materials) - 1 - primitives.materials)[:, None],
    ], axis=1)  # fmt: skip
    # Tuples go to the pixel loop as numbers, which it need not read again after each pixel it writes.
    rays = tuple(np.concatenate([camera.position, got.rays.ravel()]).tolist())
    shade(
        light, got.depth, got.index, table, np.empty((4, 5)), rays, tuple(place.light.tolist()),
        tuple(place.style.tolist()), maps.maps, tuple(maps.place.tolist()), window.step[0] / camera.focal,
        NOTHING_KNOWN if known is None else known,
    )  # fmt: skip
    owners = np.append(primitives.owners, -1).astype(np.int32)  # index -1 finds the last one
    return View(light, got.depth, owners[got.index], got.alone)
