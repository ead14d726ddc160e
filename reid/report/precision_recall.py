"""Precision over recall, the curve whose area is mAP."""

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.canvas import colour_and_style, finish, new_figure, save_figure


def match_ranks(distances: NDArray[np.floating], matches: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the 1-based ranks of some items of one query, ascending; equal distances rank by index.

    Args:
        distances: (G,), smaller is nearer.
        matches: Indices of the items (N,), ascending.
    """
    ordered = np.sort(distances)
    keys = distances[matches]
    before, upto = np.searchsorted(ordered, keys, "left"), np.searchsorted(ordered, keys, "right")
    for place in np.flatnonzero(upto - before > 1):
        before[place] += np.count_nonzero(distances[: matches[place]] == keys[place])
    return np.sort(before + 1)


def precision_at_recall(
    distmat: ArrayLike,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    levels: int = 200,
) -> NDArray[np.float64]:
    """Returns the mean precision over all valid queries at evenly spaced recalls.

    At recall r a query has found ceil(r n) of its n matches; its precision is that at the rank of the last of them, not
    the largest of any higher recall (the interpolation of TREC). Averaged over r this is the protocol's AP, so that the
    area under the curve is mAP.

    Args:
        distmat: As in `reid.metrics.evaluate_rank`, like the ids.
        q_pids: See there.
        g_pids: See there.
        q_camids: See there.
        g_camids: See there.
        levels: Recalls, at (i + 0.5) / levels.

    Returns:
        float64 (levels,), in 0..1.

    Raises:
        ValueError: When there is less than one level, or no query has a match in another camera.
    """
    if levels < 1:
        raise ValueError(f"levels: got {levels}, allowed: 1 or more")
    matrix = np.asarray(distmat)
    queries, gallery = np.asarray(q_pids), np.asarray(g_pids)
    recalls = (np.arange(levels) + 0.5) / levels
    total, count = np.zeros(levels), 0
    for row, pid, camid in zip(matrix, queries, np.asarray(q_camids), strict=True):
        same = gallery == pid
        kept = ~(same & (np.asarray(g_camids) == camid))
        matches = np.flatnonzero(same[kept])
        if len(matches):
            precisions = np.arange(1, len(matches) + 1) / match_ranks(row[kept], matches)
            total += precisions[np.ceil(recalls * len(matches)).astype(np.int64) - 1]
            count += 1
    if count == 0:
        raise ValueError(f"q_pids: got {len(queries)} queries, none with a match in another camera")
    return total / count


def draw_precision_recall(curves: Mapping[str, ArrayLike], path: str | os.PathLike[str]) -> None:
    """Draws curves of `precision_at_recall`, their areas in the legend.

    Args:
        curves: Name to precisions (levels,), shares in 0..1.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When there is no curve, one is empty or leaves 0..1, or the suffix is unknown.
    """
    if not curves:
        raise ValueError("curves: got none, allowed: one or more")
    figure, axes = new_figure(7, 4.6)
    for number, (name, curve) in enumerate(curves.items()):
        values = np.asarray(curve, dtype=float)
        if values.ndim != 1 or len(values) == 0 or not np.all((values >= 0) & (values <= 1)):
            raise ValueError(f"curves[{name!r}]: got shape {values.shape}, allowed: one dimension, values in 0..1")
        recalls = 100 * (np.arange(len(values)) + 0.5) / len(values)
        colour, style = colour_and_style(number)
        label = f"{name}  (area {100 * values.mean():.1f} %)"
        axes.plot(recalls, 100 * values, style, color=colour, linewidth=2, label=label)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    title = "Precision over recall, mean of the queries"
    finish(axes, title, "recall: share of a person's images found  [%]", "precision  [%]", "best")
    save_figure(figure, path)
