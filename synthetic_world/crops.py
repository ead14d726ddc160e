"""One re-identification crop: a window of a camera's view around somebody."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .camera import Camera, ColourResponse
from .crowd import PHONING
from .detector import jittered
from .folders import write_jpeg
from .keypoints import seen_keypoints, viewpoint
from .levels import Level, get_level
from .masks import encode_mask
from .match import MATCH, STREET, companion, role_note
from .motion import streak
from .place import Place, make_place
from .render import View, Window, person_boxes, render
from .scene import Group, Stand, gather, outside, ring_camera, streaks
from .seeds import rng_for
from .shadows import StillMaps, add_people, draw_still_maps

PERSON, BACKGROUND, CUT = "person", "background", "cut"
BYSTANDERS = range(30000, 30064)  # numbers of people who only ever pass by in streets
CLEAR_RADIUS = 5.0  # metres around the middle of a view where people walk
ROOM = 0.35  # metres between somebody and a thing
LEAST_VISIBLE = 0.35  # whoever hides more of a person than this allows is sent away


@dataclass(frozen=True)
class CropTask:
    """What to render and where to write it.

    Attributes:
        seed: of the world.
        level: name of the level.
        size: width and height of the crop.
        root: folder of the data set.
        file: path within it.
        pid: identity in the file name.
        number: the person's number in the world.
        kind: PERSON, BACKGROUND (a false alarm on nobody) or CUT (a badly placed box).
        camera: counted from 1.
        cameras: how many there are.
        sequence: counted from 1; another time of the day.
        frame: number in the file name.
        index: tells apart the images of one person in one camera.
        outfit: the person's clothes, 0 for the usual ones.
        crowd: one of `match.CROWDS`.
    """

    seed: int
    level: str
    size: tuple[int, int]
    root: Path
    file: str
    pid: int
    number: int
    kind: str
    camera: int
    cameras: int
    sequence: int
    frame: int
    index: int
    outfit: int = 0
    crowd: str = STREET


@lru_cache(maxsize=64)
def reid_camera(
    seed: int, level: Level, camera: int, cameras: int, crowd: str = STREET
) -> tuple[Camera, ColourResponse, Place]:
    """Camera, colour response and place of one re-identification camera; each watches a place of its own."""
    rng = rng_for(seed, "reid camera", camera)
    view = ring_camera(rng, camera, cameras, (7.5, 13.0), (1920, 1080), 0.75)
    response = ColourResponse.sample(rng_for(seed, "reid response", camera), level)
    place = make_place(
        rng_for(seed, "reid place", camera),
        CLEAR_RADIUS,
        np.array([view.position[:2]]),
        level.place_change,
        level.static_occluders,
        pitch=crowd == MATCH,
    )
    return view, response, place


@lru_cache(maxsize=256)
def _place_at(seed: int, level: Level, camera: int, cameras: int, sequence: int, crowd: str) -> Place:
    return reid_camera(seed, level, camera, cameras, crowd)[2].revisited(
        rng_for(seed, "reid light", camera, sequence), level.place_change
    )


@lru_cache(maxsize=64)
def _still_at(seed: int, level: Level, camera: int, cameras: int, sequence: int, crowd: str) -> StillMaps:
    place = _place_at(seed, level, camera, cameras, sequence, crowd)
    return draw_still_maps(place.things, place.light[:3], np.zeros(2), 2.0 * CLEAR_RADIUS, 25.0)


def _stands(
    rng: np.random.Generator, task: CropTask, level: Level, camera: Camera, things: np.ndarray
) -> tuple[list[Stand], int]:
    """The subject, people around, and last those who stand in front; second the number of those."""
    # Both images of one visit show the same walk, moments apart.
    visit = rng_for(task.seed, "visit", task.number, task.camera, task.sequence)
    radius, angle = 2.8 * math.sqrt(visit.random()), visit.uniform(0, 2 * math.pi)
    spread = math.radians(level.viewpoint_spread)
    start = np.array([radius * math.cos(angle), radius * math.sin(angle)])
    eye = np.array(camera.position[:2])
    heading = math.atan2(*(eye - start)[::-1]) + visit.uniform(-spread, spread) + rng.normal(0, 0.12)
    walked = rng.uniform(0.0, 1.6)
    at = start + walked * np.array([math.cos(heading), math.sin(heading)])
    at = outside(at[None], things, ROOM)[0]
    stands = [
        Stand(
            task.number,
            (float(at[0]), float(at[1])),
            heading,
            rng.uniform(0, 2 * math.pi),
            1.0 if rng.random() < 0.9 else 0.0,
            outfit=task.outfit,
            phoning=bool(visit.random() < PHONING),
        )
    ]
    used = [at]

    def add(position: np.ndarray) -> bool:
        position = outside(position[None], things, ROOM)[0]
        if min(float(np.linalg.norm(position - other)) for other in used) < 0.6:
            return False
        used.append(position)
        number, outfit = int(rng.integers(BYSTANDERS.start, BYSTANDERS.stop)), 0
        if task.crowd == MATCH:  # the others of this match, dressed as they are then
            number, outfit = companion(task.number, number, {stand.number for stand in stands}), task.outfit
        stands.append(
            Stand(
                number,
                (float(position[0]), float(position[1])),
                rng.uniform(0, 2 * math.pi),
                rng.uniform(0, 2 * math.pi),
                1.0,
                outfit=outfit,
                phoning=bool(rng.random() < PHONING),
            )
        )
        return True

    toward = (eye - at) / np.linalg.norm(eye - at)
    side = np.array([-toward[1], toward[0]])
    for _ in range(rng.poisson(0.8)):
        add(at - toward * rng.uniform(0.8, 6.0) + side * rng.normal(0, 1.0))
    fronts = 0
    if rng.random() < level.occlusion:
        fronts += add(at + toward * rng.uniform(0.65, 2.2) + side * rng.choice([-1, 1]) * rng.uniform(0.18, 0.6))
    return stands, fronts


def crop_window(rng: np.random.Generator, box: np.ndarray, kind: str, level: Level, size: tuple[int, int]) -> Window:
    """The detector's box around a silhouette box (x0, y0, x1, y1), with rays for the crop."""
    width, height = box[2] - box[0], box[3] - box[1]
    tall = 1.05 * height
    wide = max(1.05 * width, 0.36 * tall)
    centre = (box[:2] + box[2:]) / 2
    around = np.array([centre[0] - wide / 2, centre[1] - tall / 2, wide, tall])
    x, y, w, h = jittered(rng, around, level.box_jitter)
    if kind == CUT:
        if rng.random() < 0.5:  # a part of the body
            scale = rng.uniform(0.35, 0.55)
            x, y = x + rng.uniform(0, 1 - scale) * w, y + rng.uniform(0, 1 - scale) * h
            w, h = scale * w, scale * h
        else:  # beside the body
            x += rng.choice([-1, 1]) * rng.uniform(0.55, 0.8) * w
            y += rng.choice([-1, 1]) * rng.uniform(0.1, 0.5) * h
    return Window(x, y, x + w, y + h, *size)


def _view(
    task: CropTask, level: Level, camera: Camera, place: Place, stands: list[Stand]
) -> tuple[Group, Window, View]:
    group = gather(task.seed, level, stands, task.crowd)
    box = person_boxes(camera, group.primitives, len(stands))[0]
    window = crop_window(
        rng_for(task.seed, "box", task.number, task.camera, task.index), box, task.kind, level, task.size
    )
    people = group.shown(without=0 if task.kind == BACKGROUND else None)
    still = _still_at(task.seed, level, task.camera, task.cameras, task.sequence, task.crowd)
    maps = add_people(still.around(np.array(stands[0].position), CLEAR_RADIUS), people, place.light[:3])
    return group, window, render(camera, window, people, len(stands), group.materials, place, maps)


def _moved(stand: Stand, turn: int, things: np.ndarray) -> Stand:
    """The same person a few steps on around the middle of the view."""
    x, y = stand.position
    c, s = math.cos(0.45 * turn), math.sin(0.45 * turn)
    at = outside(np.array([[c * x - s * y, s * x + c * y]]), things, ROOM)[0]
    return replace(stand, position=(float(at[0]), float(at[1])))


def render_crop(task: CropTask) -> tuple[np.ndarray, dict[str, Any]]:
    """The crop, (H, W, 3) uint8 BGR, and its annotation."""
    level = get_level(task.level)
    camera, response, _ = reid_camera(task.seed, level, task.camera, task.cameras, task.crowd)
    place = _place_at(task.seed, level, task.camera, task.cameras, task.sequence, task.crowd)
    rng = rng_for(task.seed, "crop", task.number, task.camera, task.index)
    stands, fronts = _stands(rng, task, level, camera, place.footprints)
    group, window, view = _view(task, level, camera, place, stands)
    visible = int((view.people == 0).sum())
    if fronts and task.kind == PERSON and visible < LEAST_VISIBLE * view.alone[0]:
        stands = stands[:-fronts]
        group, window, view = _view(task, level, camera, place, stands)
        visible = int((view.people == 0).sum())
    for turn in range(1, 6):  # whoever a thing hides is seen a few steps on
        if task.kind != PERSON or visible >= LEAST_VISIBLE * view.alone[0]:
            break
        group, window, view = _view(task, level, camera, place, [_moved(stands[0], turn, place.footprints)])
        visible = int((view.people == 0).sum())
    # Exposure and focus are never quite the same from one image to the next.
    own = replace(
        response,
        exposure=response.exposure * math.exp(rng.normal(0, 0.05)),
        blur=response.blur * rng.uniform(0.7, 1.3) * task.size[1] / 128,
    )
    if task.kind != BACKGROUND:
        streak(view.light, view.people == 0, streaks(camera, group, 0, response.shutter) / window.step)
    image = own.apply(view.light, rng)
    note: dict[str, Any] = {
        "file": task.file, "pid": task.pid, "camera": task.camera, "sequence": task.sequence, "frame": task.frame,
        "box": [round(v, 2) for v in (window.x0, window.y0, window.x1 - window.x0, window.y1 - window.y0)],
        "identity": None,
    }  # fmt: skip
    if task.kind != BACKGROUND:
        points = seen_keypoints(camera, window, view, group.poses[0], 0)
        stand = group.stands[0]
        note |= {
            "identity": task.number,
            "outfit": task.outfit,
            **role_note(group.people[0]),
            "viewpoint": round(viewpoint(camera, np.array(stand.position), stand.heading), 1),
            "visibility": round(visible / max(int(view.alone[0]), 1), 4),
            "keypoints": [[round(float(x), 1), round(float(y), 1), int(v)] for x, y, v in points],
            "mask": encode_mask(view.people == 0),
        }
    return image, note


def write_crop(task: CropTask) -> dict[str, Any]:
    """Render and write one crop; its annotation."""
    image, note = render_crop(task)
    quality = reid_camera(task.seed, get_level(task.level), task.camera, task.cameras, task.crowd)[1].quality
    write_jpeg(task.root / task.file, image, quality)
    return note
