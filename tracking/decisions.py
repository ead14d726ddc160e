"""What a tracker decided and at which costs, for those who ask why. Without a log, a tracker sees that it has none.

A tracker is deterministic, so that nothing need be written down while it runs: the same detections, tracked again with
a log (`tracking.run_record` keeps them), decide the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracking.track_table import TrackTable


@dataclass(frozen=True)
class Stage:
    """One assignment of a frame.

    Attributes:
        name: What it pairs by.
        track_id: int64 (T,), the tracks that took part.
        detection: int64 (D,), the detections that took part, as indices of those that the tracker was given.
        cost: float (T, D).
        limit: The highest cost of a pair.
        parts: Name to (T, D), what the cost is made of.
    """

    name: str
    track_id: np.ndarray
    detection: np.ndarray
    cost: np.ndarray
    limit: float
    parts: dict[str, np.ndarray]

    def pair(self, track_id: int, detection: int) -> dict[str, float] | None:
        """Returns the cost and its parts for a track and a detection; None where either took no part."""
        rows, columns = np.flatnonzero(self.track_id == track_id), np.flatnonzero(self.detection == detection)
        if not len(rows) or not len(columns):
            return None
        place = rows[0], columns[0]
        return {"cost": float(self.cost[place]), **{name: float(part[place]) for name, part in self.parts.items()}}


@dataclass(frozen=True)
class FrameDecisions:
    """All assignments of a frame, and the tracks after it.

    Attributes:
        frame: Its number.
        stages: In the order in which the tracker made them.
        track_id: int64 (T,), the tracks that live on, confirmed or not.
        detection: int64 (T,), which detection each met, -1 for none.
    """

    frame: int
    stages: list[Stage]
    track_id: np.ndarray
    detection: np.ndarray

    def met(self, track_id: int) -> int | None:
        """Returns the detection that a track met, -1 for none; None where the track is no more, or not yet."""
        rows = np.flatnonzero(self.track_id == track_id)
        return int(self.detection[rows[0]]) if len(rows) else None

    def holder(self, detection: int) -> int | None:
        """Returns the track that met a detection, None where none did."""
        rows = np.flatnonzero(self.detection == detection)
        return int(self.track_id[rows[0]]) if detection >= 0 and len(rows) else None


@dataclass
class DecisionLog:
    """The decisions of one tracker over one sequence, frame by frame.

    Attributes:
        frames: Frame number to its decisions.
    """

    frames: dict[int, FrameDecisions] = field(default_factory=dict)
    _stages: list[Stage] = field(default_factory=list)

    def stage(
        self,
        name: str,
        table: TrackTable,
        rows: np.ndarray,
        columns: np.ndarray,
        cost: np.ndarray,
        limit: float,
        **parts: np.ndarray,
    ) -> None:
        """Takes one assignment of detections; called by trackers.

        Args:
            name: What it pairs by.
            table: Of the tracker.
            rows: Which tracks take part.
            columns: Which of the tracker's own detections take part.
            cost: (rows, columns).
            limit: The highest cost of a pair.
            parts: What the cost is made of, (rows, columns) each.
        """
        given = columns if table.source_index is None else table.source_index[columns]
        copies = {key: np.array(part) for key, part in parts.items()}
        self.add(Stage(name, table.track_id[rows], np.array(given), np.array(cost), float(limit), copies))

    def add(self, stage: Stage) -> None:
        """Takes one assignment of any kind; its arrays must not change afterwards."""
        self._stages.append(stage)

    def end_frame(self, frame: int, table: TrackTable) -> None:
        """Closes a frame with the tracks as they are after it."""
        self.frames[frame] = FrameDecisions(frame, self._stages, table.track_id.copy(), table.detection.copy())
        self._stages = []

    def between(self, first: int, last: int) -> Iterator[FrameDecisions]:
        """Yields the decisions of the frames `first` to `last`, both included, in order."""
        return (self.frames[frame] for frame in range(first, last + 1) if frame in self.frames)


def record_decisions(tracker: Any, frames: list[int]) -> tuple[DecisionLog, Any]:
    """Gives a tracker a log, for one run over `frames`.

    Returns:
        The log, and what to pass to `tracking.runner.track_sequence` as `progress`, which closes each frame.
    """
    log = tracker.decisions = DecisionLog()
    numbers = iter(frames)

    def progress(count: int) -> None:
        for _ in range(count):
            log.end_frame(next(numbers), tracker.table)

    return log, progress
