"""What changes slowly or by hand: where a camera looks, and how bright the sun is."""

import math
from dataclasses import replace

import cv2
import numpy as np

from .camera import Camera
from .seeds import rng_for

SHUTTER = 0.4  # share of the time between two frames


def carried(camera: Camera, seed: int, sequence: int, index: int, seconds: float) -> Camera:
    """The camera in somebody's hands at that time: it pans slowly to and fro, and it shakes."""
    rng = rng_for(seed, "hand", sequence, index)
    pan = math.radians(rng.uniform(2.5, 5.0)) * math.sin(2 * math.pi * (seconds / rng.uniform(14, 40) + rng.random()))
    shake = np.zeros(5)  # yaw, tilt, x, y, z
    for frequency in (0.7, 1.6, 3.1, 5.3):
        phase, strength = rng.uniform(0, 2 * math.pi, 5), rng.uniform(0.5, 1.0, 5)
        shake += strength * np.sin(2 * math.pi * frequency * rng.uniform(0.85, 1.15) * seconds + phase) / frequency
    yaw, tilt = np.radians(0.22) * shake[:2]
    x, y, z = np.array(camera.position) + 0.012 * shake[2:]
    return replace(camera, position=(float(x), float(y), float(z)), yaw=camera.yaw + pan + yaw, tilt=camera.tilt + tilt)


def smear(light: np.ndarray, before: Camera, after: Camera) -> np.ndarray:
    """Motion blur of a camera that turns from `before` to `after` while the shutter is open."""
    ahead = np.array([before.position]) + 10.0 * before.rotation[2]
    pixel, _ = after.project(ahead)
    move = pixel[0] - np.array([before.width / 2, before.height / 2])
    if float(np.abs(move).max()) < 0.5:
        return light
    half = math.ceil(float(np.abs(move).max()) / 2) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 33):
        x, y = half + share * move
        column, row = math.floor(x), math.floor(y)
        right, below = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - below, below], [1 - right, right])
    return cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def light_at(light: np.ndarray, seed: int, sequence: int, change: float, seconds: float) -> np.ndarray:
    """Light of a place, see `Place`, while clouds pass; shadows stay where they are."""
    rng = rng_for(seed, "clouds", sequence)
    wave = 0.0
    for period in (rng.uniform(60, 150), rng.uniform(15, 40)):
        wave += math.sin(2 * math.pi * (seconds / period + rng.random()))
    cloud = 0.25 * change * wave  # -0.5 to 0.5 at most
    light = light.copy()
    light[3:6] *= 1.0 - 0.8 * cloud
    light[6:9] *= 1.0 + 0.15 * cloud
    return light
