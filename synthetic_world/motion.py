"""What changes slowly or by hand: where a camera looks, and how bright the sun is."""

import math
from dataclasses import replace

import cv2
import numpy as np

from .camera import Camera
from .seeds import rng_for

CLOUDS = 24  # lumps across the sky, which then repeats
CLOUD_SIZE = 9.0  # metres of a lump
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
    return cv2.filter2D(light, -1, _along(move), borderType=cv2.BORDER_REPLICATE)


def _along(move: np.ndarray) -> np.ndarray:
    """Mean of what lies on a line of that many pixels across and down, as a kernel."""
    half = math.ceil(float(np.abs(move).max()) / 2) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 33):
        x, y = half + share * move
        column, row = math.floor(x), math.floor(y)
        right, below = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - below, below], [1 - right, right])
    return kernel / kernel.sum()


def streak(light: np.ndarray, mask: np.ndarray, move: np.ndarray) -> None:
    """Motion blur of a walker, in place.

    Args:
        light: (H, W, 3) float32.
        mask: (H, W) bool, where the walker is.
        move: (2,), pixels across and down while the shutter is open; hardly any leave the image as it is.
    """
    if float(np.abs(move).max()) < 0.6 or not mask.any():
        return
    columns, rows, kernel = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1)), _along(move)
    reach = kernel.shape[0] // 2
    part = np.s_[max(rows[0] - reach, 0) : rows[-1] + reach + 1, max(columns[0] - reach, 0) : columns[-1] + reach + 1]
    share = cv2.filter2D(mask[part].astype(np.float32), -1, kernel, borderType=cv2.BORDER_REPLICATE)
    mean = cv2.filter2D(light[part], -1, kernel, borderType=cv2.BORDER_REPLICATE)
    light[part] += share[..., None] * (mean - light[part])


def sun_at(light: np.ndarray, seed: int, sequence: int, seconds: float) -> np.ndarray:
    """Light of a place outdoors, see `Place`, with the sun where it is then.

    The sun goes around once in one to two hours, some fifteen times as fast as the real one, so that shadows turn
    within minutes; it rises and sinks between 26 and 67 degrees. The camera's exposure keeps level ground as bright.
    """
    rng = rng_for(seed, "sun", sequence)
    turn = rng.choice([-1.0, 1.0]) * 2 * math.pi / rng.uniform(3600, 7200)
    wave = 2 * math.pi / rng.uniform(1500, 3000)
    middle, reach = math.radians(46.5), math.radians(20.0)
    start = math.asin(float(np.clip((math.asin(light[2]) - middle) / reach, -1.0, 1.0)))
    azimuth = math.atan2(light[1], light[0]) + turn * seconds
    elevation = middle + reach * math.sin(start + wave * seconds)
    flat = math.cos(elevation)
    out = light.copy()
    out[:3] = flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)
    out[3:12] *= float((light[3:6] * light[2] + light[6:9]).mean() / (light[3:6] * out[2] + light[6:9]).mean())
    return out


def light_at(light: np.ndarray, seed: int, sequence: int, change: float, seconds: float) -> np.ndarray:
    """Light of a place, see `Place`, while clouds pass; the sun stays where it is."""
    rng = rng_for(seed, "clouds", sequence)
    wave = 0.0
    for period in (rng.uniform(60, 150), rng.uniform(15, 40)):
        wave += math.sin(2 * math.pi * (seconds / period + rng.random()))
    cloud = 0.25 * change * wave  # -0.5 to 0.5 at most
    light = light.copy()
    light[3:6] *= 1.0 - 0.8 * cloud
    light[6:9] *= 1.0 + 0.15 * cloud
    return light


def cloud_shadows(
    seed: int, sequence: int, change: float, seconds: float, corner: np.ndarray, cells_per_metre: float, size: int
) -> np.ndarray:
    """Shadows of clouds that the wind carries over the ground, (size, size) uint8, 255 where no sun comes through.

    Args:
        seed: of the world.
        sequence: number of the sequence.
        change: as in `Level.place_change`; the more, the darker.
        seconds: since the beginning.
        corner: (2,), of the map, metres.
        cells_per_metre: its resolution.
        size: cells across and down.
    """
    rng = rng_for(seed, "cloud shadows", sequence)
    sky = rng.uniform(-1.0, 1.0, (CLOUDS, CLOUDS))
    angle, speed = rng.uniform(0, 2 * math.pi), rng.uniform(1.5, 4.0)
    # The pattern is smooth: it is drawn coarsely, then stretched.
    coarse = max(2, size // 8)
    along = (np.arange(coarse) + 0.5) * (size / coarse / cells_per_metre)
    x, y = ((corner - speed * seconds * np.array([math.cos(angle), math.sin(angle)]))[:, None] + along) / CLOUD_SIZE
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    u, v = (3.0 * f**2 - 2.0 * f**3 for f in (x - left, y - top))
    rows, below, columns, right = top % CLOUDS, (top + 1) % CLOUDS, left % CLOUDS, (left + 1) % CLOUDS
    upper, lower = ((1.0 - u) * sky[row][:, columns] + u * sky[row][:, right] for row in (rows, below))
    field = (1.0 - v)[:, None] * upper + v[:, None] * lower
    shade = np.clip(1.5 * (field - 0.1), 0.0, 1.0) * (255.0 * (0.2 + 0.5 * change))
    return cv2.resize(shade, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
