"""A pinhole camera over a ground plane (z = 0, z up, metres), and how it renders colour."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist

import cv2
import numpy as np

from .jit import compiled
from .levels import Level

BRIGHTEST = 2  # root of the light beyond which nothing gets brighter
TONES = 1024
NORMAL = np.array([NormalDist().inv_cdf((n + 0.5) / 4096) for n in range(4096)], np.float32)


@dataclass(frozen=True)
class ColourResponse:
    """What a camera does to light.

    Attributes:
        gains: of the red, green and blue channel.
        exposure: of all channels.
        saturation: 1 keeps colours, 0 is grey.
        gamma: 1 is the usual display curve, more is darker in the middle.
        blur: standard deviation, pixels of the written image.
        noise: standard deviation, 8-bit steps.
        quality: of the JPEG, 1..100.
        resolution: share of the image's pixels across and down that the sensor has; the image is stretched to its size.
        shutter: seconds that it is open; walkers smear meanwhile.
    """

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    exposure: float = 1.0
    saturation: float = 1.0
    gamma: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    quality: int = 92
    resolution: float = 1.0
    shutter: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator, level: Level) -> "ColourResponse":
        """One camera's response at that level."""
        shift = level.colour_shift
        # Casts differ in direction, not in strength, so that worlds of different seeds are about equally hard.
        cast = rng.normal(0.0, 1.0, 3)
        cast -= cast.mean()
        gains = np.exp(shift * rng.uniform(0.16, 0.28) * cast / max(float(np.linalg.norm(cast)), 1e-6))
        gains /= gains.mean()
        dim = 0.4 if rng.random() < level.low_light else 1.0
        return cls(
            gains=(float(gains[0]), float(gains[1]), float(gains[2])),
            exposure=dim * math.exp(shift * rng.normal(0.0, 0.25)),
            saturation=1.0 + shift * rng.uniform(-0.45, 0.25),
            gamma=math.exp(shift * rng.normal(0.0, 0.16)),
            blur=level.blur * rng.uniform(0.3, 1.0),
            noise=level.noise * rng.uniform(0.3, 1.0) * (1.5 if dim < 1.0 else 1.0),
            quality=int(rng.integers(75, 96)),
            resolution=1.0 - level.blur * rng.uniform(0.0, 0.4),
            shutter=level.blur * rng.uniform(0.004, 0.03),
        )

    def apply(self, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Image of a camera with this response.

        Args:
            light: (H, W, 3) float32, linear RGB, 1 = white.
            rng: for the noise.

        Returns:
            (H, W, 3) uint8, BGR as OpenCV writes it.
        """
        grey = np.array([0.30, 0.59, 0.11])
        mix = self.saturation * np.eye(3) + (1.0 - self.saturation) * grey[None, :]
        matrix = (mix * np.array(self.gains)[None, :] * self.exposure)[::-1]  # rows: blue, green, red
        if self.blur > 0.15:
            taps = 2 * math.ceil(2.0 * self.blur) + 1  # beyond lies a twentieth at most
            light = cv2.GaussianBlur(light, (taps, taps), self.blur)
        height, width = light.shape[:2]
        if self.resolution < 0.97:
            sensor = (max(1, round(self.resolution * width)), max(1, round(self.resolution * height)))
            light = cv2.resize(light, sensor, interpolation=cv2.INTER_AREA)
        image = np.empty(light.shape, np.uint8)
        seed = int(rng.integers(2**62)) if self.noise > 0.0 else 0
        # Half of the noise is the same in all channels.
        grain = self.noise / math.sqrt(2.0)
        develop(np.ascontiguousarray(light, np.float32), matrix, _tones(self.gamma), seed, grain, image)
        return image if image.shape[:2] == (height, width) else cv2.resize(image, (width, height))


@lru_cache(maxsize=64)
def _tones(gamma: float) -> np.ndarray:
    """Pixel values, 0..255 and beyond, by the root of the light in steps of 1 / `TONES`."""
    light = (np.arange(BRIGHTEST * TONES + 2) / TONES) ** 2
    light = light / (1.0 + 0.25 * light) * 1.25  # highlights roll off
    return (255.0 * light ** (gamma / 2.2)).astype(np.float32)


@compiled
def develop(light, matrix, tones, seed, grain, image):
    """Fill a uint8 image from light, (H, W, 3) both: mix channels by the matrix, look up tones, add normal noise."""
    for j in range(light.shape[0]):
        for i in range(light.shape[1]):
            n = np.uint64(0)
            shared = 0.5
            if grain > 0.0:
                # SplitMix64, a random number of 64 bits; four times 12 of them choose from the normal distribution.
                n = np.uint64(seed) + np.uint64(j * light.shape[1] + i + 1) * np.uint64(0x9E3779B97F4A7C15)
                n = (n ^ (n >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                n = (n ^ (n >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                n = n ^ (n >> np.uint64(31))
                shared += grain * NORMAL[n & np.uint64(4095)]
            for c in range(3):
                x = matrix[c, 0] * light[j, i, 0] + matrix[c, 1] * light[j, i, 1] + matrix[c, 2] * light[j, i, 2]
                root = min(math.sqrt(max(x, 0.0)), BRIGHTEST) * TONES
                k = int(root)
                value = tones[k] + (tones[k + 1] - tones[k]) * (root - k) + shared
                if grain > 0.0:
                    n = n >> np.uint64(12)
                    value += grain * NORMAL[n & np.uint64(4095)]
                image[j, i, c] = np.uint8(min(max(value, 0.0), 255.0))


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without lens distortion.

    Pixel coordinates are continuous: the first pixel covers 0 to 1, its centre is at 0.5.

    Attributes:
        position: x, y, z in the world.
        yaw: direction of view over the ground, radians, 0 along x.
        tilt: downward, radians.
        focal: focal length in pixels.
        width: of the image.
        height: of the image.
    """

    position: tuple[float, float, float]
    yaw: float
    tilt: float
    focal: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.position[2] <= 0:
            raise ValueError(f"position: got a height of {self.position[2]}, allowed is above the ground")
        if self.focal <= 0 or self.width < 1 or self.height < 1:
            raise ValueError(f"focal, width, height: got {self.focal}, {self.width}, {self.height}, allowed are > 0")

    @cached_property
    def rotation(self) -> np.ndarray:
        """(3, 3), rows: right, down and forward in the world."""
        level = np.array([math.cos(self.yaw), math.sin(self.yaw), 0.0])
        forward = math.cos(self.tilt) * level - np.array([0.0, 0.0, math.sin(self.tilt)])
        right = np.array([math.sin(self.yaw), -math.cos(self.yaw), 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    @cached_property
    def to_pixels(self) -> np.ndarray:
        """(3, 3), offsets from the camera in the world to homogeneous pixels."""
        intrinsics = np.array([[self.focal, 0.0, self.width / 2], [0.0, self.focal, self.height / 2], [0.0, 0.0, 1.0]])
        return intrinsics @ self.rotation

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N, 2) and depths (N,) of world points (N, 3); pixels are meaningless where depth <= 0."""
        image = (np.asarray(points, float) - np.array(self.position)) @ self.to_pixels.T
        depth = image[:, 2]
        return image[:, :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth)[:, None], depth

    @cached_property
    def ground_homography(self) -> np.ndarray:
        """(3, 3), ground positions (x, y, 1) to homogeneous pixels; its inverse maps pixels to the ground."""
        columns = self.to_pixels
        return np.stack([columns[:, 0], columns[:, 1], -columns @ np.array(self.position)], axis=1)

    def to_ground(self, pixels: np.ndarray) -> np.ndarray:
        """Ground positions (N, 2) seen at pixels (N, 2) below the horizon."""
        ground = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(self.ground_homography).T
        return ground[:, :2] / ground[:, 2:]
