"""What is done to tracks once the sequence is over: cut, joined, completed, filled, smoothed."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tracking.interpolation import fill_gaps, smooth
from tracking.linking import LinkOptions, link_by_looks
from tracking.options import require_choice, require_count, require_range
from tracking.recovery import recover_detections
from tracking.runner import TrackedSequence
from tracking.sources import SequenceDetections
from tracking.splitting import SplitOptions, split_by_looks

Link = Literal["none", "looks", "aflink"]
LINKS = ("none", "looks", "aflink")
Interpolation = Literal["none", "linear", "gaussian"]
INTERPOLATIONS = ("none", "linear", "gaussian")


@dataclass(frozen=True)
class OfflineOptions:
    """Offline steps, in the order in which they are done; without any, tracks stay as they are.

    Attributes:
        cut_tracks: Whether tracks are cut where another person's looks begin.
        cut_different: Lowest probability of two people for that.
        link: "looks" joins tracks by appearance and motion, "aflink" by a trained network.
        aflink_weights: File of that network, from `python -m tracking.aflink`; None takes the one that comes along.
        link_gap: "looks": most frames between a track and its continuation.
        link_different: "looks": highest probability that two tracks are two people.
        link_jaccard: "looks": weight of neighbourhoods of tracks beside their distance.
        take_leftover: Whether tracks take the detections that fit them and that no track took.
        min_boxes: Tracks of fewer boxes are dropped before gaps are filled.
        interpolation: "linear" fills gaps, "gaussian" smooths the tracks as well (GSI).
        fill_gap: Gaps of fewer frames are filled.
        fill_long_gap: Gaps of fewer frames than this are filled, too, where the track plainly goes on.
        fill_detour: What "plainly" leaves open, in widths of the box.
        smooth_tau: "gaussian": the paper's control of smoothness.
    """

    cut_tracks: bool = False
    cut_different: float = 0.6
    link: Link = "none"
    aflink_weights: Path | None = None
    link_gap: int = 150
    link_different: float = 0.02
    link_jaccard: float = 0.3
    take_leftover: bool = False
    min_boxes: int = 1
    interpolation: Interpolation = "none"
    fill_gap: int = 20
    fill_long_gap: int = 0
    fill_detour: float = 1.5
    smooth_tau: float = 10.0

    def __post_init__(self) -> None:
        require_choice("link", self.link, LINKS)
        require_choice("interpolation", self.interpolation, INTERPOLATIONS)
        require_count("link_gap", self.link_gap, 1)
        require_range("link_different", self.link_different, 0, 1)
        require_range("link_jaccard", self.link_jaccard, 0, 1)
        require_range("cut_different", self.cut_different, 0, 1)
        require_count("min_boxes", self.min_boxes, 1)
        require_count("fill_gap", self.fill_gap, 1)
        require_count("fill_long_gap", self.fill_long_gap, 0)
        require_range("fill_detour", self.fill_detour, 0, 1e6)
        require_range("smooth_tau", self.smooth_tau, 1e-3, 1e6)


# Trackers whose name promises offline steps.
OFFLINE_DEFAULTS: dict[str, dict[str, Any]] = {
    "reidsort++": {
        "cut_tracks": True,
        "link": "looks",
        "take_leftover": True,
        "min_boxes": 6,
        "interpolation": "linear",
        "fill_gap": 10,
        "fill_long_gap": 120,
    },
    "strongsort++": {"link": "aflink", "interpolation": "gaussian"},
}


def refine(tracked: TrackedSequence, detections: SequenceDetections, options: OfflineOptions) -> TrackedSequence:
    """Returns the tracks after the offline steps.

    Args:
        tracked: Of one sequence.
        detections: Of the sequence, with embeddings where steps look at them.
        options: Which steps.

    Raises:
        ValueError: When embeddings are needed and missing, or the weights cannot be read.
    """
    embeddings = detections.embeddings
    needs = {"cut_tracks is on": options.cut_tracks, "link is 'looks'": options.link == "looks"}
    for reason, needed in needs.items():
        if needed and embeddings is None:
            raise ValueError(f"embeddings: got None, allowed: float (N, D), since {reason}; or switch that off")
    if options.cut_tracks:
        assert embeddings is not None
        tracked = split_by_looks(tracked, embeddings, SplitOptions(options.cut_different))
    if options.link == "looks":
        assert embeddings is not None
        link = LinkOptions(max_gap=options.link_gap, max_different=options.link_different, jaccard=options.link_jaccard)
        tracked = link_by_looks(tracked, embeddings, link)
    elif options.link == "aflink":
        from tracking.aflink import link_by_trajectories, load_aflink

        tracked = link_by_trajectories(tracked, load_aflink(options.aflink_weights))
    if options.take_leftover:
        tracked = recover_detections(tracked, detections)
    if options.min_boxes > 1:
        _, track, boxes = np.unique(tracked.track_id, return_inverse=True, return_counts=True)
        tracked = tracked.only(boxes[track] >= options.min_boxes)
    if options.interpolation != "none":
        tracked = fill_gaps(tracked, options.fill_gap, options.fill_long_gap, options.fill_detour)
    if options.interpolation == "gaussian":
        tracked = smooth(tracked, options.smooth_tau)
    return tracked


@dataclass(frozen=True)
class OfflineFlags:
    """Offline steps, as the command line offers them; those not given are what the tracker's name promises.

    Attributes:
        cut_tracks: Cuts tracks, when the sequence is over, where another person's looks begin.
        cut_different: Lowest probability of two people for that.
        link: Joins tracks when the sequence is over: "looks" by appearance and motion, "aflink" by a trained network.
        aflink_weights: File of that network, from python -m tracking.aflink; unless told, the one in checkpoints/,
            which has learnt from a made-up world.
        link_gap: Most frames between a track and its continuation, by looks.
        link_different: Highest probability that two tracks are two people, by looks.
        link_jaccard: Weight of neighbourhoods of tracks beside their distance, by looks.
        take_leftover: Gives tracks the detections that fit them and that no track took.
        min_boxes: Tracks of fewer boxes are dropped, before gaps are filled.
        interpolation: "linear" fills gaps, "gaussian" smooths the tracks as well (GSI).
        fill_gap: Gaps of fewer frames are filled.
        fill_long_gap: Gaps of fewer frames than this are filled, too, where the track plainly goes on; 0 for none.
        fill_detour: What "plainly" leaves open, in widths of the box.
        smooth_tau: The paper's control of smoothness, with "gaussian".
    """

    cut_tracks: bool | None = None
    cut_different: float | None = None
    link: Link | None = None
    aflink_weights: Path | None = None
    link_gap: int | None = None
    link_different: float | None = None
    link_jaccard: float | None = None
    take_leftover: bool | None = None
    min_boxes: int | None = None
    interpolation: Interpolation | None = None
    fill_gap: int | None = None
    fill_long_gap: int | None = None
    fill_detour: float | None = None
    smooth_tau: float | None = None


def offline_options(method: str, flags: OfflineFlags) -> OfflineOptions:
    """Returns the offline steps of a tracker: those of its name, and over them the flags that were given.

    Raises:
        ValueError: When a value is wrong, or a flag would change nothing.
    """
    given = {field.name: getattr(flags, field.name) for field in fields(OfflineFlags)}
    given = {name: value for name, value in given.items() if value is not None}
    options = OfflineOptions(**{**OFFLINE_DEFAULTS.get(method, {}), **given})
    uses: dict[str, dict[Any, tuple[str, ...]]] = {
        "cut_tracks": {False: (), True: ("cut_different",)},
        "link": {"none": (), "looks": ("link_gap", "link_different", "link_jaccard"), "aflink": ("aflink_weights",)},
        "interpolation": {
            "none": (),
            "linear": ("fill_gap", "fill_long_gap", "fill_detour"),
            "gaussian": ("fill_gap", "fill_long_gap", "fill_detour", "smooth_tau"),
        },
    }
    used = {"take_leftover", "min_boxes", *uses}
    for switch, concerned in uses.items():
        used |= set(concerned[getattr(options, switch)])
    if not options.fill_long_gap:
        used.discard("fill_detour")
    for name in given:
        if name not in used:
            flag = f"--{name.replace('_', '-')}"
            state = f"--link {options.link} --interpolation {options.interpolation}"
            state += f" --fill-long-gap {options.fill_long_gap}" if name == "fill_detour" else ""
            raise ValueError(f"{flag}: not used with {'--no-cut-tracks' if name == 'cut_different' else state}")
    return options
