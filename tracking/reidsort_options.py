"""The options of `tracking.reidsort`."""

from dataclasses import dataclass

from tracking.options import require_count, require_range


@dataclass(frozen=True)
class ReidSortOptions:
    """One set of defaults for every network and detector; experiments/README.md tells on what they were chosen.

    Attributes:
        min_confidence: Detections below are ignored.
        high_confidence: Detections from here on meet tracks first, and only they meet new tracks.
        new_confidence: A track begins with at least this confidence.
        max_duplicate: No track begins at a box that overlaps a track just seen by more than this IoU.
        n_init: Detections in consecutive frames until a track is confirmed; not asked for in the first frame.
        max_age: Frames for which a track that is not seen takes part in the first stage.
        appearance: Whether embeddings take part.
        calibration: Whether distances become probabilities by what the sequence itself tells; off: by fixed values,
            which suit features of DeepSORT's kind.
        appearance_weight: Weight of looks beside overlap and motion, for a detection that is seen whole.
        max_different: Looks with a higher probability of two people never pair in the first stage.
        max_cost: Highest cost of a pair in the first stage, 0..1.
        gate: Highest squared Mahalanobis distance of a pair in the first stage.
        quality: Whether confidence and occlusion weigh how much a detection counts: its look in costs and averages,
            its box in the filter.
        ema_momentum: Weight of the past in the look of the last seconds.
        slow_momentum: The same in the look of the last minute.
        second_stage: Whether tracks just seen meet the detections left over, weak ones too, by overlap.
        min_iou: Lowest overlap there.
        common_motion: Whether tracks that are not seen move on with what the others moved in common, a camera's
            motion without its image.
        gallery_age: Frames for which a lost track may come back by its look alone; 0 leaves re-entry out.
        max_reentry: Highest probability of two people for that.
        reentry_speed: How fast a lost person may have moved, in heights of the box a frame, from one height on.
        coast: Frames for which a track that is not seen is still returned.
        coast_hidden: The same where somebody returned stands in front of it.
        min_hidden: The share of its box that they must hide.
    """

    min_confidence: float = 0.1
    high_confidence: float = 0.25
    new_confidence: float = 0.25
    max_duplicate: float = 0.7
    n_init: int = 3
    max_age: int = 60
    appearance: bool = True
    calibration: bool = True
    appearance_weight: float = 0.75
    max_different: float = 0.95
    max_cost: float = 0.6
    gate: float = 9.5
    quality: bool = True
    ema_momentum: float = 0.9
    slow_momentum: float = 0.97
    second_stage: bool = True
    min_iou: float = 0.3
    common_motion: bool = True
    gallery_age: int = 300
    max_reentry: float = 0.005
    reentry_speed: float = 0.15
    coast: int = 2
    coast_hidden: int = 8
    min_hidden: float = 0.4

    def __post_init__(self) -> None:
        for name in ("min_confidence", "high_confidence", "new_confidence"):
            require_range(name, getattr(self, name), -1e9, 1e9)
        for name in (
            "appearance_weight",
            "max_different",
            "max_cost",
            "ema_momentum",
            "slow_momentum",
            "max_duplicate",
        ):
            require_range(name, getattr(self, name), 0, 1)
        for name in ("min_iou", "max_reentry", "min_hidden"):
            require_range(name, getattr(self, name), 0, 1)
        require_range("gate", self.gate, 0, 1e9)
        require_range("reentry_speed", self.reentry_speed, 0, 1e6)
        require_count("n_init", self.n_init, 1)
        for name in ("max_age", "gallery_age", "coast", "coast_hidden"):
            require_count(name, getattr(self, name), 0)


@dataclass(frozen=True)
class OfflineReidSortOptions(ReidSortOptions):
    """The same where gaps are filled afterwards, by what came later: nobody who is not seen is returned."""

    coast: int = 0
    coast_hidden: int = 0
