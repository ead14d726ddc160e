"""BoT-SORT (Aharon et al., arXiv 2206.14651): ByteTrack with widths in the filter, camera motion and appearance."""

from dataclasses import dataclass

import numpy as np

from tracking.appearance import averaged
from tracking.association import assign, cosine_distance, iou_distance, normalise_rows, others
from tracking.boxes import cxywh_to_xyxy, xyxy_to_cxywh
from tracking.camera_motion import FlowMotion, move_state
from tracking.decisions import DecisionLog
from tracking.detections import Detections
from tracking.intake import fit_embeddings, select_detections, without_embeddings
from tracking.kalman import XYWH, KalmanFilter
from tracking.options import require_count, require_range
from tracking.track_table import TrackTable
from tracking.tracks import Tracks


@dataclass(frozen=True)
class BotSortOptions:
    """The paper's values; where it is silent, ByteTrack's.

    Attributes:
        min_confidence: Detections below are ignored.
        high_confidence: Detections above are strong: they meet tracks first, and only they begin tracks.
        new_confidence: A track begins with at least this confidence.
        min_iou: Lowest overlap of a track and a strong detection, unless their looks pair them.
        min_iou_weak: Lowest overlap of a track and a weak detection.
        appearance: Whether embeddings take part ("BoT-SORT-ReID").
        max_cosine: Looks speak for a pair below this distance only.
        max_iou_distance: And below this 1 - IoU only.
        ema_momentum: Weight of the past in a track's look.
        n_init: Detections in consecutive frames until a track is confirmed; not asked for in the first frame.
        max_age: Frames for which a confirmed track is kept without a detection.
        camera_motion: Compensation of the camera; `update` then needs the frame. The paper has it on.
    """

    min_confidence: float = 0.1
    high_confidence: float = 0.6
    new_confidence: float = 0.7
    min_iou: float = 0.2
    min_iou_weak: float = 0.5
    appearance: bool = True
    max_cosine: float = 0.25
    max_iou_distance: float = 0.5
    ema_momentum: float = 0.9
    n_init: int = 2
    max_age: int = 30
    camera_motion: bool = False

    def __post_init__(self) -> None:
        for name in ("min_confidence", "high_confidence", "new_confidence"):
            require_range(name, getattr(self, name), -1e9, 1e9)
        for name in ("min_iou", "min_iou_weak", "max_iou_distance", "ema_momentum"):
            require_range(name, getattr(self, name), 0, 1)
        require_range("max_cosine", self.max_cosine, 0, 2)
        require_count("n_init", self.n_init, 1)
        require_count("max_age", self.max_age, 0)


class BotSort:
    """Tracks people by overlap, in two stages, with appearance where the overlap leaves it a say.

    A track is returned, at the filter's posterior box, while it meets detections. Looks are remembered from strong
    detections only, as the paper does.
    """

    decisions: DecisionLog | None = None
    motion_estimator = FlowMotion

    def __init__(self, options: BotSortOptions | None = None):
        self.options = options or BotSortOptions()
        self.reset()

    @property
    def table(self) -> TrackTable:
        """All living tracks."""
        return self._table

    def reset(self) -> None:
        """Forgets all tracks; the next identity is 1 again."""
        self._table = TrackTable(KalmanFilter(XYWH))
        self._camera = self.motion_estimator()
        self._frames = 0

    def update(self, detections: Detections, frame: np.ndarray | None = None) -> Tracks:
        """Takes the detections of the next frame and returns the tracks seen in it.

        Args:
            detections: With embeddings of any norm when `appearance` is on. Boxes without area are left out.
            frame: uint8 RGB (H, W, 3), or its camera's motion (2, 3); needed with `camera_motion`, ignored otherwise.

        Raises:
            ValueError: When embeddings, or the frame, are needed and missing, or the embeddings change their length.
        """
        options, table = self.options, self._table
        self._frames += 1
        detections, table.source_index = select_detections(detections, options.min_confidence)
        features = None
        if options.appearance:
            detections = fit_embeddings(detections, table.extra, "embedding")
            features = None if detections.embeddings is None else normalise_rows(detections.embeddings)
        detections = without_embeddings(detections)
        if options.camera_motion:
            if frame is None:
                raise ValueError("frame: got None, allowed: an image (H, W, 3), since camera_motion is on")
            move_state(table.state, self._camera.estimate(frame), XYWH)
        table.predict()
        strong = detections.confidence > options.high_confidence
        measurement = xyxy_to_cxywh(detections.xyxy)
        rows, columns = self._match(detections, strong, features)
        if len(rows):
            table.meet(rows, measurement, detections, columns)
            self._remember(rows, columns, strong, features)
        table.confirmed |= table.hits >= options.n_init
        table.keep((table.missed == 0) | (table.confirmed & (table.missed <= options.max_age)))
        fresh = strong & (detections.confidence >= options.new_confidence)
        fresh[columns] = False
        new = np.flatnonzero(fresh)
        if len(new):
            table.start(measurement, detections, new, {} if features is None else {"embedding": features[new]})
            table.confirmed |= (table.hits >= options.n_init) | (self._frames == 1)
        seen = np.flatnonzero(table.confirmed & (table.missed == 0))
        return table.tracks(seen, cxywh_to_xyxy(table.position(seen)))

    def _match(
        self, detections: Detections, strong: np.ndarray, features: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices of tracks and of the detections that they meet."""
        table, options = self._table, self.options
        overlap_cost = iou_distance(cxywh_to_xyxy(table.position()), detections.xyxy)
        cost = overlap_cost
        if features is not None and len(table):
            look = 0.5 * cosine_distance(table.extra["embedding"], features)
            near = (look < 0.5 * options.max_cosine) & (overlap_cost < options.max_iou_distance)
            cost = np.where(near, np.minimum(look, overlap_cost), overlap_cost)
        high = np.flatnonzero(strong)
        confirmed = np.flatnonzero(table.confirmed)
        first_rows, first_columns = assign(cost[np.ix_(confirmed, high)], 1 - options.min_iou)
        left = confirmed[others(len(confirmed), first_rows)]
        weak = np.flatnonzero(~strong)
        weak_rows, weak_columns = assign(overlap_cost[np.ix_(left, weak)], 1 - options.min_iou_weak)
        # Tracks of one detection come last, so that they take nothing from those that are known.
        young, free = np.flatnonzero(~table.confirmed), high[others(len(high), first_columns)]
        young_rows, young_columns = assign(cost[np.ix_(young, free)], 1 - options.min_iou)
        if self.decisions is not None:
            for name, tracks, boxes, matrix, least in (
                ("overlap and looks", confirmed, high, cost, options.min_iou),
                ("overlap, weak", left, weak, overlap_cost, options.min_iou_weak),
                ("overlap and looks, young tracks", young, free, cost, options.min_iou),
            ):
                pairs = np.ix_(tracks, boxes)
                parts = {"1 - overlap": overlap_cost[pairs]}
                self.decisions.stage(name, table, tracks, boxes, matrix[pairs], 1 - least, **parts)
        rows = np.concatenate([confirmed[first_rows], left[weak_rows], young[young_rows]])
        return rows, np.concatenate([high[first_columns], weak[weak_columns], free[young_columns]])

    def _remember(self, rows: np.ndarray, columns: np.ndarray, strong: np.ndarray, features: np.ndarray | None) -> None:
        sure = strong[columns]
        if features is None or not sure.any():
            return
        memory = self._table.extra["embedding"]
        memory[rows[sure]] = averaged(memory[rows[sure]], features[columns[sure]], self.options.ema_momentum)
