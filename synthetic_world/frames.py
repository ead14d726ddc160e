"""One moment of a tracking sequence, seen by all of its cameras."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .camera import Camera, ColourResponse
from .crowd import OUTFITS, Crowd
from .detector import detect
from .folders import write_jpeg
from .keypoints import seen_keypoints, viewpoint
from .levels import get_level
from .masks import encode_mask
from .match import CAST, MATCH, STREET, role_note
from .motion import SHUTTER, carried, cloud_shadows, light_at, smear, streak, sun_at
from .place import Place, make_place
from .render import View, Window, full_view, person_boxes, render, silhouette_pixels
from .scene import Group, area_radius, dressed, gather, outward_camera, ring_camera, streaks
from .seeds import rng_for
from .shadows import StillMaps, add_people, draw_still_maps

DOORS = 4
WALKERS = 50000  # numbers of people in tracking sequences begin here
OVERLAPPING, SEPARATE = "overlapping", "separate"  # views of the cameras of one scene
CAMERA_ROOM = 1.2  # metres around a camera where nobody walks
SUN_STEP = 0.4  # seconds after which the sun has moved, by a twentieth of a degree
SOFTNESS = 0.5  # pixels; no lens is sharper


@dataclass(frozen=True)
class SequenceTask:
    """A sequence; `sequence` counts from 1, `size` is width and height; for the rest see `export.MotOptions`."""

    seed: int
    level: str
    sequence: int
    frames: int
    people: int
    cameras: int
    size: tuple[int, int]
    fps: float
    camera_motion: bool = False
    views: str = OVERLAPPING
    clothes_change: bool = False
    crowd: str = STREET


@dataclass(frozen=True)
class FrameTask:
    """One frame, counted from 1, written under the folders of the sequence's cameras."""

    sequence: SequenceTask
    frame: int
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class SequenceScene:
    """What all frames of a sequence share."""

    crowd: Crowd
    cameras: tuple[Camera, ...]
    responses: tuple[ColourResponse, ...]
    place: Place


@lru_cache(maxsize=2)
def sequence_scene(task: SequenceTask) -> SequenceScene:
    """People, cameras and place of a sequence; people come back in other sequences of the same world."""
    level = get_level(task.level)
    pool = WALKERS + np.arange(task.people + (task.people + 1) // 2)
    if task.crowd == MATCH:  # whole matches
        pool = CAST * (1 + WALKERS // CAST) + np.arange(CAST * math.ceil(task.people / CAST))
    chosen = np.sort(rng_for(task.seed, "cast", task.sequence).permutation(pool)[: task.people])
    people = [dressed(task.seed, int(number), level, crowd=task.crowd)[0] for number in chosen]
    radius = area_radius(task.people) * (1.5 if task.views == SEPARATE else 1.0)
    cameras, responses = [], []
    for index in range(task.cameras):
        rng = rng_for(task.seed, "mot camera", task.sequence, index)
        if task.views == SEPARATE:
            cameras.append(outward_camera(rng, index, task.cameras, radius, task.size))
        else:
            cameras.append(ring_camera(rng, index, task.cameras, (radius + 2.5, radius + 5.0), task.size, 0.8))
        responses.append(ColourResponse.sample(rng_for(task.seed, "mot response", task.sequence, index), level))
    where = np.array([camera.position[:2] for camera in cameras])
    place = make_place(
        rng_for(task.seed, "mot place", task.sequence), radius + 1.0, where, level.place_change,
        level.static_occluders, DOORS, task.crowd == MATCH,
    )  # fmt: skip
    footprints = np.concatenate([place.footprints, np.insert(where, 2, CAMERA_ROOM, axis=1)])
    one_by_one = task.clothes_change and task.crowd == STREET  # teams change together, from sequence to sequence
    outfit = task.sequence % OUTFITS if task.clothes_change and task.crowd == MATCH else 0
    crowd = Crowd(
        task.seed, task.sequence, people, task.fps, radius=radius, footprints=footprints, doors=place.doors,
        clothes_change=one_by_one, outfit=outfit,
    )  # fmt: skip
    return SequenceScene(crowd, tuple(cameras), tuple(responses), place)


def frame_camera(task: SequenceTask, frame: float, camera: int) -> Camera:
    """The camera (counted from 0) as it is at that frame (from 1)."""
    eye = sequence_scene(task).cameras[camera]
    if task.camera_motion:
        eye = carried(eye, task.seed, task.sequence, camera, (frame - 1) / task.fps)
    return eye


@lru_cache(maxsize=9)
def _known(task: SequenceTask, camera: int) -> np.ndarray | None:
    """What the frames of a camera that never moves have found out about the place; frames are the same without."""
    return None if task.camera_motion else np.zeros((task.size[1], task.size[0], 4), np.float32)


@lru_cache(maxsize=2)
def _sunlit(task: SequenceTask, step: int) -> tuple[StillMaps, np.ndarray]:
    """Shadows of things, and the light without clouds, while the sun stands still for a moment."""
    scene = sequence_scene(task)
    light, half = scene.place.light, scene.crowd.radius + 8.0
    if not scene.place.indoor:
        light = sun_at(light, task.seed, task.sequence, step * SUN_STEP)
    return draw_still_maps(scene.place.things, light[:3], np.zeros(2), half, min(20.0, 320.0 / half)), light


@dataclass(frozen=True)
class Truth:
    """Everybody in one image: index, box (left, top, width, height) and visibility."""

    index: np.ndarray
    boxes: np.ndarray
    visibility: np.ndarray


def frame_truth(camera: Camera, group: Group, view: View) -> Truth:
    """Boxes and visibility of all people of whom any part would be in the image if they were alone.

    Boxes hold the complete silhouette, hidden parts and parts beyond the image's border included; they are not
    clipped. Visibility is the number of pixels that show the person over the number of pixels of the person rendered
    alone, on an image that is large enough for the whole silhouette.
    """
    count = len(group.stands)
    boxes = person_boxes(camera, group.primitives, count)
    # Somebody beside the camera has no end on the image; nobody who is seen comes that close.
    limits = np.array([camera.width, camera.height] * 2, float)
    boxes = np.clip(boxes, -3.0 * limits, 4.0 * limits)
    visible = np.bincount(view.people[view.people >= 0], minlength=count)
    index = np.flatnonzero(view.alone > 0)
    share = np.zeros(len(index))
    for row, owner in enumerate(index):
        x0, y0, x1, y1 = boxes[owner]
        whole = view.alone[owner]
        if x0 < 0 or y0 < 0 or x1 > camera.width or y1 > camera.height:
            left, top, right, bottom = np.floor(x0), np.floor(y0), np.ceil(x1), np.ceil(y1)
            window = Window(left, top, right, bottom, int(right - left), int(bottom - top))
            whole = silhouette_pixels(camera, window, group.one(int(owner)))
        share[row] = visible[owner] / max(whole, 1)
    chosen = boxes[index]
    return Truth(index, np.concatenate([chosen[:, :2], chosen[:, 2:] - chosen[:, :2]], 1), share)


def render_frame(task: SequenceTask, frame: int, camera: int) -> tuple[np.ndarray, View, Group, Truth]:
    """Image (H, W, 3) uint8 BGR of one camera (counted from 0) at one frame (from 1), with its exact truth."""
    scene, level = sequence_scene(task), get_level(task.level)
    group = gather(task.seed, level, scene.crowd.at(frame - 1), task.crowd)
    eye, response = frame_camera(task, frame, camera), scene.responses[camera]
    seconds, shown = (frame - 1) / task.fps, group.shown()
    still, light = _sunlit(task, math.floor(seconds / SUN_STEP))
    clouds = None
    if not scene.place.indoor:
        light = light_at(light, task.seed, task.sequence, level.place_change, seconds)
        clouds = cloud_shadows(
            task.seed, task.sequence, level.place_change, seconds, still.place[:2], still.place[2],
            still.maps.shape[1],
        )  # fmt: skip
    place = replace(scene.place, light=light)
    maps = add_people(still, shown, light[:3], clouds)
    view = render(eye, full_view(eye), shown, len(group.stands), group.materials, place, maps, _known(task, camera))
    image = view.light
    for index in np.unique(view.people[view.people >= 0]):
        streak(image, view.people == index, streaks(eye, group, int(index), response.shutter))
    if task.camera_motion:
        image = smear(image, eye, frame_camera(task, frame + SHUTTER, camera))
    response = replace(response, blur=math.hypot(response.blur, SOFTNESS))
    image = response.apply(image, rng_for(task.seed, "frame", task.sequence, camera, frame))
    return image, view, group, frame_truth(eye, group, view)


def view_note(eye: Camera) -> dict[str, Any]:
    """A camera as annotations describe it."""
    return {
        "position": list(eye.position), "yaw": eye.yaw, "tilt": eye.tilt, "focal": eye.focal,
        "ground_homography": eye.ground_homography.tolist(),
    }  # fmt: skip


def write_frame(task: FrameTask) -> list[dict[str, Any]]:
    """Write the images of all cameras; for each camera `gt` rows, `det` rows and the annotation."""
    sequence = task.sequence
    scene, level = sequence_scene(sequence), get_level(sequence.level)
    results = []
    for number, folder in enumerate(task.folders):
        image, view, group, truth = render_frame(sequence, task.frame, number)
        write_jpeg(folder / "img1" / f"{task.frame:06d}.jpg", image, scene.responses[number].quality)
        rng = rng_for(sequence.seed, "detector", sequence.sequence, number, task.frame)
        found = detect(rng, level, truth.boxes, truth.visibility, *sequence.size)
        camera = frame_camera(sequence, task.frame, number)
        people = []
        for index, box, share in zip(truth.index, truth.boxes, truth.visibility):
            stand = group.stands[index]
            points = seen_keypoints(camera, full_view(camera), view, group.poses[index], int(index))
            people.append({
                "id": stand.track + 1,
                "identity": stand.number,
                "outfit": stand.outfit,
                **role_note(group.people[index]),
                "box": [round(float(v), 2) for v in box],
                "viewpoint": round(viewpoint(camera, np.array(stand.position), stand.heading), 1),
                "visibility": round(float(share), 4),
                "ground": [round(v, 3) for v in stand.position],
                "keypoints": [[round(float(x), 1), round(float(y), 1), int(v)] for x, y, v in points],
                "mask": encode_mask(view.people == index),
            })  # fmt: skip
        moved = {"view": view_note(camera)} if sequence.camera_motion else {}
        results.append({"detections": found.tolist(), **moved, "people": people})
    return results
