"""Who is taken for whom: the identities that are mixed up most, as a matrix and as pictures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from reid.canvas import INK, QUERY, WRONG, new_figure, save_figure
from reid.data.base import DISTRACTOR_PID, Sample
from reid.data.crops import load_crop
from reid.thumbnail_sheet import ThumbnailSheet


@dataclass(frozen=True)
class Pair:
    """Two people who are mixed up.

    Attributes:
        pid: Of the queries.
        other: Who takes places of theirs.
        share: Of the places, in 0..1, mean over the queries of `pid`.
        query: The query that `other` comes nearest to, its index.
        nearest: That gallery item of `other`, its index.
    """

    pid: int
    other: int
    share: float
    query: int
    nearest: int


@dataclass(frozen=True)
class Confusion:
    """Shares of the first R places of each person's queries, R being the number of a query's matches.

    The person's own share is the R-precision; with a perfect ranking it is 1 and nobody is confused.

    Attributes:
        pids: The most confused people (N,).
        shares: float64 (N, N + 1), whose places (row) go to whom (column); the last column is everybody else. Rows
            add up to 1.
        pairs: The most confused pairs, the largest share first, each pair once.
    """

    pids: list[int]
    shares: NDArray[np.float64]
    pairs: list[Pair]


def most_confused(
    distmat: ArrayLike,
    q_pids: ArrayLike,
    g_pids: ArrayLike,
    q_camids: ArrayLike,
    g_camids: ArrayLike,
    people: int = 12,
    pairs: int = 6,
) -> Confusion:
    """Finds the people who are mixed up most.

    Args:
        distmat: As in `reid.metrics.evaluate_rank`, like the ids.
        q_pids: See there.
        g_pids: See there.
        q_camids: See there.
        g_camids: See there.
        people: Of the matrix, at most; fewer when fewer are confused. 2 or more.
        pairs: At most.

    Raises:
        ValueError: When `people` is below 2 or `pairs` below 1.
    """
    for name, value, least in (("people", people, 2), ("pairs", pairs, 1)):
        if value < least:
            raise ValueError(f"{name}: got {value}, allowed: {least} or more")
    matrix = np.asarray(distmat)
    ids = [np.asarray(values) for values in (q_pids, g_pids, q_camids, g_camids)]
    shares, nearest = _shares(matrix, *ids)
    mixed = [(share, pid, other) for pid, row in shares.items() for other, share in row.items() if other != pid]
    mixed = [item for item in mixed if item[2] != DISTRACTOR_PID and item[0] > 0]
    # Of equal shares the smaller numbers come first, on every machine.
    mixed.sort(key=lambda item: (-item[0], item[1], item[2]))
    chosen: list[int] = []
    found: dict[frozenset[int], Pair] = {}
    for share, pid, other in mixed:
        if len(found) < pairs and frozenset((pid, other)) not in found:
            query, item = nearest[pid, other]
            found[frozenset((pid, other))] = Pair(pid, other, share, query, item)
        new = [one for one in (pid, other) if one not in chosen]
        if len(chosen) + len(new) <= people:
            chosen += new
    rows = [pid for pid in chosen if pid in shares]
    columns = [[shares[pid].get(other, 0.0) for other in rows] for pid in rows]
    table = np.array(columns).reshape(len(rows), len(rows))
    return Confusion(rows, np.column_stack([table, 1 - table.sum(axis=1)]), list(found.values()))


def _shares(
    matrix: NDArray[np.floating],
    q_pids: NDArray[np.integer],
    g_pids: NDArray[np.integer],
    q_camids: NDArray[np.integer],
    g_camids: NDArray[np.integer],
) -> tuple[dict[int, dict[int, float]], dict[tuple[int, int], tuple[int, int]]]:
    """Returns person -> whoever takes places -> share; and the nearest (query, gallery item) of such two."""
    shares: dict[int, dict[int, float]] = {}
    nearest: dict[tuple[int, int], tuple[int, int]] = {}
    queries: dict[int, int] = {}
    for q, (row, pid, camid) in enumerate(zip(matrix, q_pids.tolist(), q_camids.tolist(), strict=True)):
        kept = np.flatnonzero((g_pids != pid) | (g_camids != camid))
        count = int(np.count_nonzero(g_pids[kept] == pid))
        if count == 0:
            continue
        queries[pid] = queries.get(pid, 0) + 1
        # Ties at the border are cut by index, as everywhere: a stable sort of those up to it.
        border = np.partition(row[kept], count - 1)[count - 1]
        near = kept[row[kept] <= border]
        first = near[np.argsort(row[near], kind="stable")[:count]]
        own = shares.setdefault(pid, {})
        for item in first.tolist():
            other = int(g_pids[item])
            own[other] = own.get(other, 0.0) + 1 / count
            best = nearest.get((pid, other))
            if best is None or row[item] < matrix[best]:
                nearest[pid, other] = (q, item)
    return (
        {pid: {other: value / queries[pid] for other, value in row.items()} for pid, row in shares.items()},
        nearest,
    )


def draw_confusion(
    confusion: Confusion, query: Sequence[Sample], path: str | os.PathLike[str], size: tuple[int, int] = (36, 72)
) -> None:
    """Draws the matrix, each person with a query of theirs at the left.

    Args:
        confusion: One person or more.
        query: All queries.
        path: The picture, .png or .jpg.
        size: Width and height of a crop, pixels.

    Raises:
        ValueError: When nobody is confused, or the suffix is unknown.
        FileNotFoundError: When an image is missing.
    """
    people = len(confusion.pids)
    if people == 0:
        raise ValueError("confusion: got nobody, allowed: one person or more")
    figure, axes = new_figure(max(6.5, 0.72 * people + 2.6), max(3.0, 0.62 * people + 1.4))
    axes.imshow(100 * confusion.shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (i, j), share in np.ndenumerate(confusion.shares):
        if share >= 0.005:
            colour = "white" if share > 0.55 else INK
            axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    labels = [str(pid) for pid in confusion.pids]
    axes.set_xticks(range(people + 1), [*labels, "others"], rotation=60 if people > 8 else 0)
    axes.set_yticks(range(people), labels)
    axes.tick_params(axis="y", pad=34)
    for place, pid in enumerate(confusion.pids):
        sample = next(sample for sample in query if sample.pid == pid)
        _thumbnail(axes, sample, place, size)
    axes.set_title("Whose places go to whom  [%]", loc="left", fontsize=12, color=INK)
    axes.set_xlabel("id that takes the places")
    axes.set_ylabel("id of the queries")
    axes.spines[:].set_visible(False)
    save_figure(figure, path)


def _thumbnail(axes: Axes, sample: Sample, row: int, size: tuple[int, int]) -> None:
    height = 1 / len(axes.get_yticks())
    box = axes.inset_axes((-0.065, 1 - (row + 0.96) * height, 0.06, 0.92 * height))
    box.imshow(np.asarray(Image.fromarray(load_crop(sample)).resize(size, Image.Resampling.LANCZOS)))
    box.set_axis_off()


def draw_confused_pairs(
    confusion: Confusion,
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    path: str | os.PathLike[str],
    images: int = 3,
) -> None:
    """Draws the pairs side by side: on the left one person, on the right the one who is taken for them.

    The first image on the left is a query, the first on the right the gallery item that is nearest to it.

    Args:
        confusion: One pair or more.
        query: All queries.
        gallery: The whole gallery.
        path: The picture, .png or .jpg.
        images: Of each person, 1 or more.

    Raises:
        ValueError: When there is no pair, or the suffix is unknown.
        FileNotFoundError: When an image is missing.
    """
    if not confusion.pairs:
        raise ValueError("confusion: got no pair, allowed: one or more")
    sheet = ThumbnailSheet(len(confusion.pairs), 2 * images, "Mixed up most: left and right are two people")
    for row, pair in enumerate(confusion.pairs):
        left = [query[pair.query], *_views(gallery, pair.pid, {query[pair.query].camid})]
        right = [gallery[pair.nearest], *_views(gallery, pair.other, {gallery[pair.nearest].camid})]
        sheet.note(row, f"{pair.pid}, {pair.other}\n{100 * pair.share:.0f} % of\ntheir places")
        for first, samples, colour, name in ((0, left, QUERY, "query"), (images, right, WRONG, "nearest")):
            for place, sample in enumerate(samples[:images]):
                title = name if place == 0 else f"camera {sample.camid + 1}"
                sheet.put(row, first + place, sample, colour, title)
    sheet.save(path)


def _views(gallery: Sequence[Sample], pid: int, seen: set[int]) -> list[Sample]:
    """Returns an image of a person from each camera that was not seen yet."""
    views = []
    for sample in gallery:
        if sample.pid == pid and sample.camid not in seen:
            seen.add(sample.camid)
            views.append(sample)
    return views
