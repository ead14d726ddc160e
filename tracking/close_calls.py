"""Pairs of tracks and detections that nearly were others: where a tracker was least sure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tracking.decisions import DecisionLog, FrameDecisions, Stage


@dataclass(frozen=True)
class CloseCall:
    """A pair that was made although another was nearly as cheap.

    Attributes:
        frame: Where.
        stage: What was paired by.
        track_id, detection: The pair; the detection as an index of those of the frame.
        cost, limit: Of the pair.
        margin: How much dearer the rival was; below 0 where it was given up for the sake of the others.
        rival_track, rival_detection: The cheapest other pair within the limit that has the track or the detection.
    """

    frame: int
    stage: str
    track_id: int
    detection: int
    cost: float
    limit: float
    margin: float
    rival_track: int
    rival_detection: int


def close_calls(log: DecisionLog, most: int) -> list[CloseCall]:
    """Returns the pairs with the smallest margins, at most `most`, the smallest first."""
    calls = [call for decisions in log.frames.values() for stage in decisions.stages for call in _of(decisions, stage)]
    return sorted(calls, key=lambda call: (call.margin, call.frame, call.track_id))[:most]


def _of(decisions: FrameDecisions, stage: Stage) -> Iterator[CloseCall]:
    place = {detection: column for column, detection in enumerate(stage.detection.tolist())}
    for row, track_id in enumerate(stage.track_id.tolist()):
        met = decisions.met(track_id)
        column = None if met is None else place.get(met)
        if column is None or stage.cost[row, column] > stage.limit:
            continue
        own, others = stage.cost[row].copy(), stage.cost[:, column].copy()
        own[column] = others[row] = np.inf
        rival = (row, int(own.argmin())) if own.min() <= others.min() else (int(others.argmin()), column)
        if min(own.min(), others.min()) <= stage.limit:
            cost = float(stage.cost[row, column])
            yield CloseCall(
                frame=decisions.frame,
                stage=stage.name,
                track_id=track_id,
                detection=int(stage.detection[column]),
                cost=cost,
                limit=stage.limit,
                margin=float(stage.cost[rival]) - cost,
                rival_track=int(stage.track_id[rival[0]]),
                rival_detection=int(stage.detection[rival[1]]),
            )
