"""Detections that no track took while it ran, given to the tracks that they fit, after tracking."""

from dataclasses import dataclass

import numpy as np

from tracking.association import FORBIDDEN, assign, cosine_distance, normalise_rows
from tracking.boxes import iou_matrix, xywh_to_xyxy
from tracking.linking import VELOCITY_FRAMES, calibrate_looks
from tracking.options import require_count, require_range
from tracking.runner import TrackedSequence
from tracking.sources import SequenceDetections
from tracking.tracklets import Tracklets, make_tracklets

ROUNDS = 8  # what was found carries a track further, up to here
LOOKS = 0.3  # weight of looks beside 1 - overlap


@dataclass(frozen=True)
class RecoveryOptions:
    """Which detections a track takes.

    Attributes:
        max_gap: Gaps of at most this many frames, from one box to the next, are searched.
        ends: Frames searched before the first and after the last box of a track, at each round.
        min_iou: Lowest overlap with where the track should be.
        max_different: Highest probability that looks belong to two people.
    """

    max_gap: int = 60
    ends: int = 20
    min_iou: float = 0.3
    max_different: float = 0.5

    def __post_init__(self) -> None:
        require_count("max_gap", self.max_gap, 1)
        require_count("ends", self.ends, 0)
        require_range("min_iou", self.min_iou, 0, 1)
        require_range("max_different", self.max_different, 0, 1)


def recover_detections(
    tracked: TrackedSequence, detections: SequenceDetections, options: RecoveryOptions | None = None
) -> TrackedSequence:
    """Returns the tracks with detections that were left over: those too weak, or before a track was confirmed.

    A track should be on the straight line across a gap, and go on at its last (or first) velocity beyond its ends. In
    each frame the detections left over and the tracks missing there are assigned by overlap and looks.

    Args:
        tracked: Of one sequence; its `detection` counts the detections.
        detections: Of the sequence; their embeddings, where they have any, have a say.
        options: How; None takes the defaults.
    """
    options = options or RecoveryOptions()
    looks = None if detections.embeddings is None else normalise_rows(detections.embeddings)
    for _ in range(ROUNDS):
        used = np.zeros(len(detections.frame), bool)
        used[tracked.detection[tracked.detection >= 0]] = True
        free = np.flatnonzero(~used)
        if not len(free) or not len(tracked.frame):
            break
        tracklets = make_tracklets(tracked, detections.embeddings)
        different = None if looks is None else _different(tracklets, looks[free])
        tracks, found = _match(tracked, tracklets, detections, free, different, options)
        if not len(found):
            break
        tracked = tracked.with_boxes(
            detections.frame[found],
            tracklets.track_id[tracks],
            detections.xywh[found],
            detections.confidence[found],
            found,
        )
    return tracked


def _different(tracklets: Tracklets, looks: np.ndarray) -> np.ndarray:
    """Returns the probability (T, N) that tracks and looks are two people, one half where nothing is known."""
    assert tracklets.look is not None
    different = calibrate_looks(tracklets).different(cosine_distance(tracklets.look, looks))
    different[~tracklets.look.any(axis=1)] = 0.5
    different[:, ~looks.any(axis=1)] = 0.5
    return different


def _match(
    tracked: TrackedSequence,
    tracklets: Tracklets,
    detections: SequenceDetections,
    free: np.ndarray,
    different: np.ndarray | None,
    options: RecoveryOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices of tracks, and the rows of the detections that they take."""
    expected = [
        _expected(index, tracked.frame[rows], tracked.xywh[rows], detections.length, options)
        for index, rows in enumerate(tracklets.rows)
    ]
    frame = np.concatenate([part[0] for part in expected])
    order = np.argsort(frame, kind="stable")
    frame = frame[order]
    track = np.concatenate([part[1] for part in expected])[order]
    box = xywh_to_xyxy(np.concatenate([part[2] for part in expected])[order])
    free_frame = detections.frame[free]
    free_box = xywh_to_xyxy(detections.xywh[free])
    tracks, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for number in np.intersect1d(frame, free_frame):
        here = slice(*np.searchsorted(frame, [number, number + 1]))
        there = slice(*np.searchsorted(free_frame, [number, number + 1]))
        overlap = iou_matrix(box[here], free_box[there])
        cost = 1 - overlap
        if different is not None:
            apart = different[track[here], there]
            cost += LOOKS * apart
            cost[apart > options.max_different] = FORBIDDEN
        cost[overlap < options.min_iou] = FORBIDDEN
        rows, columns = assign(cost, 1 + LOOKS)
        tracks.append(track[here][rows])
        found.append(free[there][columns])
    return np.concatenate(tracks), np.concatenate(found)


def _expected(
    index: int, frame: np.ndarray, xywh: np.ndarray, length: int, options: RecoveryOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns frames, `index` as often, and boxes (N, 4) where a track should be in the frames that it misses."""
    step = np.diff(frame)
    gaps = np.flatnonzero((step > 1) & (step <= options.max_gap))
    before = np.repeat(gaps, step[gaps] - 1)
    position = np.arange(len(before)) - np.searchsorted(before, before) + 1
    share = (position / step[before])[:, None]
    frames = [frame[before] + position]
    boxes = [xywh[before] + share * (xywh[before + 1] - xywh[before])]
    if len(frame) > 2:  # who was hardly seen has no velocity
        after = np.arange(1, min(options.ends, length - frame[-1]) + 1)
        frames.append(frame[-1] + after)
        boxes.append(xywh[-1] + after[:, None] * _velocity(frame[-VELOCITY_FRAMES:], xywh[-VELOCITY_FRAMES:]))
        earlier = np.arange(1, min(options.ends, frame[0] - 1) + 1)
        frames.append(frame[0] - earlier)
        boxes.append(xywh[0] - earlier[:, None] * _velocity(frame[:VELOCITY_FRAMES], xywh[:VELOCITY_FRAMES]))
    all_frames = np.concatenate(frames)
    return all_frames, np.full(len(all_frames), index), np.concatenate(boxes)


def _velocity(frame: np.ndarray, xywh: np.ndarray) -> np.ndarray:
    """Returns pixels a frame of the centre, none of the size, (4,)."""
    velocity = np.zeros(4)
    if len(frame) > 3:
        centre = xywh[:, :2] + 0.5 * xywh[:, 2:]
        velocity[:2] = (centre[-1] - centre[0]) / (frame[-1] - frame[0])
    return velocity
