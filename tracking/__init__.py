"""Multi-object tracking of people: detections in, identities over time out, measured with TrackEval."""

from dataclasses import fields
from typing import Any

from tracking.botsort import BotSort, BotSortOptions
from tracking.bytetrack import ByteTrack, ByteTrackOptions
from tracking.deepocsort import DeepOcSort, DeepOcSortOptions
from tracking.deepsort import DeepSort, DeepSortOptions
from tracking.ocsort import OcSort, OcSortOptions
from tracking.reidsort import ReidSort
from tracking.reidsort_options import OfflineReidSortOptions, ReidSortOptions
from tracking.sort import Sort, SortOptions
from tracking.strongsort import StrongSort, StrongSortOptions
from tracking.tracks import Tracker

# Name -> (tracker, its options).
TRACKERS: dict[str, tuple[type[Any], type[Any]]] = {
    "botsort": (BotSort, BotSortOptions),
    "bytetrack": (ByteTrack, ByteTrackOptions),
    "deepocsort": (DeepOcSort, DeepOcSortOptions),
    "deepsort": (DeepSort, DeepSortOptions),
    "ocsort": (OcSort, OcSortOptions),
    "reidsort": (ReidSort, ReidSortOptions),
    "reidsort++": (ReidSort, OfflineReidSortOptions),  # and the offline steps that `tracking.offline` lists for it
    "sort": (Sort, SortOptions),
    "strongsort": (StrongSort, StrongSortOptions),
    "strongsort++": (StrongSort, StrongSortOptions),  # likewise
}


def tracker_options(name: str) -> tuple[str, ...]:
    """Returns the names of the options of a tracker.

    Raises:
        ValueError: When the tracker is unknown.
    """
    if name not in TRACKERS:
        raise ValueError(f"tracker: got {name!r}, allowed: {', '.join(sorted(TRACKERS))}")
    return tuple(field.name for field in fields(TRACKERS[name][1]))


def build_tracker(name: str, **options: Any) -> Tracker:
    """Builds a tracker; options not given take the value of its paper.

    Args:
        name: One of `TRACKERS`.
        options: Fields of its options class.

    Raises:
        ValueError: When the name, an option, or the value of an option is unknown.
    """
    allowed = tracker_options(name)
    for option in options:
        if option not in allowed:
            raise ValueError(f"option of {name}: got {option!r}, allowed: {', '.join(allowed)}")
    tracker_class, options_class = TRACKERS[name]
    tracker: Tracker = tracker_class(options_class(**options))
    return tracker
