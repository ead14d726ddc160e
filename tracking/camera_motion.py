"""Camera motion between frames by enhanced correlation (ECC), as StrongSORT (arXiv 2202.13514) uses it."""

import cv2
import numpy as np

from tracking.kalman import POSITION, VELOCITY

ITERATIONS = 100
EPSILON = 1e-5
IMAGE_SCALE = 0.1


class CameraMotion:
    """Estimates how each frame lies over the one before; it holds the last frame, small and grey."""

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def estimate(self, frame: np.ndarray) -> np.ndarray:
        """Returns the Euclidean motion, float64 (2, 3), that takes points of the last frame to this one, in pixels.

        The first frame, a frame of another size, and frames that ECC cannot align (blank, or too different) give the
        identity.

        Args:
            frame: uint8 RGB (H, W, 3).
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame: got {frame.dtype} {frame.shape}, allowed: uint8 (H, W, 3)")
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (0, 0), fx=IMAGE_SCALE, fy=IMAGE_SCALE, interpolation=cv2.INTER_AREA)
        previous, self._previous = self._previous, small
        warp = np.eye(2, 3, dtype=np.float32)
        if previous is not None and previous.shape == small.shape:
            criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, EPSILON)
            try:
                _, warp = cv2.findTransformECC(previous, small, warp, cv2.MOTION_EUCLIDEAN, criteria, None, 1)  # type: ignore[call-overload]
            except cv2.error:
                warp = np.eye(2, 3, dtype=np.float32)
        motion = warp.astype(np.float64)
        motion[:, 2] /= IMAGE_SCALE
        return motion


def move_state(state: np.ndarray, motion: np.ndarray) -> None:
    """Carries tracks along with the camera, in place.

    Centres and their velocities move; a Euclidean motion leaves sizes alone. The covariance stays as it is, exactly:
    the noise of x equals that of y, and a rotation does not change an isotropic covariance.

    Args:
        state: Kalman state (5, N, 4) whose first two coordinates are the box centre.
        motion: (2, 3), from the last frame to this one.
    """
    rotation = motion[:, :2]
    state[POSITION, :, :2] = state[POSITION, :, :2] @ rotation.T + motion[:, 2]
    state[VELOCITY, :, :2] = state[VELOCITY, :, :2] @ rotation.T
