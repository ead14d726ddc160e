"""What a result would be if one part of tracking were perfect.

Two oracles mend the result itself, three need the detections, and two of these track them again. "Meets" is an IoU of
0.5 or more in the assignment of the greatest total overlap, frame by frame (`tracking.identity_switches.match_boxes`).
"""

from dataclasses import replace

import numpy as np

from reid.data.mot import MotGroundTruth, MotResults
from tracking.identity_switches import follow_people, match_boxes, scored_people
from tracking.sources import SequenceDetections

# Name -> what it is, for readers.
ORACLES = {
    "as tracked": "The result as it is.",
    "identities mended": "The boxes of the result; each that meets somebody of the ground truth takes that identity, "
    "the others keep one of their own. What is still missing is missed, false or ill-placed boxes.",
    "boxes mended": "Exactly the boxes of the ground truth that are scored. Each has the identity that the result gave "
    "this person there, or else in the nearest frame (one of its own where another box has that identity, or where the "
    "person was never found). What is still missing are the tracker's confusions; DetA stays a little below 100, since "
    "HOTA pairs boxes by identity, too.",
    "perfect association": "All detections that the tracker was given and that meet somebody of the ground truth, with "
    "that identity; the others are dropped. About the best that these detections allow without inventing or moving "
    "boxes.",
    "perfect detection": "The tracker, run again on the boxes of the ground truth that are scored, at confidence 1, "
    "each with the look of that person's detection nearest in time (none for people who were never detected).",
    "perfect appearance": "The tracker, run again on its detections, with looks that tell everything: all detections "
    "that meet one person look the same, those of two people have cosine distance 1, and those that meet nobody look "
    "alike and like nobody else.",
}


def mend_identities(rows: MotResults, truth: MotGroundTruth) -> MotResults:
    """Returns the result with the ground truth's identities; see `ORACLES`."""
    met = match_boxes(rows.frame, rows.xywh, truth)
    own = int(truth.track_id.max(initial=0)) + 1 + np.unique(rows.track_id, return_inverse=True)[1]
    track_id = own.astype(np.int64)
    track_id[met >= 0] = truth.track_id[met[met >= 0]]
    return replace(rows, track_id=track_id)


def mend_boxes(rows: MotResults, truth: MotGroundTruth, benchmark: str) -> MotResults:
    """Returns the scored ground truth with the result's identities; see `ORACLES`."""
    people = np.flatnonzero(scored_people(truth, benchmark))
    follows = follow_people(truth, rows, benchmark).truth_row
    follower = np.full(len(truth.frame), -1, np.int64)
    follower[follows[follows >= 0]] = np.flatnonzero(follows >= 0)
    frame, person = truth.frame[people], truth.track_id[people]
    nearest, gap = _nearest(frame, person, follower[people] >= 0)
    track = np.full(len(people), -1, np.int64)
    track[nearest >= 0] = rows.track_id[follower[people[nearest[nearest >= 0]]]]
    # Of two boxes that claim an identity in a frame, the one that is nearer to where the person had it keeps it.
    order = np.lexsort((gap, track, frame))
    taken = np.zeros(len(people), bool)
    taken[order[1:]] = (np.diff(frame[order]) == 0) & (np.diff(track[order]) == 0)
    own = int(rows.track_id.max(initial=0)) + 1 + np.unique(person, return_inverse=True)[1]
    track = np.where((track < 0) | taken, own, track)
    return _result(frame, track, truth.xywh[people])


def perfect_association(source: SequenceDetections, truth: MotGroundTruth) -> MotResults:
    """Returns the detections that meet somebody, with that identity; see `ORACLES`."""
    met = match_boxes(source.frame, source.xywh, truth)
    found = met >= 0
    return _result(source.frame[found], truth.track_id[met[found]], source.xywh[found])


def perfect_detections(source: SequenceDetections, truth: MotGroundTruth, benchmark: str) -> SequenceDetections:
    """Returns the scored ground truth as detections; see `ORACLES`."""
    people = np.flatnonzero(scored_people(truth, benchmark))
    people = people[np.argsort(truth.frame[people], kind="stable")]
    looks = None
    if source.embeddings is not None:
        met = match_boxes(source.frame, source.xywh, truth)
        detection = np.full(len(truth.frame), -1, np.int64)
        detection[met[met >= 0]] = np.flatnonzero(met >= 0)
        nearest, _ = _nearest(truth.frame[people], truth.track_id[people], detection[people] >= 0)
        looks = np.zeros((len(people), source.embeddings.shape[1]), np.float32)
        looks[nearest >= 0] = source.embeddings[detection[people[nearest[nearest >= 0]]]]
    frame, certain = truth.frame[people], np.ones(len(people))
    return replace(source, frame=frame, xywh=truth.xywh[people], confidence=certain, embeddings=looks)


def perfect_looks(source: SequenceDetections, truth: MotGroundTruth) -> SequenceDetections:
    """Returns the detections with a look for each identity of the ground truth; see `ORACLES`."""
    met = match_boxes(source.frame, source.xywh, truth)
    identities, place = np.unique(truth.track_id, return_inverse=True)
    looks = np.zeros((len(met), len(identities) + 1), np.float32)
    column = np.full(len(met), len(identities))
    column[met >= 0] = place[met[met >= 0]]
    looks[np.arange(len(met)), column] = 1
    return source.with_embeddings(looks)


def _nearest(frame: np.ndarray, person: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each row the row of the same person that is known and nearest in time, and the frames to it.

    Of two as near, the earlier; -1 for people of whom no row is known.
    """
    nearest, gap = np.full(len(frame), -1, np.int64), np.zeros(len(frame), np.int64)
    for identity in np.unique(person[known]):
        rows = np.flatnonzero(person == identity)
        rows = rows[np.argsort(frame[rows], kind="stable")]
        there = rows[known[rows]]
        after = np.searchsorted(frame[there], frame[rows]).clip(0, len(there) - 1)
        before = np.maximum(after - 1, 0)
        to_before, to_after = np.abs(frame[there[before]] - frame[rows]), np.abs(frame[there[after]] - frame[rows])
        nearest[rows] = there[np.where(to_before <= to_after, before, after)]
        gap[rows] = np.minimum(to_before, to_after)
    return nearest, gap


def _result(frame: np.ndarray, track_id: np.ndarray, xywh: np.ndarray) -> MotResults:
    count = len(frame)
    return MotResults(frame, track_id, xywh, np.ones(count), np.full(count, -1), np.arange(1, count + 1))
