"""CUHK03's old protocol (Li et al., CVPR 2014): one gallery image a person, drawn again and again."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.metrics import RankResult, evaluate_rank


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
    """Scores the CMC with one random gallery image of each identity, averaged over draws.

    For each query the gallery items of the same pid and camera are taken out first, then one item of each identity is
    drawn among the rest, `repeats` times, for every query anew. Equal distances rank by gallery index. As in the common
    implementations the draws concern the CMC alone: average precision is over all gallery items. The 767/700 protocol
    does not draw: it is `reid.metrics.evaluate_rank`.

    Args:
        distmat: (Q, G), smaller is nearer, no NaN.
        q_pids: Integers (Q,).
        g_pids: Integers (G,).
        q_camids: Integers (Q,).
        g_camids: Integers (G,).
        repeats: Draws a query, 1 or more.
        seed: Of the draws.
        max_rank: Length of the CMC.

    Returns:
        The sampled CMC float64 (max_rank,) over the valid queries, and the result without sampling, whose mAP goes with
        it.

    Raises:
        ValueError: When repeats < 1, or for a reason that `evaluate_rank` names.
    """
    if repeats < 1:
        raise ValueError(f"repeats: got {repeats}, allowed: 1 or more")
    result = evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids, max_rank)
    matrix, people, cameras = np.asarray(distmat), np.asarray(g_pids), np.asarray(g_camids)
    random = np.random.default_rng(seed)
    hits = np.zeros(max_rank)
    for q in np.flatnonzero(result.first_match):
        pid, camid = np.asarray(q_pids)[q], np.asarray(q_camids)[q]
        candidates = np.flatnonzero((people != pid) | (cameras != camid))
        order = candidates[np.argsort(people[candidates], kind="stable")]
        names, first, counts = np.unique(people[order], return_index=True, return_counts=True)
        draws = order[first + np.floor(random.random((repeats, len(names))) * counts).astype(np.int64)]  # (R, people)
        distances = matrix[q, draws]
        own = int(np.searchsorted(names, pid))
        match, index = distances[:, own, None], draws[:, own, None]
        before = ((distances < match) | ((distances == match) & (draws < index))).sum(axis=1)
        np.add.at(hits, before[before < max_rank], 1)
    return np.cumsum(hits) / (repeats * result.num_valid), result
