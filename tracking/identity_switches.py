"""Which box follows which person, and where a person's identity switches, by TrackEval's rules."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from reid.data.mot import MotGroundTruth, MotResults
from tracking.boxes import iou_matrix, xywh_to_xyxy

MIN_IOU = 0.5
DISTRACTORS = (2, 7, 8, 12)  # people on vehicles, static people, distractors, reflections
_EPSILON = float(np.finfo("float").eps)


@dataclass(frozen=True)
class Switch:
    """A person whom another track follows than did before.

    Attributes:
        person: The identity in the ground truth.
        before, frame: The last frame with the earlier track, and the first with the later one.
        earlier, later: The identities of the tracks.
        before_row, row: The rows of the result in these frames.
        truth_row: The row of the ground truth in `frame`.
    """

    person: int
    before: int
    frame: int
    earlier: int
    later: int
    before_row: int
    row: int
    truth_row: int


@dataclass(frozen=True)
class Following:
    """Who follows whom.

    Attributes:
        truth_row: int64 (N,), for each row of the result the row of the ground truth that it follows, -1 for none.
        switches: By frame; as many as TrackEval counts (IDSW).
    """

    truth_row: np.ndarray
    switches: list[Switch]


def match_boxes(frame: np.ndarray, xywh: np.ndarray, truth: MotGroundTruth) -> np.ndarray:
    """Returns for each box the row of the ground truth that it meets, of any class and flag, int64 (N,), -1 for none.

    In each frame the pairs of the greatest total overlap, each of an IoU of 0.5 or more; as TrackEval finds the boxes
    that stand for distractors.

    Args:
        frame: int64 (N,).
        xywh: (N, 4).
        truth: Of the sequence.
    """
    met = np.full(len(frame), -1, np.int64)
    for rows, truth_rows in _by_frame(frame, truth.frame):
        overlap = iou_matrix(xywh_to_xyxy(truth.xywh[truth_rows]), xywh_to_xyxy(xywh[rows]))
        overlap[overlap < MIN_IOU - _EPSILON] = 0
        a, b = linear_sum_assignment(-overlap)
        keep = overlap[a, b] > _EPSILON
        met[rows[b[keep]]] = truth_rows[a[keep]]
    return met


def scored_people(truth: MotGroundTruth, benchmark: str) -> np.ndarray:
    """Returns which rows of the ground truth are scored, bool (N,): pedestrians whose flag is not 0."""
    counted: np.ndarray = truth.flag != 0
    return counted if benchmark == "MOT15" else counted & (truth.class_id == 1)


def distractors(truth: MotGroundTruth, benchmark: str) -> np.ndarray:
    """Returns which rows of the ground truth make the boxes that meet them drop out, bool (N,)."""
    if benchmark == "MOT15":
        return np.zeros(len(truth.frame), bool)
    return np.isin(truth.class_id, (*DISTRACTORS, 6) if benchmark == "MOT20" else DISTRACTORS)


def follow_people(truth: MotGroundTruth, rows: MotResults, benchmark: str) -> Following:
    """Pairs tracks and people as CLEAR does (TrackEval 1.3.0), and finds the switches.

    In each frame pairs of the frame before are kept first, then the overlap is greatest; 0.5 is the least. A switch
    is a person who is followed by another track than when last followed, however long ago.

    Args:
        truth: Of the sequence.
        rows: The result.
        benchmark: MOT15, MOT16, MOT17 or MOT20; see `tracking.trackeval_scores`.
    """
    met = match_boxes(rows.frame, rows.xywh, truth)
    dropped = np.isin(met, np.flatnonzero(distractors(truth, benchmark)))
    kept, people = np.flatnonzero(~dropped), np.flatnonzero(scored_people(truth, benchmark))
    follows = np.full(len(rows.frame), -1, np.int64)
    last: dict[int, int] = {}  # person -> row of the result that followed last
    just: dict[int, int] = {}  # person -> track, in the last frame that had both
    switches = []
    for own, own_people in _by_frame(rows.frame[kept], truth.frame[people]):
        own, own_people = kept[own], people[own_people]
        ids, tracks = truth.track_id[own_people].tolist(), rows.track_id[own]
        overlap = iou_matrix(xywh_to_xyxy(truth.xywh[own_people]), xywh_to_xyxy(rows.xywh[own]))
        stays = np.array([just.get(person, -1) for person in ids])[:, None] == tracks[None]
        score = 1000 * stays + overlap
        score[overlap < MIN_IOU - _EPSILON] = 0
        a, b = linear_sum_assignment(-score)
        keep = score[a, b] > _EPSILON
        just = {}
        for place, row in zip(a[keep].tolist(), own[b[keep]].tolist()):
            person, track = ids[place], int(rows.track_id[row])
            truth_row = int(own_people[place])
            earlier = last.get(person)
            if earlier is not None and rows.track_id[earlier] != track:
                before, frame = int(rows.frame[earlier]), int(rows.frame[row])
                switches.append(
                    Switch(person, before, frame, int(rows.track_id[earlier]), track, earlier, row, truth_row)
                )
            follows[row] = truth_row
            last[person], just[person] = row, track
    return Following(follows, switches)


def _by_frame(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the rows of each frame that both have, in the order of frames, else of the files."""
    order_a, order_b = np.argsort(a, kind="stable"), np.argsort(b, kind="stable")
    frames = np.intersect1d(a, b)
    starts = [np.searchsorted(values[order], [frames, frames + 1]) for values, order in ((a, order_a), (b, order_b))]
    for first_a, last_a, first_b, last_b in zip(*starts[0], *starts[1]):
        yield order_a[first_a:last_a], order_b[first_b:last_b]
