"""CUHK03's old protocol (Li et al., CVPR 2014): one gallery image a person, drawn again and again."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.metrics import RankResult, evaluate_rank


class SingleShot:
    """Collects the CMC with one random gallery image of each identity, from distances that come in blocks.

    For each query the gallery items of the same pid and camera are taken out first, then one item of each identity is
    drawn among the rest, `repeats` times, for every query anew. Equal distances rank by gallery index. As in the common
    implementations the draws concern the CMC alone: average precision is over all gallery items. The 767/700 protocol
    does not draw: it is `reid.metrics.evaluate_rank`.

    Args:
        q_pids: Integers (Q,).
        g_pids: Integers (G,).
        q_camids: Integers (Q,).
        g_camids: Integers (G,).
        repeats: Draws a query, 1 or more.
        seed: Of the draws.
        max_rank: Length of the CMC.

    Raises:
        ValueError: When repeats or max_rank is below 1.
    """

    def __init__(
        self,
        q_pids: ArrayLike,
        g_pids: ArrayLike,
        q_camids: ArrayLike,
        g_camids: ArrayLike,
        *,
        repeats: int = 10,
        seed: int = 0,
        max_rank: int = 50,
    ) -> None:
        for name, value in (("repeats", repeats), ("max_rank", max_rank)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, allowed: 1 or more")
        self._query = np.asarray(q_pids), np.asarray(q_camids)
        self._gallery = np.asarray(g_pids), np.asarray(g_camids)
        self._repeats = repeats
        self._random = np.random.default_rng(seed)
        self._hits = np.zeros(max_rank)
        self._valid = 0

    def add(self, start: int, distances: ArrayLike) -> None:
        """Draws for the queries from `start` on, each a row of distances (B, G), smaller is nearer, no NaN."""
        people, cameras = self._gallery
        for row, (pid, camid) in zip(
            np.asarray(distances), zip(*(values[start:] for values in self._query), strict=True), strict=False
        ):
            candidates = np.flatnonzero((people != pid) | (cameras != camid))
            order = candidates[np.argsort(people[candidates], kind="stable")]
            names, first, counts = np.unique(people[order], return_index=True, return_counts=True)
            own = int(np.searchsorted(names, pid))
            if own == len(names) or names[own] != pid:
                continue  # nothing to find: not a valid query
            self._valid += 1
            offsets = np.floor(self._random.random((self._repeats, len(names))) * counts).astype(np.int64)
            draws = order[first + offsets]  # (repeats, people)
            drawn = row[draws]
            match, index = drawn[:, own, None], draws[:, own, None]
            before = ((drawn < match) | ((drawn == match) & (draws < index))).sum(axis=1)
            np.add.at(self._hits, before[before < len(self._hits)], 1)

    def cmc(self) -> NDArray[np.float64]:
        """Returns the CMC float64 (max_rank,) over the valid queries so far.

        Raises:
            ValueError: When none was valid.
        """
        if not self._valid:
            raise ValueError("q_pids: got no query with a gallery item of its pid in another camera, allowed: some")
        return np.cumsum(self._hits) / (self._repeats * self._valid)


def evaluate_single_shot(
    distmat: ArrayLike,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    *,
    repeats: int = 10,
    seed: int = 0,
    max_rank: int = 50,
) -> tuple[NDArray[np.float64], RankResult]:
    """Scores a distance matrix by one random gallery image of each identity, averaged over draws; see `SingleShot`.

    Args:
        distmat: (Q, G), smaller is nearer, no NaN.
        q_pids: As in `SingleShot`, like all that follow.
        g_pids: See there.
        q_camids: See there.
        g_camids: See there.
        repeats: See there.
        seed: See there.
        max_rank: See there.

    Returns:
        The sampled CMC float64 (max_rank,) over the valid queries, and the result without sampling, whose mAP goes with
        it.

    Raises:
        ValueError: When repeats < 1, or for a reason that `evaluate_rank` names.
    """
    ids = (q_pids, g_pids, q_camids, g_camids)
    sampled = SingleShot(*ids, repeats=repeats, seed=seed, max_rank=max_rank)
    result = evaluate_rank(distmat, *ids, max_rank)
    sampled.add(0, distmat)
    return sampled.cmc(), result


def check_single_shot(g_pids: ArrayLike, distractor: int) -> None:
    """Refuses galleries for which the protocol says nothing new or nothing sensible.

    Args:
        g_pids: Integers (G,).
        distractor: The pid of people who are no query, who may be many.

    Raises:
        ValueError: When every person has one gallery image, so that there is nothing to draw, or when there are
            distractors, who would count as one person.
    """
    pids, counts = np.unique(np.asarray(g_pids), return_counts=True)
    if distractor in pids:
        raise ValueError(
            f"single_shot: got a gallery with distractors (pid {distractor}), allowed: one of known people, because "
            "one image a person is drawn"
        )
    if counts.max(initial=0) < 2:
        raise ValueError("single_shot: got a gallery of one image a person, allowed: one with a choice to draw from")
