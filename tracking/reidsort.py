"""ReidSort, this project's own tracker: motion, overlap and calibrated looks, each counted for what it is worth.

What it adds to the trackers it grew out of: a network's distances become probabilities by what the sequence itself
tells (`tracking.look_calibration`); hidden and weak detections count less, in costs, looks and filter; tracks left over
meet weak detections by overlap (after ByteTrack, arXiv 2110.06864); those not seen move with what the others moved in
common, and are returned while somebody stands in front of them; lost tracks come back by look alone.
"""

import numpy as np

from tracking.appearance import averaged
from tracking.association import FORBIDDEN, assign, cosine_distance, normalise_rows, others
from tracking.boxes import cxywh_to_xyxy, iou_matrix, xyxy_to_cxywh
from tracking.decisions import DecisionLog, Stage
from tracking.detections import Detections
from tracking.intake import fit_embeddings, select_detections, without_embeddings
from tracking.kalman import POSITION, VELOCITY, XYWH, KalmanFilter, nsa_noise_factor
from tracking.look_calibration import LookCalibration
from tracking.occlusion import hidden_share
from tracking.reidsort_options import ReidSortOptions
from tracking.track_table import TrackTable
from tracking.tracks import Tracks

_NONE = np.empty(0, np.int64)
SETTLED = 5  # detections after which a track tells what one person's looks are like
ALONE = 0.3  # most overlap of a detection whose look is nobody else's
COMMON_GAIN = 0.15  # of the common motion that goes into the velocity, about the filter's own gain
RETIRED = 2**31


class ReidSort:
    """Tracks people by overlap, motion and calibrated appearance; the boxes returned are the filter's."""

    decisions: DecisionLog | None = None

    def __init__(self, options: ReidSortOptions | None = None):
        self.options = options or ReidSortOptions()
        self.reset()

    @property
    def table(self) -> TrackTable:
        """All living tracks."""
        return self._table

    def reset(self) -> None:
        """Forgets all tracks and what it learnt of looks; the next identity is 1 again."""
        self._table = TrackTable(KalmanFilter(XYWH))
        self._looks = LookCalibration()
        self._frames = 0
        self._seen_area = np.array([np.inf, np.inf, -np.inf, -np.inf])

    def update(self, detections: Detections, frame: np.ndarray | None = None) -> Tracks:
        """Takes the detections of the next frame and returns the tracks seen in it; `frame` is ignored.

        Args:
            detections: With embeddings of any norm when `appearance` is on. Boxes without area are left out.
            frame: Not used.

        Raises:
            ValueError: When embeddings are needed and missing, or change their length.
        """
        options, table = self.options, self._table
        self._frames += 1
        detections, table.source_index = select_detections(detections, options.min_confidence)
        looks = None
        if options.appearance:
            detections = fit_embeddings(detections, table.extra, "look", "slow")
            looks = None if detections.embeddings is None else normalise_rows(detections.embeddings)
        detections = without_embeddings(detections)
        boxes = detections.xyxy.astype(np.float64)
        quality = self._quality(detections, boxes)
        table.predict()
        measurement = xyxy_to_cxywh(boxes)
        rows, columns = self._match(detections, boxes, measurement, looks, quality)
        if options.common_motion:
            self._follow_common_motion(rows, measurement[columns])
        if len(rows):
            table.meet(rows, measurement, detections, columns, nsa_noise_factor(quality[columns], "paper"))
            table.extra["last"][rows] = boxes[columns]
            if looks is not None:
                self._learn(rows, columns, boxes, looks, quality)
                self._remember(rows, looks[columns], quality[columns])
        before = table.confirmed.copy()
        table.confirmed |= table.hits >= options.n_init
        if looks is not None and options.gallery_age:
            self._re_enter(np.flatnonzero(table.confirmed & ~before))
        oldest = max(options.max_age, options.gallery_age)
        table.keep((table.missed == 0) | (table.confirmed & (table.missed <= oldest)))
        self._start(detections, boxes, measurement, columns, looks)
        return self._returned(boxes)

    def _quality(self, detections: Detections, boxes: np.ndarray) -> np.ndarray:
        """Returns how much each detection counts, (N,) in 0..1: its confidence by the share of it that is seen."""
        if not self.options.quality:
            return np.ones(len(boxes))
        quality: np.ndarray = np.clip(detections.confidence, 0, 1) * (1 - hidden_share(boxes))
        return quality

    def _match(
        self,
        detections: Detections,
        boxes: np.ndarray,
        measurement: np.ndarray,
        looks: np.ndarray | None,
        quality: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices of tracks and of the detections that they meet."""
        options, table = self.options, self._table
        active = np.flatnonzero(table.missed <= max(options.max_age, 1))
        if not len(active) or not len(boxes):
            return _NONE, _NONE
        confirmed, missed = table.confirmed[active], table.missed[active]
        overlap = iou_matrix(cxywh_to_xyxy(table.position(active)), boxes)
        motion = table.kalman.gating_distance(table.state[:, active], measurement)
        cost = 0.5 * (1 - overlap) + 0.5 * np.minimum(motion / max(options.gate, 1e-9), 1)
        different = None
        if looks is not None:
            different = self._different(active, looks)
            weight = options.appearance_weight * np.sqrt(quality)
            cost += weight * (different - cost)
            cost[different > options.max_different] = FORBIDDEN
        cost[motion > options.gate] = FORBIDDEN
        strong = detections.confidence >= options.high_confidence
        first, high = np.flatnonzero(confirmed), np.flatnonzero(strong)
        if self.decisions is not None:
            parts = {"1 - overlap": 1 - overlap, "Mahalanobis distance squared": motion}
            parts |= {} if different is None else {"probability of two people": different}
            self._log("looks, overlap and motion", active, first, high, cost, options.max_cost, parts)
        a, b = assign(cost[np.ix_(first, high)], options.max_cost)
        rows, columns = [first[a]], [high[b]]
        apart = 1 - overlap
        if different is not None:  # overlap alone does not pair those who clearly are two people
            apart[(different > 0.98) & (quality[None] > 0.7)] = FORBIDDEN
        free = np.ones(len(boxes), bool)
        free[columns[0]] = False
        if options.second_stage:
            left = first[others(len(first), a)]
            left, rest = left[missed[left] <= 2], np.flatnonzero(free)
            self._log("overlap", active, left, rest, apart, 1 - options.min_iou, {})
            a, b = assign(apart[np.ix_(left, rest)], 1 - options.min_iou)
            rows.append(left[a])
            columns.append(rest[b])
            free[rest[b]] = False
        young, rest = np.flatnonzero(~confirmed), np.flatnonzero(free & strong)
        self._log("overlap, young tracks", active, young, rest, apart, 1 - options.min_iou, {})
        a, b = assign(apart[np.ix_(young, rest)], 1 - options.min_iou)
        rows.append(young[a])
        columns.append(rest[b])
        return active[np.concatenate(rows)], np.concatenate(columns)

    def _log(
        self,
        name: str,
        active: np.ndarray,
        rows: np.ndarray,
        columns: np.ndarray,
        cost: np.ndarray,
        limit: float,
        parts: dict[str, np.ndarray],
    ) -> None:
        """Tells the log of a stage over `rows` of the active tracks; all arrays are (active, detections)."""
        if self.decisions is not None:
            pairs = np.ix_(rows, columns)
            chosen = {key: part[pairs] for key, part in parts.items()}
            self.decisions.stage(name, self._table, active[rows], columns, cost[pairs], limit, **chosen)

    def _different(self, rows: np.ndarray, looks: np.ndarray) -> np.ndarray:
        """Returns the probability (T, D) that tracks and detections are two people, by the nearer of both looks."""
        extra = self._table.extra
        distance = np.minimum(cosine_distance(extra["look"][rows], looks), cosine_distance(extra["slow"][rows], looks))
        different = self._looks.different(distance)
        # A look of which nothing is known speaks neither for nor against anybody.
        different[:, ~looks.any(axis=1)] = 0.5
        different[~extra["look"][rows].any(axis=1)] = 0.5
        return different

    def _follow_common_motion(self, rows: np.ndarray, measured: np.ndarray) -> None:
        """Moves the tracks not seen by what the others moved beyond their prediction, where these agree."""
        table = self._table
        if len(rows) < 4:
            return
        lost = table.confirmed.copy()
        lost[rows] = False
        if not lost.any():
            return
        beyond = measured[:, :2] - table.position(rows)[:, :2]
        common = np.median(beyond, axis=0)
        spread = np.median(np.abs(beyond - common), axis=0)
        common[np.abs(common) <= spread] = 0
        table.state[POSITION, lost, :2] += common
        table.state[VELOCITY, lost, :2] += COMMON_GAIN * common

    def _learn(
        self, rows: np.ndarray, columns: np.ndarray, boxes: np.ndarray, looks: np.ndarray, quality: np.ndarray
    ) -> None:
        """Learns what distances mean: detections of one frame are different people, a settled track is one person."""
        if not self.options.calibration:
            return
        overlap = iou_matrix(boxes, boxes)
        np.fill_diagonal(overlap, 0)
        clean = (overlap.max(axis=1) < ALONE) & (quality > 0.5) & looks.any(axis=1)
        known = self._table.extra["slow"][rows].any(axis=1)
        settled = clean[columns] & known & (self._table.hits[rows] > SETTLED)
        same = 1 - np.einsum("nd,nd->n", self._table.extra["slow"][rows[settled]], looks[columns[settled]])
        alone = looks[clean]
        self._looks.learn(same, cosine_distance(alone, alone)[np.triu_indices(len(alone), 1)])

    def _remember(self, rows: np.ndarray, looks: np.ndarray, quality: np.ndarray) -> None:
        """Averages the looks, those of good detections more; a young track takes the plain mean."""
        options, extra = self.options, self._table.extra
        share = quality[:, None].astype(np.float32)
        young = 1 - share / np.maximum(self._table.hits[rows, None], 1)
        for name, momentum in (("look", options.ema_momentum), ("slow", options.slow_momentum)):
            extra[name][rows] = averaged(extra[name][rows], looks, np.minimum(1 - (1 - momentum) * share, young))

    def _re_enter(self, fresh: np.ndarray) -> None:
        """Gives tracks just confirmed the identity of a lost one that looks alike and could have come there."""
        table, options = self._table, self.options
        lost = np.flatnonzero(table.confirmed & (table.missed > 0) & (table.missed <= options.gallery_age))
        if not len(fresh) or not len(lost):
            return
        different = self._looks.different(cosine_distance(table.extra["slow"][lost], table.extra["slow"][fresh]))
        different[:, ~table.extra["slow"][fresh].any(axis=1)] = 1
        different[~table.extra["slow"][lost].any(axis=1)] = 1
        old, new = table.extra["last"][lost], table.extra["last"][fresh]
        way = 0.5 * (old[:, None, :2] + old[:, None, 2:] - new[None, :, :2] - new[None, :, 2:])
        height = np.maximum((old[:, 3] - old[:, 1])[:, None], (new[:, 3] - new[:, 1])[None])
        reach = height * (1 + options.reentry_speed * table.missed[lost][:, None])
        different[np.sqrt((way * way).sum(axis=-1)) > reach] = 1
        if self.decisions is not None:
            ids, met = table.track_id[lost], table.detection[fresh]
            self.decisions.add(Stage("re-entry by look", ids, met, different.copy(), options.max_reentry, {}))
        a, b = assign(different, options.max_reentry)
        gone, back = lost[a], fresh[b]
        table.track_id[back] = table.track_id[gone]
        table.hits[back] += table.hits[gone]
        mixed = averaged(table.extra["slow"][gone], table.extra["slow"][back], 0.7)
        table.extra["slow"][back] = mixed
        table.missed[gone] = RETIRED

    def _start(
        self,
        detections: Detections,
        boxes: np.ndarray,
        measurement: np.ndarray,
        taken: np.ndarray,
        looks: np.ndarray | None,
    ) -> None:
        """Begins tracks at strong detections left over, unless they double a track."""
        table, options = self._table, self.options
        fresh = detections.confidence >= options.new_confidence
        fresh[taken] = False
        new = np.flatnonzero(fresh)
        seen = np.flatnonzero(table.missed == 0)
        if len(new) and len(seen):
            overlap = iou_matrix(boxes[new], cxywh_to_xyxy(table.position(seen)))
            new = new[overlap.max(axis=1) <= options.max_duplicate]
        if len(new):
            memory = {"last": boxes[new]}
            if looks is not None:
                memory |= {"look": looks[new], "slow": looks[new]}
            table.start(measurement, detections, new, memory)
            table.confirmed |= (table.hits >= options.n_init) | (self._frames == 1)

    def _returned(self, boxes: np.ndarray) -> Tracks:
        """Returns the tracks that met a detection, and those not seen that are likely to be there."""
        table, options = self._table, self.options
        if len(boxes):
            low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
            self._seen_area[:2] = np.minimum(self._seen_area[:2], low)
            self._seen_area[2:] = np.maximum(self._seen_area[2:], high)
        shown = table.confirmed & (table.missed == 0)
        longest = max(options.coast, options.coast_hidden)
        unseen = np.flatnonzero(
            table.confirmed & (table.missed > 0) & (table.missed <= longest) & (table.hits > options.n_init)
        )
        if len(unseen):
            predicted = cxywh_to_xyxy(table.position(unseen))
            centre = 0.5 * (predicted[:, :2] + predicted[:, 2:])
            inside = ((centre > self._seen_area[:2]) & (centre < self._seen_area[2:])).all(axis=1)
            missed = table.missed[unseen]
            hidden = hidden_share(predicted, cxywh_to_xyxy(table.position(shown))) >= options.min_hidden
            stays = (missed <= options.coast) | (hidden & (missed <= options.coast_hidden))
            shown[unseen[inside & stays]] = True
        rows = np.flatnonzero(shown)
        return table.tracks(rows, cxywh_to_xyxy(table.position(rows)))
