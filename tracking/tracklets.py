"""The tracks of a whole sequence as pieces that may belong together: where each begins and ends, and how it looks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracking.association import normalise_rows
from tracking.runner import TrackedSequence


@dataclass(frozen=True)
class Tracklets:
    """One row a track, ordered by identity.

    Attributes:
        track_id: int64 (T,).
        first, last: int64 (T,), the frames of the first and last box.
        rows: For each track the rows of the sequence, by frame.
        look: float32 (T, D), the mean look at norm 1, or None; zeros where a track met no detection.
        halves: float32 (2, T, D), the mean looks of the first and of the second half, or None.
    """

    track_id: np.ndarray
    first: np.ndarray
    last: np.ndarray
    rows: list[np.ndarray]
    look: np.ndarray | None
    halves: np.ndarray | None

    def __len__(self) -> int:
        return len(self.track_id)


def make_tracklets(tracked: TrackedSequence, embeddings: np.ndarray | None) -> Tracklets:
    """Collects the tracks of a sequence.

    Args:
        tracked: Of one sequence.
        embeddings: (M, D), of the sequence's detections, which `tracked.detection` counts; None without appearance.
    """
    order = np.lexsort((tracked.frame, tracked.track_id))
    track_id, starts = np.unique(tracked.track_id[order], return_index=True)
    rows = np.split(order, starts[1:]) if len(track_id) else []
    first = np.array([tracked.frame[index[0]] for index in rows], np.int64)
    last = np.array([tracked.frame[index[-1]] for index in rows], np.int64)
    look = halves = None
    if embeddings is not None:
        looks = np.zeros((3, len(rows), embeddings.shape[1]), np.float32)
        for place, index in enumerate(rows):
            met = tracked.detection[index]
            met = met[met >= 0]
            if len(met):
                own = normalise_rows(embeddings[met])
                middle = max(len(met) // 2, 1)
                looks[0, place] = own.mean(axis=0)
                looks[1, place] = own[:middle].mean(axis=0)
                looks[2, place] = own[middle:].mean(axis=0) if len(met) > 1 else looks[1, place]
        looks = normalise_rows(looks.reshape(-1, looks.shape[2])).reshape(looks.shape)
        look, halves = looks[0], looks[1:]
    return Tracklets(track_id, first, last, rows, look, halves)


def join(tracked: TrackedSequence, tracklets: Tracklets, cost: np.ndarray, limit: float) -> TrackedSequence:
    """Returns the tracks with those joined that follow each other at the least total cost.

    Each track has at most one successor and one predecessor; since a successor begins after its predecessor ends, the
    chains that arise never show one identity twice in a frame.

    Args:
        tracked: Of one sequence.
        tracklets: Of `tracked`.
        cost: (T, T), of the row's track going on as the column's; only pairs in order of time may cost `limit` or less.
        limit: The highest cost of a pair.
    """
    if not len(tracklets):
        return tracked
    in_order = tracklets.last[:, None] < tracklets.first[None]
    cost = np.where(in_order & (cost <= limit), cost, limit + 1e-5)
    rows, columns = linear_sum_assignment(cost)
    keep = cost[rows, columns] <= limit
    successor = dict(zip(rows[keep].tolist(), columns[keep].tolist()))
    name = np.arange(len(tracklets))
    for index in np.argsort(tracklets.first, kind="stable").tolist():
        if index in successor:
            name[successor[index]] = name[index]
    final_id = tracklets.track_id[name]
    joined = tracked.track_id.copy()
    for index, own_rows in enumerate(tracklets.rows):
        joined[own_rows] = final_id[index]
    return replace(tracked, track_id=joined)
