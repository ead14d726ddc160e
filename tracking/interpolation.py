"""Gaps filled and trajectories smoothed, after tracking: linear, and Gaussian-smoothed (GSI, arXiv 2202.13514)."""

from dataclasses import replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from tracking.runner import TrackedSequence

WINDOW = 600  # longest piece of a trajectory that is smoothed at once: the work grows with the cube
VELOCITY_ROWS = 10  # boxes on each side of a gap that tell a velocity
NOISE = 1e-10  # variance of a measurement in that of the signal, what the authors' regression takes


def fill_gaps(
    tracked: TrackedSequence, max_gap: int = 20, long_gap: int = 0, max_detour: float = 1.0
) -> TrackedSequence:
    """Returns the tracks with boxes on straight lines where a track is missing.

    Args:
        tracked: Of one sequence, each identity at most once a frame.
        max_gap: Gaps of fewer than this many frames, from one box to the next, are filled; the paper takes 20.
        long_gap: Gaps of fewer frames than this are filled, too, where the track plainly goes on: its box keeps its
            height (by a quarter), and either hardly moves or moves as the velocities on both sides foretell.
        max_detour: What "hardly" and "as foretold" leave open there, in widths of the box.

    Returns:
        Sorted by identity, then frame. A filled box takes the confidence in line, too, and no detection.
    """
    tracked = tracked.only(np.lexsort((tracked.frame, tracked.track_id)))
    frame, track_id, xywh, confidence = tracked.frame, tracked.track_id, tracked.xywh, tracked.confidence
    step = np.diff(frame)
    inside = (np.diff(track_id) == 0) & (step > 1)
    gaps = np.flatnonzero(inside & (step < max_gap))
    longer = np.flatnonzero(inside & (step >= max_gap) & (step < long_gap))
    gaps = np.sort(np.concatenate([gaps, longer[_goes_on(tracked, longer, max_detour)]]))
    missing = step[gaps] - 1
    before = np.repeat(gaps, missing)
    position = np.arange(missing.sum()) - np.repeat(np.cumsum(missing) - missing, missing) + 1
    share = position / step[before]
    filled = tracked.with_boxes(
        frame[before] + position,
        track_id[before],
        xywh[before] + share[:, None] * (xywh[before + 1] - xywh[before]),
        confidence[before] + share * (confidence[before + 1] - confidence[before]),
        np.full(len(before), -1),
    )
    return filled.only(np.lexsort((filled.frame, filled.track_id)))


def _goes_on(tracked: TrackedSequence, gaps: np.ndarray, max_detour: float) -> np.ndarray:
    """Returns which gaps, each named by the row before it, a track crosses plainly, bool (N,); rows are in order."""
    frame, track_id, xywh = tracked.frame, tracked.track_id, tracked.xywh
    feet = xywh[:, :2] + xywh[:, 2:] * [0.5, 1.0]
    rows = np.arange(len(frame))
    ends = np.flatnonzero(np.diff(track_id)) if len(frame) else np.empty(0, np.int64)
    first = np.concatenate([[0], ends + 1])[np.searchsorted(ends, rows)]
    last = np.concatenate([ends, [len(frame) - 1]])[np.searchsorted(ends, rows)]
    after = gaps + 1
    earlier, later = np.maximum(gaps - VELOCITY_ROWS, first[gaps]), np.minimum(after + VELOCITY_ROWS, last[after])
    step = (frame[after] - frame[gaps])[:, None]
    velocity = (feet[gaps] - feet[earlier]) / np.maximum(frame[gaps] - frame[earlier], 1)[:, None]
    velocity_after = (feet[later] - feet[after]) / np.maximum(frame[later] - frame[after], 1)[:, None]
    way = feet[after] - feet[gaps]
    detour = np.maximum(np.abs(step * velocity - way), np.abs(step * velocity_after - way)).max(axis=1)
    error = np.minimum(detour, np.abs(way).max(axis=1))
    low, high = np.minimum(xywh[gaps, 3], xywh[after, 3]), np.maximum(xywh[gaps, 3], xywh[after, 3])
    goes_on: np.ndarray = (error < max_detour * 0.5 * (xywh[gaps, 2] + xywh[after, 2])) & (low > 0.75 * high)
    return goes_on


def smooth(tracked: TrackedSequence, tau: float = 10.0) -> TrackedSequence:
    """Returns the tracks on smooth curves: Gaussian-process regression of each coordinate over time.

    The kernel is radial with the paper's length scale, tau * log(tau^3 / length), kept in 1/tau..tau^2: short tracks
    are smoothed more. The paper leaves the noise open; as the authors' program, this one takes hardly any, so
    that the length scale alone decides what is smoothed away.

    Args:
        tracked: Of one sequence.
        tau: The paper's control of smoothness.
    """
    xywh = tracked.xywh.copy()
    for identity in np.unique(tracked.track_id):
        rows = np.flatnonzero(tracked.track_id == identity)
        rows = rows[np.argsort(tracked.frame[rows], kind="stable")]
        xywh[rows] = _smooth_track(tracked.frame[rows].astype(np.float64), tracked.xywh[rows], tau)
    xywh[:, 2:] = np.maximum(xywh[:, 2:], np.minimum(tracked.xywh[:, 2:], 1.0))  # no box turns over
    return replace(tracked, xywh=xywh)


def _smooth_track(time: np.ndarray, xywh: np.ndarray, tau: float) -> np.ndarray:
    """Returns one track's boxes (N, 4), smoothed; long ones in pieces that overlap."""
    count = len(time)
    if count < 3:
        return xywh
    length_scale = float(np.clip(tau * np.log(tau**3 / count), 1 / tau, tau**2))
    centred = np.concatenate([xywh[:, :2] + 0.5 * xywh[:, 2:], xywh[:, 2:]], axis=1)
    if count <= WINDOW:
        smoothed = _regress(time, centred, length_scale)
    else:
        smoothed = np.empty_like(centred)
        for start in range(0, count, WINDOW // 2):
            first, last = max(start - WINDOW // 4, 0), min(start + 3 * WINDOW // 4, count)
            piece = _regress(time[first:last], centred[first:last], length_scale)
            smoothed[start : start + WINDOW // 2] = piece[start - first : start - first + WINDOW // 2]
    return np.concatenate([smoothed[:, :2] - 0.5 * smoothed[:, 2:], smoothed[:, 2:]], axis=1)


def _regress(time: np.ndarray, values: np.ndarray, length_scale: float) -> np.ndarray:
    """Returns the posterior mean at the times of the values themselves, (N, C).

    A straight line is taken out first, so that a walk is not pulled back to its middle.
    """
    line = np.stack([np.ones_like(time), time - time.mean()], axis=1)
    trend = line @ np.linalg.lstsq(line, values, rcond=None)[0]
    difference = (time[:, None] - time[None]) / length_scale
    kernel = np.exp(-0.5 * difference * difference)
    factor = cho_factor(kernel + NOISE * np.eye(len(time)), check_finite=False)
    smoothed: np.ndarray = trend + kernel @ cho_solve(factor, values - trend, check_finite=False)
    return smoothed
