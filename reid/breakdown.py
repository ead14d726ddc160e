"""Scores of groups of queries, of pairs of cameras, and of pairs of images by how far a person has turned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.annotations import annotation_of, bin_names
from reid.data.base import Sample
from reid.metrics import RankResult, evaluate_rank


@dataclass(frozen=True)
class GroupScores:
    """Scores of the queries of one group; ratios in 0..1, None where no query of the group is valid.

    Attributes:
        group: What its queries have in common.
        rank1: Rank-1.
        mAP: Mean average precision.
        num_valid: Valid queries of the group.
        num_skipped: Its other queries.
    """

    group: str
    rank1: float | None
    mAP: float | None
    num_valid: int
    num_skipped: int


def break_down(result: RankResult, groups: Sequence[str], order: Sequence[str] = ()) -> list[GroupScores]:
    """Scores each group of queries by itself, against the whole gallery.

    Args:
        result: Scores of each query.
        groups: The group of each query.
        order: Groups that come first, in this order; those without queries are left out. The rest follows sorted.

    Raises:
        ValueError: When there is not one group a query.
    """
    if len(groups) != len(result.ap):
        raise ValueError(f"groups: got {len(groups)}, allowed: {len(result.ap)}, one a query")
    names = np.array(groups)
    present = sorted(set(groups))
    rows = []
    for name in [*(name for name in order if name in present), *(name for name in present if name not in order)]:
        chosen = names == name
        valid = chosen & (result.first_match > 0)
        count = int(valid.sum())
        rank1 = float(np.mean(result.first_match[valid] == 1)) if count else None
        mean_ap = float(result.ap[valid].mean()) if count else None
        rows.append(GroupScores(name, rank1, mean_ap, count, int(chosen.sum()) - count))
    return rows


def camera_groups(samples: Sequence[Sample]) -> list[str]:
    """Returns "camera 1", ... of each sample, counted from 1 as datasets name them, zero-padded so that they sort."""
    width = len(str(max((sample.camid for sample in samples), default=0) + 1))
    return [f"camera {sample.camid + 1:0{width}d}" for sample in samples]


@dataclass(frozen=True)
class CameraPairs:
    """Scores of queries of one camera in the gallery of another; ratios in 0..1, NaN where no query is valid.

    Attributes:
        query_cameras: Sorted, counted from 0 (N,).
        gallery_cameras: Sorted, counted from 0 (M,).
        rank1: float64 (N, M).
        mAP: float64 (N, M).
        num_valid: int64 (N, M), valid queries.
    """

    query_cameras: list[int]
    gallery_cameras: list[int]
    rank1: NDArray[np.float64]
    mAP: NDArray[np.float64]
    num_valid: NDArray[np.int64]


def camera_pairs(
    distmat: ArrayLike, q_pids: ArrayLike, g_pids: ArrayLike, q_camids: ArrayLike, g_camids: ArrayLike
) -> CameraPairs:
    """Scores each pair of cameras by itself: only the queries of one, only the gallery of the other.

    Scores are higher than those of the whole gallery, which is larger; pairs are to be compared with each other. Within
    one camera no query is valid.

    Args:
        distmat: As in `reid.metrics.evaluate_rank`, like the ids.
        q_pids: See there.
        g_pids: See there.
        q_camids: See there.
        g_camids: See there.

    Raises:
        ValueError: When lengths do not fit or a distance is NaN.
    """
    matrix = np.asarray(distmat)
    queries, gallery = (np.asarray(q_pids), np.asarray(q_camids)), (np.asarray(g_pids), np.asarray(g_camids))
    for axis, (name, (pids, camids)) in enumerate((("q", queries), ("g", gallery))):
        if not pids.shape == camids.shape == matrix.shape[axis : axis + 1]:
            raise ValueError(
                f"{name}_pids, {name}_camids: got shapes {pids.shape} and {camids.shape}, "
                f"allowed: ({matrix.shape[axis]},) each, as distmat has it"
            )
    rows, columns = (sorted(set(camids.tolist())) for _, camids in (queries, gallery))
    scores = np.full((2, len(rows), len(columns)), np.nan)
    counts = np.zeros((len(rows), len(columns)), np.int64)
    for i, first in enumerate(rows):
        asked = np.flatnonzero(queries[1] == first)
        for j, second in enumerate(columns):
            shown = np.flatnonzero(gallery[1] == second)
            if first == second or not np.isin(queries[0][asked], gallery[0][shown]).any():
                continue
            ids = queries[0][asked], gallery[0][shown], queries[1][asked], gallery[1][shown]
            result = evaluate_rank(matrix[np.ix_(asked, shown)], *ids, max_rank=1)
            scores[:, i, j] = result.cmc[0], result.mAP
            counts[i, j] = result.num_valid
    return CameraPairs(rows, columns, scores[0], scores[1], counts)


@dataclass(frozen=True)
class TurnedPairs:
    """Pairs of one person in two cameras, whose viewing directions differ by so much.

    Attributes:
        group: The difference.
        count: Pairs.
        median: Median distance, None without pairs.
        missed: Share of pairs beyond the threshold, in 0..1, None without pairs.
    """

    group: str
    count: int
    median: float | None
    missed: float | None


_TURNS = (45.0, 90.0, 135.0)


def by_turn(
    distmat: ArrayLike,
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    annotations: dict[str, dict[str, Any]],
    threshold: float,
) -> list[TurnedPairs]:
    """Tells how a turn of the body changes the distance of one person's images in two cameras.

    Args:
        distmat: (Q, G), smaller is nearer.
        query: Q annotated images.
        gallery: G images; those of people who are no query need no annotation.
        annotations: As `read_annotations` gives them.
        threshold: Largest distance that is accepted.

    Returns:
        Four rows from "below 45" to "135 and more" degrees; none where no pair has both directions.

    Raises:
        ValueError: When an image of a pair has no annotation; the message names the file.
    """
    matrix = np.asarray(distmat)
    of_person: dict[int, list[int]] = {}
    for index, sample in enumerate(gallery):
        of_person.setdefault(sample.pid, []).append(index)
    turns, distances = [], []
    for q, sample in enumerate(query):
        first = annotation_of(sample, annotations).get("viewpoint")
        for g in of_person.get(sample.pid, []):
            if gallery[g].camid == sample.camid:
                continue
            second = annotation_of(gallery[g], annotations).get("viewpoint")
            if first is not None and second is not None:
                turns.append(abs((first - second + 180) % 360 - 180))
                distances.append(float(matrix[q, g]))
    if not turns:
        return []
    places, values = np.searchsorted(_TURNS, turns, "right"), np.array(distances)
    rows = []
    for place, name in enumerate(bin_names(_TURNS, ".0f")):
        found = values[places == place]
        some = len(found) > 0
        missed = float(np.mean(found > threshold)) if some else None
        rows.append(TurnedPairs(name, len(found), float(np.median(found)) if some else None, missed))
    return rows
