"""Trackers of several libraries behind one face: this project's, boxmot's and roboflow's trackers.

Each library is imported where one of its trackers is built. The others are called as their documentation says, with the
options they come with, camera motion off; what they are given is prepared before the clock runs.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracking.detections import Detections

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # xyxy (N, 4), identity (N,), confidence (N,)

BOXMOT: dict[str, tuple[str, dict[str, Any]]] = {
    "strongsort": ("StrongSort", {}),
    "botsort": ("BotSort", {"use_cmc": False}),
    "bytetrack": ("ByteTrack", {}),
    "ocsort": ("OcSort", {}),
    "deepocsort": ("DeepOcSort", {"cmc_off": True}),
}
ROBOFLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "sort": ("SORTTracker", {}),
    "bytetrack": ("ByteTrackTracker", {}),
    "botsort": ("BoTSORTTracker", {"enable_cmc": False}),
    "ocsort": ("OCSORTTracker", {}),
    "c-biou": ("CBIoUTracker", {}),
}
WITH_EMBEDDINGS = ("strongsort", "botsort", "deepocsort")  # of boxmot
FRAME_SIZE = (1080, 1920)  # of MOT16-05 and -09 it is 480 x 640 and 1080 x 1920; no tracker here looks at pixels


@dataclass(frozen=True)
class SideTracker:
    """One tracker, as the loop needs it.

    Attributes:
        prepare: A frame's number, from 1, and its detections, to what update is given.
        update: The call that is timed.
        rows: What update returned, to boxes, identities from 1, and confidences.
    """

    prepare: Callable[[int, Detections], Any]
    update: Callable[[Any], Any]
    rows: Callable[[Any], Rows]


def build_ours(name: str, min_confidence: float) -> SideTracker:
    """Builds one of this project's trackers."""
    from tracking import build_tracker

    tracker = build_tracker(name, min_confidence=min_confidence)
    return SideTracker(
        prepare=lambda _, detections: detections,
        update=tracker.update,
        rows=lambda tracks: (tracks.xyxy, tracks.track_id, tracks.confidence),
    )


class _NoCameraMotion:
    """Stands where boxmot's StrongSORT, which has no switch for it, estimates the motion of the camera."""

    def apply(self, *_: object, **__: object) -> np.ndarray:
        return np.eye(2, 3, dtype=np.float32)


def build_boxmot(name: str, min_confidence: float) -> SideTracker:
    """Builds one of boxmot's, which decides itself from which confidence on it looks at boxes."""
    import boxmot
    import torch
    from boxmot.structures import Boxes
    from boxmot.structures import Detections as BoxmotDetections

    logging.disable(logging.INFO)
    class_name, options = BOXMOT[name]
    tracker = getattr(boxmot, class_name)(**options)
    if name == "strongsort":
        tracker.cmc = _NoCameraMotion()
    image = np.zeros((*FRAME_SIZE, 3), np.uint8)

    def prepare(number: int, detections: Detections) -> Any:
        looks = detections.embeddings if name in WITH_EMBEDDINGS else None
        return BoxmotDetections(
            Boxes(torch.from_numpy(detections.xyxy)),
            torch.from_numpy(detections.confidence),
            torch.from_numpy(detections.class_id),
            str(number),
            embeddings=None if looks is None else torch.from_numpy(np.ascontiguousarray(looks)),
        )

    def rows(tracks: Any) -> Rows:
        found = (tracks.geometry.values, tracks.track_ids + 1, tracks.scores)
        return tuple(part.numpy() for part in found)  # type: ignore[return-value]

    return SideTracker(prepare, lambda found: tracker.update(found, image), rows)


def build_trackers(name: str, min_confidence: float) -> SideTracker:
    """Builds one of roboflow's trackers, which decide themselves from which confidence on they look at boxes."""
    import trackers

    class_name, options = ROBOFLOW[name]
    tracker = getattr(trackers, class_name)(**options)

    def prepare(_: int, detections: Detections) -> Any:
        return Detections(detections.xyxy, detections.confidence, detections.class_id).to_supervision()

    def rows(found: Any) -> Rows:
        if found.tracker_id is None:
            return np.empty((0, 4)), np.empty(0, np.int64), np.empty(0)
        sure = found.tracker_id >= 0  # -1 marks boxes that belong to no track yet
        return found.xyxy[sure], found.tracker_id[sure] + 1, found.confidence[sure]

    return SideTracker(prepare, tracker.update, rows)


BUILDERS: dict[str, Callable[[str, float], SideTracker]] = {
    "ours": build_ours,
    "boxmot": build_boxmot,
    "trackers": build_trackers,
}
