"""Tracks cut where the person in them changes, after tracking."""

from dataclasses import dataclass, replace

import numpy as np

from tracking.association import normalise_rows
from tracking.linking import calibrate_looks
from tracking.look_calibration import LookCalibration
from tracking.options import require_count, require_range
from tracking.runner import TrackedSequence
from tracking.tracklets import make_tracklets


@dataclass(frozen=True)
class SplitOptions:
    """Where tracks are cut.

    Attributes:
        different: A track is cut where the looks before and after belong to two people with at least this probability.
        window: Detections on each side whose looks are compared.
        min_length: Fewest detections of a piece.
    """

    different: float = 0.6
    window: int = 12
    min_length: int = 3

    def __post_init__(self) -> None:
        require_range("different", self.different, 0, 1)
        require_count("window", self.window, 1)
        require_count("min_length", self.min_length, 1)


def split_by_looks(
    tracked: TrackedSequence, embeddings: np.ndarray, options: SplitOptions | None = None
) -> TrackedSequence:
    """Returns the tracks with those cut in which one person takes another's place; the pieces get new identities.

    The mean looks on both sides of every detection are compared; the track is cut where they lie farthest apart, then
    the pieces likewise. What a distance means is learnt from the sequence as in `tracking.linking`, which joins
    pieces that belong together after all. The idea of cutting first is that of GTA-Link (arXiv 2411.08216), which
    clusters the looks of a track instead and so cuts where somebody turns around, too.

    Args:
        tracked: Of one sequence; its `detection` counts the rows of `embeddings`.
        embeddings: (M, D), of all detections of the sequence.
        options: How; None takes the defaults.
    """
    options = options or SplitOptions()
    if not len(tracked.track_id):
        return tracked
    tracklets = make_tracklets(tracked, embeddings)
    calibration = calibrate_looks(tracklets)
    identities = tracked.track_id.copy()
    free = int(identities.max()) + 1
    for rows in tracklets.rows:
        met = np.flatnonzero(tracked.detection[rows] >= 0)
        found = normalise_rows(embeddings[tracked.detection[rows[met]]])
        known = found.any(axis=1)
        met, found = met[known], found[known]
        for cut in _cuts(found, calibration, options):
            identities[rows[met[cut] :]] = free
            free += 1
    return replace(tracked, track_id=identities)


def _cuts(looks: np.ndarray, calibration: LookCalibration, options: SplitOptions) -> list[int]:
    """Returns the ascending indices of looks (N, D) with which another person begins."""
    sums = np.concatenate([np.zeros((1, looks.shape[1])), np.cumsum(looks, axis=0, dtype=np.float64)])
    cuts, pieces = [], [(0, len(looks))]
    while pieces:
        first, end = pieces.pop()
        places = np.arange(first + options.min_length, end - options.min_length + 1)
        if not len(places):
            continue
        before = normalise_rows(sums[places] - sums[np.maximum(places - options.window, first)])
        after = normalise_rows(sums[np.minimum(places + options.window, end)] - sums[places])
        distance = 1 - np.einsum("nd,nd->n", before, after)
        farthest = int(distance.argmax())
        if calibration.different(distance[farthest]) >= options.different:
            cut = int(places[farthest])
            cuts.append(cut)
            pieces += [(first, cut), (cut, end)]
    return sorted(cuts)
