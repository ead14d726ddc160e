"""The tracks that a tracker keeps: one row a track in every array, no object a track."""

import numpy as np

from tracking.detections import Detections
from tracking.kalman import POSITION, VELOCITY, KalmanFilter
from tracking.tracks import Tracks


class TrackTable:
    """Identity, age and Kalman state of all living tracks; `extra` holds the arrays that a tracker adds.

    Attributes:
        state: float64 (5, N, 4), the Kalman state.
        track_id: int64 (N,).
        hits: int64 (N,), how often each track met a detection.
        missed: int64 (N,), frames since it did so last; 0 means in this frame.
        confirmed: bool (N,).
        confidence, class_id: of the detection met last.
        detection: int64 (N,), which detection of this frame each track met, -1 where none.
        source_index: int64 (D,), where the tracker's detections stand among those that it was given; None: the same.
        extra: name to array, the first axis being the tracks.
    """

    def __init__(self, kalman: KalmanFilter):
        self.kalman = kalman
        self.state = kalman.empty()
        self.track_id = np.empty(0, np.int64)
        self.hits = np.empty(0, np.int64)
        self.missed = np.empty(0, np.int64)
        self.confirmed = np.empty(0, bool)
        self.confidence = np.empty(0, np.float32)
        self.class_id = np.empty(0, np.int64)
        self.detection = np.empty(0, np.int64)
        self.source_index: np.ndarray | None = None
        self.extra: dict[str, np.ndarray] = {}
        self._next_id = 1

    def __len__(self) -> int:
        return len(self.track_id)

    def predict(self) -> None:
        """Moves all tracks by one frame and counts the frame as missed until a detection is met.

        Sizes and ratios, the last two coordinates of every motion model, stop changing before they would reach 0: a
        box that shrank while it was seen would turn over when it coasts.
        """
        if len(self):
            size, change = self.state[POSITION, :, 2:], self.state[VELOCITY, :, 2:]
            change[size + change <= 0] = 0
            self.kalman.predict(self.state)
        self.missed += 1
        self.detection[:] = -1

    def meet(
        self,
        rows: np.ndarray,
        measurement: np.ndarray,
        detections: Detections,
        columns: np.ndarray,
        noise_factor: np.ndarray | float = 1.0,
    ) -> None:
        """Updates the tracks `rows` with the detections `columns`, measured as `measurement` (D, 4)."""
        self.state[:, rows] = self.kalman.update(self.state[:, rows], measurement[columns], noise_factor)
        self.hits[rows] += 1
        self.missed[rows] = 0
        self.confidence[rows] = detections.confidence[columns]
        self.class_id[rows] = detections.class_id[columns]
        self.detection[rows] = self._given(columns)

    def start(
        self, measurement: np.ndarray, detections: Detections, columns: np.ndarray, extra: dict[str, np.ndarray]
    ) -> None:
        """Begins one track a detection in `columns`; `extra` gives their rows of the added arrays."""
        count = len(columns)
        new_ids = np.arange(self._next_id, self._next_id + count)
        self._next_id += count
        self.state = np.concatenate([self.state, self.kalman.initiate(measurement[columns])], axis=1)
        self.track_id = np.concatenate([self.track_id, new_ids])
        self.hits = np.concatenate([self.hits, np.ones(count, np.int64)])
        self.missed = np.concatenate([self.missed, np.zeros(count, np.int64)])
        self.confirmed = np.concatenate([self.confirmed, np.zeros(count, bool)])
        self.confidence = np.concatenate([self.confidence, detections.confidence[columns]])
        self.class_id = np.concatenate([self.class_id, detections.class_id[columns]])
        self.detection = np.concatenate([self.detection, self._given(columns)])
        for name, rows in extra.items():
            self.extra[name] = np.concatenate([self.extra[name], rows]) if name in self.extra else rows

    def keep(self, mask: np.ndarray) -> None:
        """Forgets the tracks whose mask is False."""
        if mask.all():
            return
        self.state = self.state[:, mask]
        for name in ("track_id", "hits", "missed", "confirmed", "confidence", "class_id", "detection"):
            setattr(self, name, getattr(self, name)[mask])
        self.extra = {name: rows[mask] for name, rows in self.extra.items()}

    def position(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Returns the Kalman position (N, 4) in the motion model's own box format."""
        position: np.ndarray = self.state[POSITION, rows]
        return position

    def tracks(self, rows: np.ndarray, xyxy: np.ndarray) -> Tracks:
        """Returns the tracks `rows` (indices) with the boxes `xyxy`."""
        return Tracks(xyxy, self.track_id[rows], self.confidence[rows], self.class_id[rows], self.detection[rows])

    def _given(self, columns: np.ndarray) -> np.ndarray:
        return columns if self.source_index is None else self.source_index[columns]
