"""What OC-SORT (arXiv 2203.14360) remembers of past detections, for all tracks at once."""

import numpy as np

from tracking.boxes import xyxy_to_xysr
from tracking.kalman import KalmanFilter


def first_history(xyxy: np.ndarray, length: int) -> np.ndarray:
    """Returns the history (N, length + 1, 4) of new tracks: row k is the k-th frame before, or NaN."""
    history = np.full((len(xyxy), length + 1, 4), np.nan)
    history[:, 0] = xyxy
    return history


def next_frame(history: np.ndarray) -> None:
    """Moves the history by one frame, in place; nothing is observed yet."""
    history[:, 1:] = history[:, :-1].copy()
    history[:, 0] = np.nan


def earlier_observation(history: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Returns the box (N, 4) of the oldest frame in the history, this one aside; the last box where it has none."""
    seen = ~np.isnan(history[:, :0:-1, 0])  # the oldest frame first
    oldest = history.shape[1] - 1 - seen.argmax(axis=1)
    return np.where(seen.any(axis=1)[:, None], history[np.arange(len(history)), oldest], last)


def directions(from_xyxy: np.ndarray, to_xyxy: np.ndarray) -> np.ndarray:
    """Returns the unit vectors (..., 2) from the centres of boxes to those of others; 0 where they do not move."""
    step = 0.5 * (to_xyxy[..., :2] + to_xyxy[..., 2:4] - from_xyxy[..., :2] - from_xyxy[..., 2:4])
    length = np.sqrt((step * step).sum(axis=-1, keepdims=True))
    unit: np.ndarray = step / np.maximum(length, 1e-6)
    return unit


def direction_agreement(direction: np.ndarray, earlier: np.ndarray, xyxy: np.ndarray) -> np.ndarray:
    """Returns how well each detection continues each track's direction, (T, D) in -0.5..0.5.

    It is 1/2 - angle / pi: 0.5 straight on, 0 across, -0.5 back. The paper takes the angle as a cost; this differs by
    sign and scale only. Tracks without a direction agree with all alike, 0.

    Args:
        direction: (T, 2), unit vectors or 0.
        earlier: (T, 4), the boxes from which the directions to the detections start.
        xyxy: (D, 4).
    """
    towards = directions(earlier[:, None], xyxy[None])  # (T, D, 2)
    cosine = np.clip(np.einsum("tdc,tc->td", towards, direction), -1, 1)
    agreement = 0.5 - np.arccos(cosine) / np.pi
    agreement[~direction.any(axis=1)] = 0
    return agreement


def replayed_states(
    kalman: KalmanFilter, anchors: np.ndarray, last: np.ndarray, xyxy: np.ndarray, gaps: np.ndarray
) -> np.ndarray:
    """Returns the predicted states that tracks would have, had they been seen on a straight line while they were lost.

    The paper's observation-centric re-update: from the state at the last observation, the filter sees the boxes on
    the line from there to the new one (width and height change in line, too), all but the new one itself.

    Args:
        kalman: Of the motion model `tracking.kalman.XYSR`.
        anchors: (5, N, 4), the states after the last observations.
        last: (N, 4), these observations, xyxy.
        xyxy: (N, 4), the new observations.
        gaps: int (N,), frames from the one to the other, at least 1.
    """
    state = anchors.copy()
    kalman.predict(state)
    for step in range(1, int(gaps.max(initial=1))):
        rows = np.flatnonzero(step < gaps)
        share = (step / gaps[rows])[:, None]
        virtual = xyxy_to_xysr(last[rows] + share * (xyxy[rows] - last[rows]))
        moved = kalman.update(state[:, rows], virtual)
        kalman.predict(moved)
        state[:, rows] = moved
    return state
