"""Camera motion between frames: by enhanced correlation (ECC), as StrongSORT (arXiv 2202.13514) uses it, or by sparse
optical flow, as BoT-SORT (2206.14651) does.

In place of a frame its motion may be given, so that motions can be kept on disk: `tracking.motion_cache`.
"""  # noqa: D205

from typing import Protocol

import cv2
import numpy as np

from tracking.kalman import POSITION, VARIANCE, VELOCITY, MotionModel

ITERATIONS = 100
EPSILON = 1e-5
IMAGE_SCALE = 0.1
FLOW_SCALE = 0.5
MAX_CORNERS = 1000
MIN_CORNERS = 10


class MotionEstimator(Protocol):
    """Finds how each frame lies over the one before.

    Attributes:
        identity: Changes with whatever changes its motions.
    """

    identity: str

    def estimate(self, frame: np.ndarray) -> np.ndarray:
        """Returns the motion, float64 (2, 3), that takes points of the last frame to this one, in pixels.

        Args:
            frame: uint8 RGB (H, W, 3), or the motion itself, known already.
        """


class CameraMotion:
    """Estimates how each frame lies over the one before; it holds the last frame, small and grey."""

    identity = f"ECC Euclidean {ITERATIONS} {EPSILON} {IMAGE_SCALE} OpenCV {cv2.__version__}"

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def estimate(self, frame: np.ndarray) -> np.ndarray:
        """Returns the Euclidean motion, float64 (2, 3), that takes points of the last frame to this one, in pixels.

        The first frame, a frame of another size, and frames that ECC cannot align (blank, or too different) give the
        identity.

        Args:
            frame: uint8 RGB (H, W, 3), or float64 (2, 3), the motion itself.
        """
        if is_motion(frame):
            self._previous = None
            return frame
        small = _small_grey(frame, IMAGE_SCALE)
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


class FlowMotion:
    """Follows corners from frame to frame; it holds the last frame, grey and at half size, and its corners.

    RANSAC finds the similarity (shift, rotation, scale) that most corners agree on. Deviation from BoT-SORT: a
    similarity in place of a general affine map, which boxes that stay upright could not follow anyway.
    """

    identity = f"flow similarity {FLOW_SCALE} {MAX_CORNERS} {MIN_CORNERS} OpenCV {cv2.__version__}"

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None
        self._corners: np.ndarray | None = None

    def estimate(self, frame: np.ndarray) -> np.ndarray:
        """Returns the similarity, float64 (2, 3), that takes points of the last frame to this one, in pixels.

        The first frame, a frame of another size, and frames with too few corners in common give the identity.

        Args:
            frame: uint8 RGB (H, W, 3), or float64 (2, 3), the motion itself.
        """
        if is_motion(frame):
            self._previous = self._corners = None
            return frame
        grey = _small_grey(frame, FLOW_SCALE)
        previous, corners = self._previous, self._corners
        self._previous = grey
        self._corners = cv2.goodFeaturesToTrack(grey, MAX_CORNERS, 0.01, 1)
        motion: np.ndarray | None = None
        if previous is not None and previous.shape == grey.shape and corners is not None:
            moved, found, _ = cv2.calcOpticalFlowPyrLK(previous, grey, corners, None)  # type: ignore[call-overload]
            good = found.ravel() == 1
            if good.sum() >= MIN_CORNERS:
                motion, _ = cv2.estimateAffinePartial2D(corners[good], moved[good], method=cv2.RANSAC)
        if motion is None or not np.isfinite(motion).all():
            return np.eye(2, 3)
        motion = motion.astype(np.float64)
        motion[:, 2] /= FLOW_SCALE
        return motion


def is_motion(frame: np.ndarray) -> bool:
    """Returns whether a frame is no image but its motion, float (2, 3)."""
    return frame.shape == (2, 3) and frame.dtype.kind == "f"


def _small_grey(frame: np.ndarray, scale: float) -> np.ndarray:
    """Returns the frame in grey at that scale.

    Raises:
        ValueError: When it is no colour image.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"frame: got {frame.dtype} {frame.shape}, allowed: uint8 (H, W, 3)")
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (0, 0), fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def move_state(state: np.ndarray, motion: np.ndarray, model: MotionModel) -> None:
    """Carries tracks along with the camera, in place.

    Centres and their velocities move; sizes grow with the scale of the motion. Variances grow with its square and do
    not turn: exact where the noise of x equals that of y, an approximation for models where it does not.

    Args:
        state: Kalman state (5, N, 4) whose first two coordinates are the box centre.
        motion: (2, 3), a similarity, from the last frame to this one.
        model: Whose state it is.
    """
    turn = motion[:, :2]
    scale = _scale(motion)
    state[POSITION, :, :2] = state[POSITION, :, :2] @ turn.T + motion[:, 2]
    state[VELOCITY, :, :2] = state[VELOCITY, :, :2] @ turn.T
    growth = scale ** np.array(model.size_powers, dtype=np.float64)
    state[POSITION, :, 2:] *= growth
    state[VELOCITY, :, 2:] *= growth
    state[VARIANCE:, :, :2] *= scale**2
    state[VARIANCE:, :, 2:] *= growth**2


def move_boxes(xyxy: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Returns the boxes (N, 4) carried along with the camera: centres move, sizes grow with the motion's scale."""
    centre, half = 0.5 * (xyxy[:, :2] + xyxy[:, 2:]), 0.5 * (xyxy[:, 2:] - xyxy[:, :2]) * _scale(motion)
    centre = centre @ motion[:, :2].T + motion[:, 2]
    return np.concatenate([centre - half, centre + half], axis=1)


def _scale(motion: np.ndarray) -> float:
    return float(np.sqrt(abs(np.linalg.det(motion[:, :2]))))
