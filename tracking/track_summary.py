"""What became of each track of a video, gathered frame by frame in memory that grows with the people only."""

import math
from dataclasses import dataclass
from typing import Any

from tracking.tracks import Tracks


@dataclass
class _Track:
    first: int
    last: int
    foot: tuple[float, float]
    frames: int = 0
    detected: int = 0
    confidence: float = 0.0
    path: float = 0.0


class TrackSummary:
    """Counts frames, confidence and the way of each identity.

    Args:
        rate: Frames a second, for times.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tracks: dict[int, _Track] = {}

    def __len__(self) -> int:
        return len(self._tracks)

    def add(self, frame: int, tracks: Tracks) -> None:
        """Takes the tracks of the next frame."""
        met = [True] * len(tracks) if tracks.detection_index is None else (tracks.detection_index >= 0).tolist()
        rows = zip(tracks.track_id.tolist(), tracks.xyxy.tolist(), tracks.confidence.tolist(), met)
        for track_id, (left, _, right, bottom), confidence, detected in rows:
            foot = ((left + right) / 2, bottom)
            track = self._tracks.setdefault(track_id, _Track(frame, frame, foot))
            track.path += math.dist(track.foot, foot)
            track.frames += 1
            track.last, track.foot = frame, foot
            if detected:
                track.detected += 1
                track.confidence += confidence

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row a track, by identity.

        Its keys: "id"; "frames" in which it was returned; "detected", those of them with a detection; "first" and
        "last" frame, from 1; "seconds" from the first to the end of the last; "mean_confidence" of its detections, None
        without any; "path_length" of the point where it stands, in pixels, the detector's tremor included.
        """
        return [
            {
                "id": track_id,
                "frames": track.frames,
                "detected": track.detected,
                "first": track.first,
                "last": track.last,
                "seconds": round((track.last - track.first + 1) / self._rate, 3),
                "mean_confidence": round(track.confidence / track.detected, 4) if track.detected else None,
                "path_length": round(track.path, 1),
            }
            for track_id, track in sorted(self._tracks.items())
        ]
