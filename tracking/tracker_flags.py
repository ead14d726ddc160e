"""The options of all trackers, as the command line offers them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrackerFlags:
    """Options of trackers; those not given take the value of the tracker's paper.

    Each goes to those of the chosen trackers that have it; `min_confidence` goes to all.

    Attributes:
        appearance: Whether embeddings take part in trackers that use them; --no-appearance tracks by overlap and
            motion.
        min_confidence: Detections below are ignored. The papers' limits (0.6, SORT 0.5) suit their detectors; public
            detections come thresholded already, so this default keeps nearly all.
        max_age: Frames for which a track is kept without a detection.
        n_init: Detections in a row until a track counts.
        min_iou: All but DeepSORT and StrongSORT: lowest overlap of a track and its detection.
        min_iou_weak: ByteTrack, BoT-SORT: lowest overlap of a track and a weak detection.
        high_confidence: ByteTrack, BoT-SORT, ReidSort: detections above are strong, which meet tracks first.
        new_confidence: ByteTrack, BoT-SORT, ReidSort: least confidence with which a track begins.
        max_cosine: DeepSORT, StrongSORT: highest appearance distance, before 0.05 for the motion cost. BoT-SORT:
            looks farther apart than this say nothing. Unless told, from the network's card where that knows it.
        ema: DeepSORT, StrongSORT: moving average of the appearance; without it, the nearest of the last ones.
        ema_momentum: Weight of the past in the moving average of the appearance.
        gallery_size: DeepSORT, StrongSORT: how many past appearances are kept without the average.
        motion_cost: DeepSORT, StrongSORT: Mahalanobis distance in the cost.
        appearance_weight: DeepSORT, StrongSORT, ReidSort: weight of the appearance beside the motion cost.
        gate: DeepSORT, StrongSORT, ReidSort: highest squared Mahalanobis distance.
        nsa: DeepSORT, StrongSORT: measurement noise by confidence.
        cascade: DeepSORT, StrongSORT: DeepSORT's matching cascade in place of global assignment.
        max_iou_distance: DeepSORT, StrongSORT: highest 1 - IoU in the second stage. BoT-SORT: looks of boxes farther
            apart say nothing.
        coast: DeepSORT, StrongSORT, ReidSort: frames for which an unseen track is still returned.
        inertia: OC-SORT, Deep OC-SORT: weight of the direction beside the overlap.
        delta_t: OC-SORT, Deep OC-SORT: frames over which the direction is taken.
        recovery: OC-SORT, Deep OC-SORT: tracks left over are compared again at their last observation.
        re_update: OC-SORT, Deep OC-SORT: the filter goes again over the frames for which a track was lost.
        appearance_bonus: Deep OC-SORT: weight of the similarity of looks beside the overlap.
        adaptive_weight: Deep OC-SORT: that weight grows where one look stands out.
        weight_limit: Deep OC-SORT: the most by which it may stand out.
        dynamic_ema: Deep OC-SORT: weak detections change a look less.
        camera_motion: Compensation of the camera's motion, by ECC in StrongSORT and DeepSORT, else by sparse flow;
            needs images.
        max_duplicate: ReidSort: no track begins at a box that overlaps a track by more.
        calibration: ReidSort: distances become probabilities by what the sequence tells, else by fixed values.
        max_different: ReidSort: highest probability that looks belong to two people.
        max_cost: ReidSort: highest cost of a pair in the first stage.
        quality: ReidSort: weak and hidden detections count less.
        slow_momentum: ReidSort: weight of the past in the look of the last minute.
        second_stage: ReidSort: tracks just seen meet what is left over by overlap.
        common_motion: ReidSort: tracks not seen move with what the others moved in common.
        gallery_age: ReidSort: frames for which a lost track may come back by its look alone.
        max_reentry: ReidSort: highest probability of two people for that.
        reentry_speed: ReidSort: how fast a lost person may have moved, in heights a frame.
        coast_hidden: ReidSort: frames for which a track hidden by another is still returned.
        min_hidden: ReidSort: the share of its box that the other must hide.
    """

    appearance: bool = True
    min_confidence: float = 0.1
    max_age: int | None = None
    n_init: int | None = None
    min_iou: float | None = None
    min_iou_weak: float | None = None
    high_confidence: float | None = None
    new_confidence: float | None = None
    max_cosine: float | None = None
    ema: bool | None = None
    ema_momentum: float | None = None
    gallery_size: int | None = None
    motion_cost: bool | None = None
    appearance_weight: float | None = None
    gate: float | None = None
    nsa: Literal["paper", "released", "off"] | None = None
    cascade: bool | None = None
    max_iou_distance: float | None = None
    coast: int | None = None
    inertia: float | None = None
    delta_t: int | None = None
    recovery: bool | None = None
    re_update: bool | None = None
    appearance_bonus: float | None = None
    adaptive_weight: bool | None = None
    weight_limit: float | None = None
    dynamic_ema: bool | None = None
    camera_motion: bool | None = None
    max_duplicate: float | None = None
    calibration: bool | None = None
    max_different: float | None = None
    max_cost: float | None = None
    quality: bool | None = None
    slow_momentum: float | None = None
    second_stage: bool | None = None
    common_motion: bool | None = None
    gallery_age: int | None = None
    max_reentry: float | None = None
    reentry_speed: float | None = None
    coast_hidden: int | None = None
    min_hidden: float | None = None
