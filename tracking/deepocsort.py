"""Deep OC-SORT (Maggiolino et al., arXiv 2302.11813): OC-SORT with camera motion and adaptive appearance."""

from dataclasses import dataclass

import numpy as np

from tracking.appearance import averaged, dynamic_momentum
from tracking.association import normalise_rows
from tracking.camera_motion import FlowMotion, move_boxes, move_state
from tracking.detections import Detections
from tracking.intake import fit_embeddings, select_detections, without_embeddings
from tracking.kalman import XYSR
from tracking.ocsort import OcSort, OcSortOptions
from tracking.options import require_range


@dataclass(frozen=True)
class DeepOcSortOptions(OcSortOptions):
    """The paper's values, beside those of OC-SORT.

    Attributes:
        appearance: Whether embeddings take part.
        appearance_bonus: Weight of the cosine similarity beside the overlap.
        adaptive_weight: Whether that weight grows for pairs of which one look stands out.
        weight_limit: The most by which the best may stand out from the second in that.
        ema_momentum: Weight of the past in a track's look, for detections of confidence 1.
        dynamic_ema: Whether weak detections change a look less.
        camera_motion: Compensation of the camera; `update` then needs the frame. The paper has it on.
    """

    appearance: bool = True
    appearance_bonus: float = 0.75
    adaptive_weight: bool = True
    weight_limit: float = 0.5
    ema_momentum: float = 0.95
    dynamic_ema: bool = True
    camera_motion: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("appearance_bonus", self.appearance_bonus, 0, 1e3)
        require_range("weight_limit", self.weight_limit, 0, 2)
        require_range("ema_momentum", self.ema_momentum, 0, 1)
        if self.appearance and self.dynamic_ema and self.min_confidence >= 1:
            raise ValueError(f"min_confidence: got {self.min_confidence}, allowed: below 1 with dynamic_ema")


class DeepOcSort(OcSort):
    """Tracks people by overlap, direction and appearance; the rest is OC-SORT's."""

    motion_estimator = FlowMotion

    def __init__(self, options: DeepOcSortOptions | None = None):
        super().__init__(options or DeepOcSortOptions())

    def reset(self) -> None:
        """Forgets all tracks; the next identity is 1 again."""
        super().reset()
        self._camera = self.motion_estimator()

    def _usable(self, detections: Detections) -> Detections:
        usable, self._table.source_index = select_detections(detections, self.options.min_confidence)
        if not self.options.appearance:
            return without_embeddings(usable)
        return fit_embeddings(usable, self._table.extra, "embedding")

    def _follow_camera(self, frame: np.ndarray | None) -> None:
        """Carries states, observations and directions along with the camera."""
        if not self.options.camera_motion:
            return
        if frame is None:
            raise ValueError("frame: got None, allowed: an image (H, W, 3), since camera_motion is on")
        motion = self._camera.estimate(frame)
        if not len(self._table):
            return
        extra = self._table.extra
        move_state(self._table.state, motion, XYSR)
        anchors = extra["anchor"].transpose(1, 0, 2)
        move_state(anchors, motion, XYSR)  # a view of the array in `extra`
        extra["last"] = move_boxes(extra["last"], motion)
        shape = extra["history"].shape
        extra["history"] = move_boxes(extra["history"].reshape(-1, 4), motion).reshape(shape)
        turned = extra["direction"] @ motion[:, :2].T
        extra["direction"] = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-6)

    def _bonus(self, detections: Detections) -> np.ndarray | float:
        if not self.options.appearance:
            return 0.0
        assert detections.embeddings is not None
        similarity = self._table.extra["embedding"] @ normalise_rows(detections.embeddings).T
        weight: np.ndarray | float = self.options.appearance_bonus
        if self.options.adaptive_weight:
            weight = weight + distinctiveness(similarity, self.options.weight_limit)
        return weight * similarity

    def _new_memory(self, columns: np.ndarray, detections: Detections) -> dict[str, np.ndarray]:
        if detections.embeddings is None:
            return {}
        return {"embedding": normalise_rows(detections.embeddings[columns])}

    def _meet(self, rows: np.ndarray, columns: np.ndarray, detections: Detections) -> None:
        super()._meet(rows, columns, detections)
        if detections.embeddings is None:
            return
        momentum: np.ndarray | float = self.options.ema_momentum
        if self.options.dynamic_ema:
            momentum = dynamic_momentum(
                detections.confidence[columns], self.options.min_confidence, self.options.ema_momentum
            )
        memory = self._table.extra["embedding"]
        memory[rows] = averaged(memory[rows], normalise_rows(detections.embeddings[columns]), momentum)


def distinctiveness(similarity: np.ndarray, limit: float) -> np.ndarray:
    """Returns by how much the best of each row and of each column stands out, averaged, (T, D) in 0..limit.

    The paper's adaptive weighting: the difference of the best and the second similarity, at most `limit`; 0 where
    there is no second.
    """

    def stand_out(values: np.ndarray) -> np.ndarray:
        if values.shape[1] < 2:
            return np.zeros(len(values))
        top = np.partition(values, -2, axis=1)[:, -2:]
        return np.minimum(top[:, 1] - top[:, 0], limit)

    return 0.5 * (stand_out(similarity)[:, None] + stand_out(similarity.T)[None])
