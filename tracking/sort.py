"""SORT (Bewley et al., arXiv 1602.00763): overlap and a Kalman filter, nothing else."""

from dataclasses import dataclass

import numpy as np

from tracking.association import assign, iou_distance, others
from tracking.boxes import xysr_to_xyxy, xyxy_to_xysr
from tracking.decisions import DecisionLog
from tracking.detections import Detections
from tracking.intake import select_detections
from tracking.kalman import XYSR, KalmanFilter
from tracking.options import require_count, require_range
from tracking.track_table import TrackTable
from tracking.tracks import Tracks


@dataclass(frozen=True)
class SortOptions:
    """The paper's values.

    Attributes:
        min_confidence: Detections below are ignored; the paper takes 0.5.
        min_iou: Lowest overlap of a track and its detection.
        n_init: Detections in consecutive frames until a track is returned; not asked for in the first `n_init` frames.
        max_age: Frames for which a track is kept without a detection; the paper's T_lost.
    """

    min_confidence: float = 0.5
    min_iou: float = 0.3
    n_init: int = 3
    max_age: int = 1

    def __post_init__(self) -> None:
        require_range("min_confidence", self.min_confidence, -1e9, 1e9)
        require_range("min_iou", self.min_iou, 0, 1)
        require_count("n_init", self.n_init, 1)
        require_count("max_age", self.max_age, 0)


class Sort:
    """Tracks boxes by their overlap with predicted boxes.

    The noise of the filter, which the paper leaves open, is that of `tracking.kalman.XYSR`. A track is returned, at
    the filter's posterior box, while it meets detections; after a miss it must meet `n_init` in a row again.
    """

    decisions: DecisionLog | None = None

    def __init__(self, options: SortOptions | None = None):
        self.options = options or SortOptions()
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
        """Takes the detections of the next frame and returns the tracks seen in it; `frame` is ignored.

        Boxes without area are left out.
        """
        options, table = self.options, self._table
        self._frames += 1
        detections, table.source_index = select_detections(detections, options.min_confidence)
        table.hits[table.missed > 0] = 0  # a streak ends with the first miss
        table.predict()
        measurement = xyxy_to_xysr(detections.xyxy)
        cost = iou_distance(xysr_to_xyxy(table.position()), detections.xyxy)
        if self.decisions is not None:
            everyone = np.arange(len(table)), np.arange(len(detections))
            self.decisions.stage("overlap", table, *everyone, cost, 1 - options.min_iou)
        rows, columns = assign(cost, 1 - options.min_iou)
        if len(rows):
            table.meet(rows, measurement, detections, columns)
        table.keep(table.missed <= options.max_age)
        new = others(len(detections), columns)
        if len(new):
            table.start(measurement, detections, new, {})
        seen = table.missed == 0
        if self._frames > options.n_init:
            seen &= table.hits >= options.n_init
        seen = np.flatnonzero(seen)
        return table.tracks(seen, xysr_to_xyxy(table.position(seen)))
