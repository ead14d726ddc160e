"""Gaps filled and trajectories smoothed, after tracking: linear, and Gaussian-smoothed (GSI, arXiv 2202.13514)."""

from dataclasses import replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from tracking.runner import TrackedSequence

WINDOW = 600  # longest piece of a trajectory that is smoothed at once: the work grows with the cube
NOISE = 1e-10  # variance of a measurement in that of the signal, what the authors' regression takes


def fill_gaps(tracked: TrackedSequence, max_gap: int = 20) -> TrackedSequence:
    """Returns the tracks with boxes on straight lines where a track is missing.

    Args:
        tracked: Of one sequence, each identity at most once a frame.
        max_gap: Gaps of fewer than this many frames, from one box to the next, are filled; the paper takes 20.

    Returns:
        Sorted by identity, then frame. A filled box takes the confidence in line, too, and no detection.
    """
    order = np.lexsort((tracked.frame, tracked.track_id))
    frame, track_id = tracked.frame[order], tracked.track_id[order]
    step = np.diff(frame)
    gaps = np.flatnonzero((np.diff(track_id) == 0) & (step > 1) & (step < max_gap))
    missing = step[gaps] - 1
    before = np.repeat(gaps, missing)
    position = np.arange(missing.sum()) - np.repeat(np.cumsum(missing) - missing, missing) + 1
    share = position / step[before]
    xywh, confidence = tracked.xywh[order], tracked.confidence[order]
    new_xywh = xywh[before] + share[:, None] * (xywh[before + 1] - xywh[before])
    new_confidence = confidence[before] + share * (confidence[before + 1] - confidence[before])
    all_frames = np.concatenate([frame, frame[before] + position])
    all_ids = np.concatenate([track_id, track_id[before]])
    final = np.lexsort((all_frames, all_ids))
    return replace(
        tracked,
        frame=all_frames[final],
        track_id=all_ids[final],
        xywh=np.concatenate([xywh, new_xywh])[final],
        confidence=np.concatenate([confidence, new_confidence])[final],
        detection=np.concatenate([tracked.detection[order], np.full(len(before), -1)])[final],
    )


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
