"""Tracks of one person joined after tracking, by looks and motion; no training is needed.

AFLink (arXiv 2202.13514), which learns from trajectories alone, stands in `tracking.aflink`.
"""

from dataclasses import dataclass

import numpy as np

from tracking.association import FORBIDDEN, cosine_distance
from tracking.look_calibration import LookCalibration
from tracking.options import require_count, require_range
from tracking.runner import TrackedSequence
from tracking.tracklets import Tracklets, join, make_tracklets

ROUNDS = 5  # chains grow, and looks get better, from round to round
VELOCITY_FRAMES = 10
HIGHEST_COST = 2.0  # of a cosine distance


@dataclass(frozen=True)
class LinkOptions:
    """How tracks are joined.

    Attributes:
        max_gap: Most frames from the end of a track to the beginning of its continuation.
        max_different: Highest probability that the looks belong to two people.
        reach: How far from the expected place a track may go on, in heights of the box at a gap of one frame.
        speed: By how many heights that grows with each frame of the gap.
        jaccard: Weight of the Jaccard distance between tracks' neighbourhoods beside the cosine distance.
    """

    max_gap: int = 150
    max_different: float = 0.005
    reach: float = 1.0
    speed: float = 0.06
    jaccard: float = 0.3

    def __post_init__(self) -> None:
        require_count("max_gap", self.max_gap, 1)
        require_range("max_different", self.max_different, 0, 1)
        require_range("reach", self.reach, 0, 1e6)
        require_range("speed", self.speed, 0, 1e6)
        require_range("jaccard", self.jaccard, 0, 1)


def link_by_looks(
    tracked: TrackedSequence, embeddings: np.ndarray, options: LinkOptions | None = None
) -> TrackedSequence:
    """Returns the tracks with those joined that look alike and fit each other in time and place.

    How alike is enough, the sequence itself tells: two halves of a track are one person, and tracks seen at the same
    time are two. The probability from there must stay below `max_different`; within it, the assignment prefers looks
    that are closest.

    Args:
        tracked: Of one sequence; its `detection` counts the rows of `embeddings`.
        embeddings: (M, D), of all detections of the sequence.
        options: How; None takes the defaults.
    """
    options = options or LinkOptions()
    for _ in range(ROUNDS):
        tracklets = make_tracklets(tracked, embeddings)
        if len(tracklets) < 2:
            break
        assert tracklets.look is not None
        cost = cosine_distance(tracklets.look, tracklets.look)
        if options.jaccard:
            cost = (1 - options.jaccard) * cost + options.jaccard * jaccard_distance(cost)
        allowed = motion_allows(tracked, tracklets, options) & (different_people(tracklets) <= options.max_different)
        cost = np.where(allowed, cost, FORBIDDEN)
        joined = join(tracked, tracklets, cost, HIGHEST_COST)
        if np.array_equal(joined.track_id, tracked.track_id):
            break
        tracked = joined
    return tracked


def different_people(tracklets: Tracklets) -> np.ndarray:
    """Returns the probability (T, T) that the looks of two tracks belong to two people; 1 where one has no look."""
    assert tracklets.look is not None
    known = np.asarray(tracklets.look.any(axis=1))
    different = calibrate_looks(tracklets).different(cosine_distance(tracklets.look, tracklets.look))
    different[~known] = 1
    different[:, ~known] = 1
    return different


def calibrate_looks(tracklets: Tracklets) -> LookCalibration:
    """Learns what distances mean in a sequence: both halves of a track are one person, tracks seen at once are two."""
    assert tracklets.look is not None and tracklets.halves is not None
    known = np.asarray(tracklets.look.any(axis=1))
    calibration = LookCalibration()
    long: np.ndarray = known & (tracklets.last - tracklets.first >= 2 * VELOCITY_FRAMES)
    same = 1 - np.einsum("td,td->t", tracklets.halves[0], tracklets.halves[1])
    together: np.ndarray = (tracklets.first[:, None] <= tracklets.last[None]) & (
        tracklets.first[None] <= tracklets.last[:, None]
    )
    pairs = np.triu(together & known[:, None] & known[None], 1)
    calibration.learn(same[long], cosine_distance(tracklets.look, tracklets.look)[pairs])
    return calibration


def jaccard_distance(distance: np.ndarray, count: int = 6) -> np.ndarray:
    """Returns 1 - the overlap of two tracks' neighbourhoods, (T, T) in 0..1.

    The neighbours of a track are those of its `count` nearest that have it among theirs (k-reciprocal encoding,
    arXiv 1701.08398, without its expansion), weighted by exp(-distance).
    """
    total = len(distance)
    count = min(count, total - 1)
    if count < 1:
        return np.zeros_like(distance)
    near = np.zeros((total, total), bool)
    nearest = np.argpartition(distance, count, axis=1)[:, : count + 1]
    near[np.arange(total)[:, None], nearest] = True
    np.fill_diagonal(near, True)
    weight = np.where(near & near.T, np.exp(-distance), 0)
    weight /= weight.sum(axis=1, keepdims=True)
    shared = np.empty((total, total))
    for row in range(total):
        shared[row] = np.minimum(weight[row], weight).sum(axis=1)
    jaccard: np.ndarray = 1 - shared / (2 - shared)  # each row of weights sums to 1
    return jaccard


def motion_allows(tracked: TrackedSequence, tracklets: Tracklets, options: LinkOptions) -> np.ndarray:
    """Returns which tracks (columns) may go on from which (rows), by time and place, bool (T, T).

    The row's track is carried on at its last velocity, the column's back at its first; the distance between the two
    meeting points, halfway through the gap, must be within reach.
    """
    start, start_velocity, start_height = _end(tracked, tracklets, at_start=True)
    stop, stop_velocity, stop_height = _end(tracked, tracklets, at_start=False)
    gap = tracklets.first[None] - tracklets.last[:, None]
    # Nobody walks on in line for long: velocities count for the first frames of the gap only.
    half = np.minimum(np.maximum(gap, 0) / 2, VELOCITY_FRAMES)[..., None]
    ahead = stop[:, None] + half * stop_velocity[:, None]
    back = start[None] - half * start_velocity[None]
    distance = np.sqrt(((ahead - back) ** 2).sum(axis=-1))
    height = np.maximum(stop_height[:, None], start_height[None])
    similar = np.minimum(stop_height[:, None], start_height[None]) > 0.5 * height
    near = distance <= height * (options.reach + options.speed * gap)
    allowed: np.ndarray = (gap >= 1) & (gap <= options.max_gap) & near & similar
    return allowed


def _end(tracked: TrackedSequence, tracklets: Tracklets, at_start: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the foot points (T, 2), velocities (T, 2) in pixels a frame and heights (T,) at one end of the tracks."""
    count = len(tracklets)
    place, velocity, height = np.zeros((count, 2)), np.zeros((count, 2)), np.ones(count)
    for index, rows in enumerate(tracklets.rows):
        piece = rows[:VELOCITY_FRAMES] if at_start else rows[-VELOCITY_FRAMES:]
        xywh = tracked.xywh[piece]
        feet = xywh[:, :2] + xywh[:, 2:] * [0.5, 1.0]
        edge = 0 if at_start else -1
        place[index], height[index] = feet[edge], np.median(xywh[:, 3])
        frames = int(tracked.frame[piece[-1]] - tracked.frame[piece[0]])
        if frames >= 3:
            velocity[index] = (feet[-1] - feet[0]) / frames
    return place, velocity, height
