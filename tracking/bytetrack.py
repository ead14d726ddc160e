"""ByteTrack (Zhang et al., arXiv 2110.06864): strong detections first, then weak ones for the tracks left over."""

from dataclasses import dataclass

import numpy as np

from tracking.association import assign, iou_distance, others
from tracking.boxes import xyah_to_xyxy, xyxy_to_xyah
from tracking.decisions import DecisionLog
from tracking.detections import Detections
from tracking.intake import select_detections
from tracking.kalman import XYAH, KalmanFilter
from tracking.options import require_count, require_range
from tracking.track_table import TrackTable
from tracking.tracks import Tracks


@dataclass(frozen=True)
class ByteTrackOptions:
    """The paper's values.

    Attributes:
        min_confidence: Detections below are ignored.
        high_confidence: Detections above are strong: they meet tracks first, and only they begin tracks.
        new_confidence: A track begins with at least this confidence.
        min_iou: Lowest overlap of a track and a strong detection.
        min_iou_weak: Lowest overlap of a track and a weak detection.
        n_init: Detections in consecutive frames until a track is confirmed; not asked for in the first frame.
        max_age: Frames for which a confirmed track is kept without a detection.
    """

    min_confidence: float = 0.1
    high_confidence: float = 0.6
    new_confidence: float = 0.7
    min_iou: float = 0.2
    min_iou_weak: float = 0.5
    n_init: int = 2
    max_age: int = 30

    def __post_init__(self) -> None:
        for name in ("min_confidence", "high_confidence", "new_confidence"):
            require_range(name, getattr(self, name), -1e9, 1e9)
        require_range("min_iou", self.min_iou, 0, 1)
        require_range("min_iou_weak", self.min_iou_weak, 0, 1)
        require_count("n_init", self.n_init, 1)
        require_count("max_age", self.max_age, 0)


class ByteTrack:
    """Tracks boxes by overlap in two stages, without appearance.

    The filter is DeepSORT's, as in the paper. A track is returned, at the filter's posterior box, while it meets
    detections. The paper does not give the overlap that the second stage asks for; 0.5 is what its authors use.
    """

    decisions: DecisionLog | None = None

    def __init__(self, options: ByteTrackOptions | None = None):
        self.options = options or ByteTrackOptions()
        self.reset()

    @property
    def table(self) -> TrackTable:
        """All living tracks."""
        return self._table

    def reset(self) -> None:
        """Forgets all tracks; the next identity is 1 again."""
        self._table = TrackTable(KalmanFilter(XYAH))
        self._frames = 0

    def update(self, detections: Detections, frame: np.ndarray | None = None) -> Tracks:
        """Takes the detections of the next frame and returns the tracks seen in it; `frame` is ignored.

        Boxes without area are left out.
        """
        options, table = self.options, self._table
        self._frames += 1
        detections, table.source_index = select_detections(detections, options.min_confidence)
        table.predict()
        strong = detections.confidence > options.high_confidence
        measurement = xyxy_to_xyah(detections.xyxy)
        rows, columns = self._match(detections, strong)
        if len(rows):
            table.meet(rows, measurement, detections, columns)
        table.confirmed |= table.hits >= options.n_init
        table.keep((table.missed == 0) | (table.confirmed & (table.missed <= options.max_age)))
        fresh = strong & (detections.confidence >= options.new_confidence)
        fresh[columns] = False
        new = np.flatnonzero(fresh)
        if len(new):
            table.start(measurement, detections, new, {})
            table.confirmed |= (table.hits >= options.n_init) | (self._frames == 1)
        seen = np.flatnonzero(table.confirmed & (table.missed == 0))
        return table.tracks(seen, xyah_to_xyxy(table.position(seen)))

    def _match(self, detections: Detections, strong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices of tracks and of the detections that they meet."""
        table, options = self._table, self.options
        predicted = xyah_to_xyxy(table.position())
        confirmed, high = np.flatnonzero(table.confirmed), np.flatnonzero(strong)
        distance = iou_distance(predicted, detections.xyxy)
        rows, columns = [], []

        def stage(name: str, tracks: np.ndarray, boxes: np.ndarray, min_iou: float) -> tuple[np.ndarray, np.ndarray]:
            """Pairs, and returns the tracks and boxes left over."""
            if self.decisions is not None:
                self.decisions.stage(name, table, tracks, boxes, distance[np.ix_(tracks, boxes)], 1 - min_iou)
            met_rows, met_columns = assign(distance[np.ix_(tracks, boxes)], 1 - min_iou)
            rows.append(tracks[met_rows])
            columns.append(boxes[met_columns])
            return tracks[others(len(tracks), met_rows)], boxes[others(len(boxes), met_columns)]

        left, high = stage("overlap", confirmed, high, options.min_iou)
        stage("overlap, weak", left, np.flatnonzero(~strong), options.min_iou_weak)
        # Tracks of one detection come last, so that they take nothing from those that are known.
        stage("overlap, young tracks", np.flatnonzero(~table.confirmed), high, options.min_iou)
        return np.concatenate(rows), np.concatenate(columns)
