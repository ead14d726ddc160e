"""COCO keypoints of a rendered person and whether they can be seen."""

import numpy as np

from .camera import Camera
from .pose import Pose
from .render import View, Window

OUTSIDE, HIDDEN, VISIBLE = 0, 1, 2
# How far below the surface a keypoint lies, metres: face, shoulders, elbows, wrists, hips, knees, ankles.
DEPTHS = np.array(
    [0.04, 0.04, 0.04, 0.06, 0.06, 0.12, 0.12, 0.09, 0.09, 0.07, 0.07, 0.18, 0.18, 0.12, 0.12, 0.10, 0.10]
)


def seen_keypoints(camera: Camera, window: Window, view: View, pose: Pose, person: int) -> np.ndarray:
    """Keypoints in samples of the window.

    A keypoint is visible where the nearest surface belongs to the same person and is about as far away as the
    keypoint; it is hidden where somebody, something or another part of the body is nearer.

    Returns:
        (17, 3) float64: x, y, and 0 outside the window, 1 hidden, 2 visible. Coordinates are kept in all cases.
    """
    pixels, depth = camera.project(pose.keypoints)
    xy = window.samples(pixels)
    column, row = np.floor(xy[:, 0]).astype(int), np.floor(xy[:, 1]).astype(int)
    inside = (column >= 0) & (column < window.columns) & (row >= 0) & (row < window.rows) & (depth > 0)
    column, row = np.clip(column, 0, window.columns - 1), np.clip(row, 0, window.rows - 1)
    surface = view.depth[row, column]
    near = (view.people[row, column] == person) & (surface > depth - DEPTHS)
    state = np.where(inside, np.where(near, VISIBLE, HIDDEN), OUTSIDE)
    return np.concatenate([xy, state[:, None]], axis=1)


def viewpoint(camera: Camera, position: np.ndarray, heading: float) -> float:
    """Azimuth of the camera in body coordinates, degrees in (-180, 180]: 0 sees the front, 90 the left side."""
    offset = np.array(camera.position[:2]) - position[:2]
    angle = np.degrees(np.arctan2(offset[1], offset[0]) - heading)
    return float(-((-angle + 180.0) % 360.0 - 180.0))
