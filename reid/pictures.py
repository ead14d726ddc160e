"""Pictures for reports: CMC curves, training curves, ranked lists."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from reid.canvas import (
    COLOURS,
    INK,
    QUERY,
    RIGHT,
    WRONG,
    colour_and_style,
    finish,
    new_figure,
    save_figure,
)
from reid.data.base import Sample
from reid.metrics import evaluate_rank
from reid.thumbnail_sheet import ThumbnailSheet

RowKind = Literal["mixed", "best", "random", "worst"]
_KINDS = ("mixed", "best", "random", "worst")


def draw_cmc(curves: Mapping[str, ArrayLike], path: str | os.PathLike[str]) -> None:
    """Draws CMC curves into one picture, their Rank-1 in the legend.

    Args:
        curves: Name to CMC (max_rank,), shares in 0..1, first entry Rank-1.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When there is no curve, one is empty or leaves 0..1, or the suffix is unknown.
    """
    if not curves:
        raise ValueError("curves: got none, allowed: one or more")
    figure, axes = new_figure(7, 4.6)
    lowest = 1.0
    for number, (name, curve) in enumerate(curves.items()):
        cmc = np.asarray(curve, dtype=float)
        if cmc.ndim != 1 or len(cmc) == 0 or not np.all((cmc >= 0) & (cmc <= 1)):
            raise ValueError(f"curves[{name!r}]: got shape {cmc.shape}, allowed: one dimension, values in 0..1")
        label = f"{name}  (Rank-1 {100 * cmc[0]:.1f} %)"
        colour, style = colour_and_style(number)
        axes.plot(np.arange(1, len(cmc) + 1), 100 * cmc, style, label=label, color=colour, linewidth=2)
        lowest = min(lowest, cmc[0])
    longest = max(len(np.asarray(curve)) for curve in curves.values())
    axes.set_xticks([rank for rank in (1, 5, 10, 15, 20, 30, 40, 50) if rank <= longest])
    axes.set_xlim(1, max(longest, 2))
    axes.set_ylim(max(0, 100 * lowest - 8), 101)
    finish(axes, "Cumulative matching", "rank k", "queries with a match in the first k  [%]", "lower right")
    save_figure(figure, path)


def draw_loss_curve(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draws losses on the left; scores and the learning rate on the right.

    Args:
        rows: One an epoch: "epoch", "loss", "loss/<term>", "lr", "mAP", "Rank-1", each of which may be missing, as
            scores are in epochs without a test. Rows without "epoch" are counted from 1.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When no row holds a loss, or the suffix is unknown.
    """
    losses = sorted({key for row in rows for key in row if key == "loss" or key.startswith("loss/")})
    if not losses:
        raise ValueError(f"rows: got {len(rows)} without a loss, allowed: at least one with 'loss' or 'loss/<term>'")
    scores = [name for name in ("Rank-1", "mAP", "mINP") if any(name in row for row in rows)]
    has_rate = any("lr" in row for row in rows)
    figure, first, *others = new_figure(11 if scores or has_rate else 6, 4, 2 if scores or has_rate else 1)
    for number, name in enumerate(losses):
        style = {"color": INK, "linewidth": 2.4} if name == "loss" else {"color": COLOURS[number % len(COLOURS)]}
        first.plot(*_series(rows, name), label="total" if name == "loss" else name[5:], marker=".", **style)
    values = [row[name] for row in rows for name in losses if row.get(name, 0) > 0]
    if values and max(values) > 50 * min(values):
        first.set_yscale("log")  # the center loss is hundreds of times the others
    finish(first, "Training loss, each term before its weight", "epoch", "loss", "best")
    if others:
        _draw_scores(others[0], rows, scores, has_rate)
    for axes in (first, *others):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    save_figure(figure, path)


def draw_ranked_lists(
    distmat: ArrayLike,
    query_samples: Sequence[Sample],
    gallery_samples: Sequence[Sample],
    path: str | os.PathLike[str],
    top: int = 10,
    num_queries: int = 8,
    seed: int = 0,
    kind: RowKind = "mixed",
) -> None:
    """Draws one row a query: the query, then its nearest gallery items, right ones framed green, wrong ones orange.

    Gallery items of the query's own identity and camera are left out, as in the protocol, and so are queries without
    any match. Mixed sheets hold a quarter of the best queries by average precision, three eighths of the worst, and
    others drawn at random. Sheets of the best or the worst show as many identities as there are.

    Args:
        distmat: (num_query, num_gallery), smaller is nearer.
        query_samples: The rows' samples, whose files are read.
        gallery_samples: The columns' samples.
        path: The picture, .png or .jpg.
        top: Gallery items a row, 1 or more.
        num_queries: Rows, 1 or more; fewer when there are fewer valid queries.
        seed: Decides the random rows.
        kind: Which queries: "mixed", "best", "random" or "worst".

    Raises:
        ValueError: When lengths do not fit, an option is out of its range, no query is valid, or the suffix is unknown.
        FileNotFoundError: When an image is missing.
    """
    for name, value in (("top", top), ("num_queries", num_queries)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, allowed: 1 or more")
    if kind not in _KINDS:
        raise ValueError(f"kind: got {kind!r}, allowed: {', '.join(_KINDS)}")
    matrix = np.asarray(distmat)
    q_pids, q_camids = _ids(query_samples)
    g_pids, g_camids = _ids(gallery_samples)
    precisions = evaluate_rank(matrix, q_pids, g_pids, q_camids, g_camids).ap
    rows = _choose_rows(precisions, q_pids, num_queries, seed, kind)
    sheet = ThumbnailSheet(len(rows), top + 1, "Query, then its nearest (✓ green: same person, ✗ orange: another)")
    for row, (name, q) in enumerate(rows):
        sample = query_samples[q]
        sheet.note(row, f"{name}\nAP {100 * precisions[q]:.1f} %\nid {sample.pid}")
        sheet.put(row, 0, sample, QUERY, "query")
        kept = np.flatnonzero((g_pids != sample.pid) | (g_camids != sample.camid))
        ranked = kept[np.argsort(matrix[q, kept], kind="stable")[:top]]
        for rank, j in enumerate(ranked, start=1):  # short galleries leave places empty
            right = g_pids[j] == sample.pid
            sheet.put(row, rank, gallery_samples[j], RIGHT if right else WRONG, f"{rank} {'✓' if right else '✗'}")
    sheet.save(path)


def _choose_rows(
    precisions: NDArray[np.float64], pids: NDArray[np.int64], count: int, seed: int, kind: RowKind
) -> list[tuple[str, int]]:
    order = np.flatnonzero(~np.isnan(precisions))
    order = order[np.argsort(-precisions[order], kind="stable")]
    count = min(count, len(order))
    if kind == "mixed":
        num_best, num_worst = max(1, count // 4), 3 * count // 8
        first_worst = len(order) - num_worst
        drawn = _drawn(order[num_best:first_worst], count - num_best - num_worst, seed)
        groups = {"best": order[:num_best], "random": drawn, "worst": order[first_worst:]}
    elif kind == "random":
        groups = {kind: _drawn(order, count, seed)}
    else:
        groups = {kind: _identities_first(order if kind == "best" else order[::-1], pids)[:count]}
    return [(name, int(q)) for name, queries in groups.items() for q in queries]


def _drawn(queries: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    return queries[np.sort(np.random.default_rng(seed).choice(len(queries), count, replace=False))]


def _identities_first(queries: NDArray[np.int64], pids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Puts the first query of each identity before all others, both in their order."""
    firsts = np.sort(np.unique(pids[queries], return_index=True)[1])
    return np.concatenate([queries[firsts], np.delete(queries, firsts)])


def _ids(samples: Sequence[Sample]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pids = np.array([sample.pid for sample in samples], dtype=np.int64)
    return pids, np.array([sample.camid for sample in samples], dtype=np.int64)


def _draw_scores(axes: Axes, rows: Sequence[Mapping[str, Any]], scores: list[str], has_rate: bool) -> None:
    for number, name in enumerate(scores):
        epochs, values = _series(rows, name)
        axes.plot(epochs, 100 * values, label=name, marker="o", markersize=4, color=COLOURS[number], linewidth=2)
    if scores:
        finish(axes, "Test scores and learning rate" if has_rate else "Test scores", "epoch", "%", "lower right")
    else:
        axes.set_yticks([])
        finish(axes, "Learning rate", "epoch", "", None)
    if has_rate:
        twin = axes.twinx()
        twin.plot(*_series(rows, "lr"), linestyle="--", color="#9ca3af", linewidth=1.2)
        twin.set_ylabel("learning rate", color="#6b7280")
        twin.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
        twin.spines["top"].set_visible(False)
        axes.set_zorder(twin.get_zorder() + 1)  # the legend above the dashed line
        axes.patch.set_visible(False)


def _series(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the epochs that have the value, and the values."""
    points = [(row.get("epoch", index), row[name]) for index, row in enumerate(rows, start=1) if name in row]
    epochs, values = np.array(points, dtype=float).T
    return epochs, values
