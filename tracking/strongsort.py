"""StrongSORT (Du et al., arXiv 2202.13514), online part: every component of the paper is an option.

With min_confidence=0.1 and nsa="released" it reproduces the authors' program on the FRCNN detections of MOT17-05 and 09
to 0.01 HOTA. DeepSORT (arXiv 1703.07402) is the same tracker with `ema`, `motion_cost` and `nsa` off and `cascade` on,
in `tracking.deepsort`; StrongSORT++ adds what `tracking.offline` does afterwards.
"""

from dataclasses import dataclass

import numpy as np

from tracking.appearance import averaged, nearest_distance
from tracking.association import (
    FORBIDDEN,
    assign,
    assign_cascade,
    cosine_distance,
    iou_distance,
    normalise_rows,
    others,
)
from tracking.boxes import xyah_to_xyxy, xyxy_to_xyah
from tracking.camera_motion import CameraMotion, move_state
from tracking.decisions import DecisionLog
from tracking.detections import Detections
from tracking.intake import fit_embeddings, select_detections, without_embeddings
from tracking.kalman import CHI2_95_4DOF, NSA_MODES, XYAH, KalmanFilter, NsaMode, nsa_noise_factor
from tracking.options import require_choice, require_count, require_range
from tracking.track_table import TrackTable
from tracking.tracks import Tracks


@dataclass(frozen=True)
class StrongSortOptions:
    """The paper's values, or what it takes over from DeepSORT.

    Attributes:
        min_confidence: Detections below are ignored.
        appearance: Whether embeddings take part. Without, the first stage pairs by IoU distance, inside the same gate.
        max_cosine: Highest appearance cost of a pair, before the 0.05 that is added with the motion cost. The authors
            take 0.4 with their BoT extractor and 0.3 with any other.
        ema: One vector a track, an exponential moving average; off: the nearest of its last `gallery_size` vectors.
        ema_momentum: Weight of the past in that average.
        gallery_size: Length of the gallery when `ema` is off.
        motion_cost: Whether the squared Mahalanobis distance enters the cost, with 1 - `appearance_weight`.
        appearance_weight: Weight of the cosine distance beside the motion cost.
        gate: Highest squared Mahalanobis distance of a pair.
        nsa: Measurement noise by confidence: "paper", "released" (the authors' program) or "off".
        cascade: DeepSORT's matching cascade in place of one global assignment.
        max_iou_distance: Highest 1 - IoU in the second stage.
        n_init: Detections in consecutive frames until a track is confirmed.
        max_age: Frames for which a confirmed track is kept without a detection.
        coast: Frames for which an unseen track is still returned, at its predicted box; 1 as in the scores that the
            authors report, 0 returns only tracks that met a detection in this very frame.
        camera_motion: ECC compensation; `update` then needs the frame.
    """

    min_confidence: float = 0.6
    appearance: bool = True
    max_cosine: float = 0.3
    ema: bool = True
    ema_momentum: float = 0.9
    gallery_size: int = 100
    motion_cost: bool = True
    appearance_weight: float = 0.98
    gate: float = CHI2_95_4DOF
    nsa: NsaMode = "paper"
    cascade: bool = False
    max_iou_distance: float = 0.7
    n_init: int = 3
    max_age: int = 30
    coast: int = 1
    camera_motion: bool = False

    def __post_init__(self) -> None:
        require_range("min_confidence", self.min_confidence, -1e9, 1e9)
        require_range("max_cosine", self.max_cosine, 0, 2)
        require_range("ema_momentum", self.ema_momentum, 0, 1)
        require_count("gallery_size", self.gallery_size, 1)
        require_range("appearance_weight", self.appearance_weight, 0, 1)
        require_range("gate", self.gate, 0, 1e9)
        require_choice("nsa", self.nsa, NSA_MODES)
        require_range("max_iou_distance", self.max_iou_distance, 0, 1)
        require_count("n_init", self.n_init, 1)
        require_count("max_age", self.max_age, 0)
        require_count("coast", self.coast, 0)


class StrongSort:
    """Tracks people by appearance, gated by motion, then by overlap.

    The boxes returned are the filter's: posterior where a detection was met, predicted for the `coast` frames after it.
    Tracks missed for longer are kept, unseen, for `max_age` frames.
    """

    decisions: DecisionLog | None = None
    motion_estimator = CameraMotion

    def __init__(self, options: StrongSortOptions | None = None):
        self.options = options or StrongSortOptions()
        self.reset()

    @property
    def table(self) -> TrackTable:
        """All living tracks."""
        return self._table

    def reset(self) -> None:
        """Forgets all tracks; the next identity is 1 again."""
        self._table = TrackTable(KalmanFilter(XYAH))
        self._camera = self.motion_estimator()

    def update(self, detections: Detections, frame: np.ndarray | None = None) -> Tracks:
        """Takes the detections of the next frame and returns the tracks seen in it.

        Args:
            detections: With embeddings of any norm when `appearance` is on. Boxes without area are left out.
            frame: uint8 RGB (H, W, 3), or its camera's motion (2, 3); needed with `camera_motion`, ignored otherwise.

        Raises:
            ValueError: When embeddings, or the frame, are needed and missing, or the embeddings change their length.
        """
        options, table = self.options, self._table
        detections = self._usable(detections)
        if options.camera_motion:
            if frame is None:
                raise ValueError("frame: got None, allowed: an image (H, W, 3), since camera_motion is on")
            move_state(table.state, self._camera.estimate(frame), XYAH)
        table.predict()
        measurement = xyxy_to_xyah(detections.xyxy)
        features = normalise_rows(detections.embeddings) if detections.embeddings is not None else None
        rows, columns = self._match(detections, measurement, features)
        if len(rows):
            factor = nsa_noise_factor(detections.confidence[columns], options.nsa)
            table.meet(rows, measurement, detections, columns, factor)
            if features is not None:
                self._remember(rows, features[columns])
        table.confirmed |= table.hits >= options.n_init
        table.keep((table.missed == 0) | (table.confirmed & (table.missed <= options.max_age)))
        new = others(len(detections), columns)
        if len(new):
            table.start(measurement, detections, new, {} if features is None else self._new_memory(features[new]))
            table.confirmed |= table.hits >= options.n_init
        seen = np.flatnonzero(table.confirmed & (table.missed <= options.coast))
        return table.tracks(seen, xyah_to_xyxy(table.position(seen)))

    def _usable(self, detections: Detections) -> Detections:
        """Returns the detections that take part, with embeddings if and only if appearance is on."""
        usable, self._table.source_index = select_detections(detections, self.options.min_confidence)
        if not self.options.appearance:
            return without_embeddings(usable)
        return fit_embeddings(usable, self._table.extra, "embedding")

    def _match(
        self, detections: Detections, measurement: np.ndarray, features: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices of tracks and of the detections that they meet."""
        options, table = self.options, self._table
        if not len(table) or not len(detections):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        confirmed = np.flatnonzero(table.confirmed)
        rows = columns = np.empty(0, np.int64)
        if len(confirmed):
            cost, limit = self._first_cost(confirmed, detections, measurement, features)
            if options.cascade:
                rows, columns = assign_cascade(cost, limit, table.missed[confirmed])
            else:
                rows, columns = assign(cost, limit)
            rows = confirmed[rows]
        # The second stage: tracks that were seen in the frame before, which all unconfirmed ones were.
        waiting = table.missed == 1
        waiting[rows] = False
        candidates, free = np.flatnonzero(waiting), others(len(detections), columns)
        if len(candidates) and len(free):
            predicted = xyah_to_xyxy(table.position(candidates))
            apart = iou_distance(predicted, detections.xyxy[free])
            if self.decisions is not None:
                self.decisions.stage("overlap", table, candidates, free, apart, options.max_iou_distance)
            more_rows, more_columns = assign(apart, options.max_iou_distance)
            rows = np.concatenate([rows, candidates[more_rows]])
            columns = np.concatenate([columns, free[more_columns]])
        return rows, columns

    def _first_cost(
        self, confirmed: np.ndarray, detections: Detections, measurement: np.ndarray, features: np.ndarray | None
    ) -> tuple[np.ndarray, float]:
        """Returns the cost (T, D) of the first stage and the highest cost that is allowed."""
        options, table = self.options, self._table
        motion = table.kalman.gating_distance(table.state[:, confirmed], measurement)
        if features is None:
            cost, limit = (
                iou_distance(xyah_to_xyxy(table.position(confirmed)), detections.xyxy),
                options.max_iou_distance,
            )
            parts = {}
        else:
            looks = self._appearance_cost(table.extra["embedding"][confirmed], features)
            cost, limit, parts = looks, options.max_cosine, {"cosine distance": looks}
            if options.motion_cost:
                cost = options.appearance_weight * looks + (1 - options.appearance_weight) * motion
                limit += 0.05
        cost = np.where(motion > options.gate, FORBIDDEN, cost)
        if self.decisions is not None:
            name, columns = "looks and motion" if parts else "overlap and motion", np.arange(len(detections))
            parts["Mahalanobis distance squared"] = motion
            self.decisions.stage(name, table, confirmed, columns, cost, limit, **parts)
        return cost, limit

    def _appearance_cost(self, memory: np.ndarray, features: np.ndarray) -> np.ndarray:
        if self.options.ema:
            return cosine_distance(memory, features)
        return nearest_distance(memory, features)

    def _new_memory(self, features: np.ndarray) -> dict[str, np.ndarray]:
        if self.options.ema:
            return {"embedding": features}
        # A gallery filled with copies of the first vector has the same nearest vector as a gallery of that one.
        return {"embedding": np.repeat(features[:, None], self.options.gallery_size, axis=1)}

    def _remember(self, rows: np.ndarray, features: np.ndarray) -> None:
        memory, momentum = self._table.extra["embedding"], self.options.ema_momentum
        if self.options.ema:
            memory[rows] = averaged(memory[rows], features, momentum)
        else:
            known = features.any(axis=1)  # a look of which nothing is known takes no other's place
            place = (self._table.hits[rows[known]] - 1) % self.options.gallery_size
            memory[rows[known], place] = features[known]
