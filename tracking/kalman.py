"""A constant-velocity Kalman filter over all tracks at once, pure NumPy.

Transition, noise and measurement of the filters that SORT (arXiv 1602.00763), DeepSORT (1703.07402) and StrongSORT
(2202.13514) describe treat the four box coordinates alike and apart: the 8 x 8 covariance is four 2 x 2 blocks, one a
coordinate and its velocity, and stays so. The filter therefore keeps three numbers a coordinate in place of the
matrix. It computes what the matrix form computes, exactly, without one matrix inverse.

The state of N tracks is one array, float64 (5, N, 4): position, velocity, variance of the position, covariance of
position and velocity, variance of the velocity. Time is counted in frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

POSITION, VELOCITY, VARIANCE, COVARIANCE, VELOCITY_VARIANCE = range(5)
CHI2_95_4DOF = 9.4877  # the 95 % quantile of the squared Mahalanobis distance in 4 dimensions

NsaMode = Literal["paper", "released", "off"]
NSA_MODES = ("paper", "released", "off")


@dataclass(frozen=True)
class MotionModel:
    """The noise of a filter: standard deviations as multiples of `scale(position)`, four numbers each."""

    scale: Callable[[np.ndarray], np.ndarray]  # position (N, 4) -> unit of each coordinate (N, 4)
    measurement: tuple[float, ...]
    process_position: tuple[float, ...]
    process_velocity: tuple[float, ...]
    initial_position: tuple[float, ...]
    initial_velocity: tuple[float, ...]
    size_powers: tuple[float, float]  # by which powers of a zoom the last two coordinates grow


def _xyah_scale(position: np.ndarray) -> np.ndarray:
    scale = np.repeat(position[:, 3:4], 4, axis=1)
    scale[:, 2] = 1
    return scale


def _xysr_scale(position: np.ndarray) -> np.ndarray:
    height = np.sqrt(position[:, 2] / position[:, 3])
    return np.stack([height, height, position[:, 2], np.ones(len(position))], axis=1)


def _xywh_scale(position: np.ndarray) -> np.ndarray:
    return np.concatenate([position[:, 2:], position[:, 2:]], axis=1)


# The noise of DeepSORT and StrongSORT: proportional to the height, constant for the aspect ratio.
XYAH = MotionModel(
    scale=_xyah_scale,
    measurement=(1 / 20, 1 / 20, 0.1, 1 / 20),
    process_position=(1 / 20, 1 / 20, 1e-2, 1 / 20),
    process_velocity=(1 / 160, 1 / 160, 1e-5, 1 / 160),
    initial_position=(2 / 20, 2 / 20, 1e-2, 2 / 20),
    initial_velocity=(10 / 160, 10 / 160, 1e-5, 10 / 160),
    size_powers=(0, 1),
)

# SORT's state. Its paper gives no noise, so the same h / 20 is carried over: an error of 1 / 20 in width and in height
# is one of 1 / 10 in the area. The aspect ratio has no velocity, as in the paper.
XYSR = MotionModel(
    scale=_xysr_scale,
    measurement=(1 / 20, 1 / 20, 1 / 10, 0.1),
    process_position=(1 / 20, 1 / 20, 1 / 10, 1e-2),
    process_velocity=(1 / 160, 1 / 160, 1 / 80, 0.0),
    initial_position=(2 / 20, 2 / 20, 2 / 10, 1e-1),
    initial_velocity=(10 / 160, 10 / 160, 10 / 80, 0.0),
    size_powers=(2, 0),
)

# BoT-SORT's state (arXiv 2206.14651): width and height stand for themselves, and each axis has noise of its own.
XYWH = MotionModel(
    scale=_xywh_scale,
    measurement=(1 / 20,) * 4,
    process_position=(1 / 20,) * 4,
    process_velocity=(1 / 160,) * 4,
    initial_position=(2 / 20,) * 4,
    initial_velocity=(10 / 160,) * 4,
    size_powers=(1, 1),
)


class KalmanFilter:
    """Filters the tracks of one motion model; it holds no track itself."""

    def __init__(self, model: MotionModel):
        self.model = model
        self._measurement = np.array(model.measurement) ** 2
        self._process = np.stack([np.array(model.process_position) ** 2, np.array(model.process_velocity) ** 2])
        self._initial = np.stack([np.array(model.initial_position) ** 2, np.array(model.initial_velocity) ** 2])

    def empty(self) -> np.ndarray:
        """Returns the state of no track, (5, 0, 4)."""
        return np.zeros((5, 0, 4))

    def initiate(self, measurement: np.ndarray) -> np.ndarray:
        """Returns the state (5, N, 4) of new tracks at `measurement` (N, 4), at rest."""
        state = np.zeros((5, len(measurement), 4))
        state[POSITION] = measurement
        squared = self.model.scale(measurement) ** 2
        state[VARIANCE] = squared * self._initial[0]
        state[VELOCITY_VARIANCE] = squared * self._initial[1]
        return state

    def predict(self, state: np.ndarray) -> None:
        """Moves every track by one frame, in place."""
        position, velocity, variance, covariance, velocity_variance = state
        squared = self.model.scale(position)
        squared *= squared
        position += velocity
        variance += 2 * covariance + velocity_variance + squared * self._process[0]
        covariance += velocity_variance
        velocity_variance += squared * self._process[1]

    def update(self, state: np.ndarray, measurement: np.ndarray, noise_factor: np.ndarray | float = 1.0) -> np.ndarray:
        """Returns the state after each track has seen its measurement.

        Args:
            state: (5, N, 4), predicted.
            measurement: (N, 4), one a track.
            noise_factor: (N,) or one number, what the measurement covariance is multiplied by.
        """
        position, velocity, variance, covariance, velocity_variance = state
        factor = np.asarray(noise_factor).reshape(-1, 1)
        noise = self.model.scale(position) ** 2 * self._measurement * factor
        innovation_variance = variance + noise
        gain, velocity_gain = variance / innovation_variance, covariance / innovation_variance
        innovation = measurement - position
        new = np.empty_like(state)
        np.add(position, gain * innovation, out=new[POSITION])
        np.add(velocity, velocity_gain * innovation, out=new[VELOCITY])
        remaining = noise / innovation_variance  # 1 - gain, without the cancellation
        np.multiply(variance, remaining, out=new[VARIANCE])
        np.multiply(covariance, remaining, out=new[COVARIANCE])
        np.subtract(velocity_variance, velocity_gain * covariance, out=new[VELOCITY_VARIANCE])
        return new

    def gating_distance(self, state: np.ndarray, measurement: np.ndarray) -> np.ndarray:
        """Returns the squared Mahalanobis distance of every measurement (D, 4) to every track, (N, D)."""
        position = state[POSITION]
        precision = 1 / (state[VARIANCE] + self.model.scale(position) ** 2 * self._measurement)
        difference = measurement[None] - position[:, None]  # (N, D, 4)
        difference *= difference
        distance: np.ndarray = np.matmul(difference, precision[:, :, None])[..., 0]
        return distance


def nsa_noise_factor(confidence: np.ndarray, mode: NsaMode) -> np.ndarray | float:
    """Returns the factor on the measurement covariance of the NSA filter (StrongSORT, section 3.2).

    Args:
        confidence: (N,); values outside 0..1, as some detectors give, are clipped. 1 is clipped to 0.999, so that
            a measurement is never taken as free of error.
        mode: "paper" is 1 - c. "released" is (1 - c)^2, as the authors' program scales the standard deviation.
            "off" is 1.
    """
    if mode == "off":
        return 1.0
    rest = 1 - np.clip(confidence, 0, 0.999)
    return rest if mode == "paper" else rest * rest
