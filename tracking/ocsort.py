"""OC-SORT (Cao et al., arXiv 2203.14360): SORT that trusts observations more than the filter's guesses."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tracking.association import assign, iou_distance, others
from tracking.boxes import xysr_to_xyxy, xyxy_to_xysr
from tracking.decisions import DecisionLog
from tracking.detections import Detections
from tracking.intake import select_detections
from tracking.kalman import XYSR, KalmanFilter
from tracking.observations import (
    direction_agreement,
    directions,
    earlier_observation,
    first_history,
    next_frame,
    replayed_states,
)
from tracking.options import require_count, require_range
from tracking.track_table import TrackTable
from tracking.tracks import Tracks


@dataclass(frozen=True)
class OcSortOptions:
    """The paper's values.

    Attributes:
        min_confidence: Detections below are ignored.
        min_iou: Lowest overlap of a track and its detection.
        inertia: Weight of the direction beside the overlap; 0 leaves the momentum out.
        delta_t: Frames over which the direction is taken.
        recovery: Whether tracks left over are compared once more, at their last observation.
        re_update: Whether the filter goes again over the frames for which a track was lost.
        n_init: Detections in consecutive frames until a track is confirmed; not asked for in the first `n_init` frames.
        max_age: Frames for which a track is kept without a detection.
    """

    min_confidence: float = 0.6
    min_iou: float = 0.3
    inertia: float = 0.2
    delta_t: int = 3
    recovery: bool = True
    re_update: bool = True
    n_init: int = 3
    max_age: int = 30

    def __post_init__(self) -> None:
        require_range("min_confidence", self.min_confidence, -1e9, 1e9)
        require_range("min_iou", self.min_iou, 0, 1)
        require_range("inertia", self.inertia, 0, 1e3)
        require_count("delta_t", self.delta_t, 1)
        require_count("n_init", self.n_init, 1)
        require_count("max_age", self.max_age, 0)


class OcSort:
    """Tracks boxes by overlap and direction.

    A track is returned while it meets detections, at the detection's box, as the authors do. Deviation: once confirmed,
    it need not prove itself anew after a miss; the paper does not say.
    """

    options: Any

    decisions: DecisionLog | None = None

    def __init__(self, options: OcSortOptions | None = None):
        self.options = options or OcSortOptions()
        self.reset()

    @property
    def table(self) -> TrackTable:
        """All living tracks."""
        return self._table

    def reset(self) -> None:
        """Forgets all tracks; the next identity is 1 again."""
        self._table = TrackTable(KalmanFilter(XYSR))
        self._frames = 0

    def update(self, detections: Detections, frame: np.ndarray | None = None) -> Tracks:
        """Takes the detections of the next frame and returns the tracks seen in it; boxes without area are left out.

        Args:
            detections: Of the frame.
            frame: Ignored.
        """
        options, table = self.options, self._table
        self._frames += 1
        detections = self._usable(detections)
        self._follow_camera(frame)
        table.hits[~table.confirmed & (table.missed > 0)] = 0  # before a track is confirmed, a miss ends its streak
        table.predict()
        if len(table):
            next_frame(table.extra["history"])
        rows, columns = self._match(detections)
        if len(rows):
            self._meet(rows, columns, detections)
        table.keep(table.missed <= options.max_age)
        new = others(len(detections), columns)
        if len(new):
            self._start(new, detections)
        table.confirmed |= (table.missed == 0) & ((table.hits >= options.n_init) | (self._frames <= options.n_init))
        seen = np.flatnonzero(table.confirmed & (table.missed == 0))
        return table.tracks(seen, table.extra["last"][seen] if len(seen) else np.empty((0, 4)))

    def _usable(self, detections: Detections) -> Detections:
        usable, self._table.source_index = select_detections(detections, self.options.min_confidence)
        return usable

    def _follow_camera(self, frame: np.ndarray | None) -> None:
        """OC-SORT takes the camera as it is."""

    def _bonus(self, detections: Detections) -> np.ndarray | float:
        """Returns what is added to the overlap, (T, D); OC-SORT has no appearance."""
        return 0.0

    def _new_memory(self, columns: np.ndarray, detections: Detections) -> dict[str, np.ndarray]:
        return {}

    def _match(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices of tracks and of the detections that they meet."""
        table, options = self._table, self.options
        if not len(table) or not len(detections):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        boxes = detections.xyxy.astype(np.float64)
        distance = iou_distance(xysr_to_xyxy(table.position()), boxes)
        score = 1 - distance + self._bonus(detections)
        if options.inertia:
            earlier = earlier_observation(table.extra["history"], table.extra["last"])
            score += options.inertia * direction_agreement(table.extra["direction"], earlier, boxes)
        allowed = distance <= 1 - options.min_iou
        worst = 1 + score.max() - score.min()  # dearer than any allowed pair
        cost, limit = np.where(allowed, score.max() - score, worst), worst - 0.5
        if self.decisions is not None:
            everyone = np.arange(len(table)), np.arange(len(detections))
            parts = {"1 - overlap": distance, "bonus": score - (1 - distance)}
            self.decisions.stage("overlap and direction", table, *everyone, cost, limit, **parts)
        rows, columns = assign(cost, limit)
        if options.recovery:
            left, free = others(len(table), rows), others(len(detections), columns)
            again = iou_distance(table.extra["last"][left], boxes[free])
            if self.decisions is not None:
                self.decisions.stage("overlap with the last observation", table, left, free, again, 1 - options.min_iou)
            more_rows, more_columns = assign(again, 1 - options.min_iou)
            rows = np.concatenate([rows, left[more_rows]])
            columns = np.concatenate([columns, free[more_columns]])
        return rows, columns

    def _meet(self, rows: np.ndarray, columns: np.ndarray, detections: Detections) -> None:
        table, extra = self._table, self._table.extra
        boxes = detections.xyxy[columns].astype(np.float64)
        if self.options.re_update:
            lost = np.flatnonzero(table.missed[rows] > 1)
            if len(lost):
                which = rows[lost]
                anchors = extra["anchor"][which].transpose(1, 0, 2)
                table.state[:, which] = replayed_states(
                    table.kalman, anchors, extra["last"][which], boxes[lost], table.missed[which]
                )
        earlier = earlier_observation(extra["history"][rows], extra["last"][rows])
        extra["direction"][rows] = directions(earlier, boxes)
        table.meet(rows, xyxy_to_xysr(detections.xyxy), detections, columns)
        extra["anchor"][rows] = table.state[:, rows].transpose(1, 0, 2)
        extra["last"][rows] = boxes
        extra["history"][rows, 0] = boxes

    def _start(self, columns: np.ndarray, detections: Detections) -> None:
        boxes = detections.xyxy[columns].astype(np.float64)
        measurement = xyxy_to_xysr(detections.xyxy)
        memory = {
            "last": boxes,
            "history": first_history(boxes, self.options.delta_t),
            "direction": np.zeros((len(boxes), 2)),
            "anchor": self._table.kalman.initiate(measurement[columns]).transpose(1, 0, 2),
            **self._new_memory(columns, detections),
        }
        self._table.start(measurement, detections, columns, memory)
