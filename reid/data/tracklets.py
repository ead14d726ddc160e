"""Tracklets: a person followed by one camera for a while, and which of its frames are looked at."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reid.data.base import DISTRACTOR_PID, Sample

_SKIPPED = "; they are skipped"


@dataclass(frozen=True, slots=True)
class Tracklet:
    """One person, seen by one camera, frame after frame.

    Attributes:
        frames: In the order of time, at least one. A box may reach beyond its image; it is clipped when it is cut.
        pid: The identity of all frames, 0 for distractors.
        camid: The camera of all frames, from 0.
        source: The dataset's name.

    Raises:
        ValueError: When there is no frame, or frames are of several identities or cameras.
    """

    frames: tuple[Sample, ...]
    pid: int
    camid: int
    source: str

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError("frames: got none, allowed: one or more")
        found = {(frame.pid, frame.camid) for frame in self.frames}
        if found != {(self.pid, self.camid)}:
            raise ValueError(
                f"frames: got (pid, camid) {sorted(found)}, allowed: ({self.pid}, {self.camid}) in all of "
                f"them; the first is {self.frames[0].path}"
            )

    @classmethod
    def of(cls, frames: Sequence[Sample]) -> "Tracklet":
        """Builds from frames that say themselves who, where and of which dataset they are."""
        return cls(tuple(frames), frames[0].pid, frames[0].camid, frames[0].source)


@dataclass(frozen=True)
class VideoDataset:
    """The three splits of a dataset of tracklets.

    The gallery holds the queries too, as MARS's own evaluation has it: each query leaves out what has its identity and
    its camera, itself included, and is itself a match for the queries of other cameras.

    Attributes:
        name: What the tracklets carry as their source.
        train: Training tracklets.
        query: Query tracklets.
        gallery: All test tracklets, those of distractors (pid 0) and queries included.
        num_junk: Tracklets with pid -1, dropped at reading.
        skipped: Files that are left out, with the reason.
        cropped: Whether the images hold one person each, so that nothing lies around a box.
        cameras_known: False when nobody is seen by two cameras. Then a query leaves out only itself.
        notes: What a reader of the scores should know, a sentence each.
    """

    name: str
    train: list[Tracklet]
    query: list[Tracklet]
    gallery: list[Tracklet]
    num_junk: int = 0
    skipped: tuple[str, ...] = ()
    cropped: bool = False
    cameras_known: bool = True
    notes: tuple[str, ...] = ()


def first_frames(tracklets: Iterable[Tracklet]) -> list[Sample]:
    """Returns one sample a tracklet, for all that looks at identities and cameras only."""
    return [tracklet.frames[0] for tracklet in tracklets]


def describe_tracklets(tracklets: Iterable[Tracklet]) -> dict[str, int]:
    """Returns the counts of a split: tracklets, frames, pids (distractors are one of them), cameras."""
    found = list(tracklets)
    return {
        "tracklets": len(found),
        "frames": sum(len(tracklet.frames) for tracklet in found),
        "pids": len({tracklet.pid for tracklet in found}),
        "cameras": len({tracklet.camid for tracklet in found}),
    }


def checked_tracklets(dataset: VideoDataset) -> VideoDataset:
    """Returns the dataset with a note on queries without a match.

    Raises:
        ValueError: When a split is empty, somebody is in training and testing both, or no query has a match.
    """
    for name in ("train", "query", "gallery"):
        if not getattr(dataset, name):
            raise ValueError(f"{dataset.name}: the {name} split holds no tracklet; lower the filters or add data")
    both = {tracklet.pid for tracklet in dataset.train} & {tracklet.pid for tracklet in dataset.gallery}
    if both - {DISTRACTOR_PID}:
        raise ValueError(f"{dataset.name}: identities {sorted(both)[:5]} are in training and testing both")
    cameras: dict[int, list[int]] = {}
    for tracklet in dataset.gallery:
        cameras.setdefault(tracklet.pid, []).append(tracklet.camid)
    if dataset.cameras_known:
        lonely = sum(not set(cameras.get(query.pid, ())) - {query.camid} for query in dataset.query)
    else:
        lonely = sum(len(cameras.get(query.pid, ())) < 2 for query in dataset.query)
    if lonely == len(dataset.query):
        raise ValueError(f"{dataset.name}: none of the {lonely} queries has a match in the gallery")
    notes = tuple(note for note in dataset.notes if not note.endswith(_SKIPPED))  # of a look before this one
    if lonely:
        notes += (f"{lonely} of {len(dataset.query)} queries have no match in the gallery{_SKIPPED}",)
    return dataclasses.replace(dataset, notes=notes)


def ranking_ids(dataset: VideoDataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns what `reid.metrics.evaluate_rank` asks for: pids of query and gallery, camids of query and gallery.

    When cameras are unknown every tracklet of the gallery counts as a camera of its own, so that a query leaves out
    itself alone.
    """
    q_camids = [query.camid for query in dataset.query]
    g_camids = [tracklet.camid for tracklet in dataset.gallery]
    if not dataset.cameras_known:
        place = {tracklet: index for index, tracklet in enumerate(dataset.gallery)}
        q_camids = [place[query] for query in dataset.query]
        g_camids = list(range(len(dataset.gallery)))
    q_pids = [query.pid for query in dataset.query]
    g_pids = [tracklet.pid for tracklet in dataset.gallery]
    return np.array(q_pids), np.array(g_pids), np.array(q_camids), np.array(g_camids)


def first_of_each_camera(tracklets: Sequence[Tracklet]) -> list[Tracklet]:
    """Returns the queries: the first tracklet of each identity in each camera, by (pid, camid); not of distractors."""
    first: dict[tuple[int, int], Tracklet] = {}
    for tracklet in tracklets:
        if tracklet.pid != DISTRACTOR_PID:
            first.setdefault((tracklet.pid, tracklet.camid), tracklet)
    return [first[key] for key in sorted(first)]


def choose_frames(length: int, count: int, random: np.random.Generator | None = None) -> np.ndarray:
    """Returns which frames of a tracklet are looked at, in the order of time.

    The tracklet is cut into `count` segments of equal length; each gives one frame: a random one (restricted random
    sampling, Li et al., arXiv 1803.09882), or the one in its middle. A tracklet that is shorter than `count` repeats
    frames evenly; a longer one never repeats any.

    Args:
        length: Frames of the tracklet, 1 or more.
        count: Frames to choose, 1 or more.
        random: Draws; None takes the middles.

    Returns:
        int64 (count,), ascending, in 0..length-1.

    Raises:
        ValueError: When a number is below 1.
    """
    if length < 1 or count < 1:
        raise ValueError(f"length, count: got {length}, {count}, allowed: 1 or more")
    bounds = np.arange(count + 1) * length // count
    low = bounds[:-1]
    size = np.maximum(bounds[1:] - low, 1)
    within = 0.5 if random is None else random.random(count)
    return low + (within * size).astype(np.int64)
