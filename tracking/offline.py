"""What is done to tracks once the sequence is over: joined, filled, smoothed."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tracking.interpolation import fill_gaps, smooth
from tracking.linking import LinkOptions, link_by_looks
from tracking.options import require_choice, require_count, require_range
from tracking.runner import TrackedSequence

Link = Literal["none", "looks", "aflink"]
LINKS = ("none", "looks", "aflink")
Interpolation = Literal["none", "linear", "gaussian"]
INTERPOLATIONS = ("none", "linear", "gaussian")


@dataclass(frozen=True)
class OfflineOptions:
    """Offline steps, in the order in which they are done; without any, tracks stay as they are.

    Attributes:
        link: "looks" joins tracks by appearance and motion, "aflink" by a trained network.
        aflink_weights: File of that network, from `python -m tracking.aflink`; None takes the one that comes along.
        link_gap: "looks": most frames between a track and its continuation.
        link_different: "looks": highest probability that two tracks are two people.
        link_jaccard: "looks": weight of neighbourhoods of tracks beside their distance.
        interpolation: "linear" fills gaps, "gaussian" smooths the tracks as well (GSI).
        fill_gap: Gaps of fewer frames are filled.
        smooth_tau: "gaussian": the paper's control of smoothness.
    """

    link: Link = "none"
    aflink_weights: Path | None = None
    link_gap: int = 150
    link_different: float = 0.005
    link_jaccard: float = 0.3
    interpolation: Interpolation = "none"
    fill_gap: int = 20
    smooth_tau: float = 10.0

    def __post_init__(self) -> None:
        require_choice("link", self.link, LINKS)
        require_choice("interpolation", self.interpolation, INTERPOLATIONS)
        require_count("link_gap", self.link_gap, 1)
        require_range("link_different", self.link_different, 0, 1)
        require_range("link_jaccard", self.link_jaccard, 0, 1)
        require_count("fill_gap", self.fill_gap, 1)
        require_range("smooth_tau", self.smooth_tau, 1e-3, 1e6)


# Trackers whose name promises offline steps.
OFFLINE_DEFAULTS: dict[str, dict[str, Any]] = {
    "strongsort++": {"link": "aflink", "interpolation": "gaussian"},
}


def refine(tracked: TrackedSequence, embeddings: np.ndarray | None, options: OfflineOptions) -> TrackedSequence:
    """Returns the tracks after the offline steps.

    Args:
        tracked: Of one sequence.
        embeddings: (M, D), of the sequence's detections; needed to link by looks.
        options: Which steps.

    Raises:
        ValueError: When embeddings are needed and missing, or the weights cannot be read.
    """
    if options.link == "looks":
        if embeddings is None:
            raise ValueError("embeddings: got None, allowed: float (N, D), since link is 'looks'")
        link = LinkOptions(max_gap=options.link_gap, max_different=options.link_different, jaccard=options.link_jaccard)
        tracked = link_by_looks(tracked, embeddings, link)
    elif options.link == "aflink":
        from tracking.aflink import link_by_trajectories, load_aflink

        tracked = link_by_trajectories(tracked, load_aflink(options.aflink_weights))
    if options.interpolation != "none":
        tracked = fill_gaps(tracked, options.fill_gap)
    if options.interpolation == "gaussian":
        tracked = smooth(tracked, options.smooth_tau)
    return tracked


@dataclass(frozen=True)
class OfflineFlags:
    """Offline steps, as the command line offers them; those not given are what the tracker's name promises.

    Attributes:
        link: Joins tracks when the sequence is over: "looks" by appearance and motion, "aflink" by a trained network.
        aflink_weights: File of that network, from python -m tracking.aflink; unless told, the one in checkpoints/,
            which has learnt from a made-up world.
        link_gap: Most frames between a track and its continuation, by looks.
        link_different: Highest probability that two tracks are two people, by looks.
        link_jaccard: Weight of neighbourhoods of tracks beside their distance, by looks.
        interpolation: "linear" fills gaps, "gaussian" smooths the tracks as well (GSI).
        fill_gap: Gaps of fewer frames are filled.
        smooth_tau: The paper's control of smoothness, with "gaussian".
    """

    link: Link | None = None
    aflink_weights: Path | None = None
    link_gap: int | None = None
    link_different: float | None = None
    link_jaccard: float | None = None
    interpolation: Interpolation | None = None
    fill_gap: int | None = None
    smooth_tau: float | None = None


def offline_options(method: str, flags: OfflineFlags) -> OfflineOptions:
    """Returns the offline steps of a tracker: those of its name, and over them the flags that were given.

    Raises:
        ValueError: When a value is wrong, or a flag would change nothing.
    """
    given = {field.name: getattr(flags, field.name) for field in fields(OfflineFlags)}
    given = {name: value for name, value in given.items() if value is not None}
    options = OfflineOptions(**{**OFFLINE_DEFAULTS.get(method, {}), **given})
    uses = {
        "link": {"none": (), "looks": ("link_gap", "link_different", "link_jaccard"), "aflink": ("aflink_weights",)},
        "interpolation": {"none": (), "linear": ("fill_gap",), "gaussian": ("fill_gap", "smooth_tau")},
    }
    used = {"link", "interpolation", *uses["link"][options.link], *uses["interpolation"][options.interpolation]}
    for name in given:
        if name not in used:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag}: not used with --link {options.link} --interpolation {options.interpolation}")
    return options
