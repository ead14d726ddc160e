"""Pictures for reports: CMC curves, training curves, ranked lists."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from reid.data.base import Sample
from reid.data.crops import load_crop
from reid.files import atomic_path
from reid.metrics import evaluate_rank

SUFFIXES = (".png", ".jpg", ".jpeg")
COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2", "#ca8a04", "#4b5563")
RIGHT, WRONG, QUERY, INK = "#16a34a", "#dc2626", "#1f2937", "#374151"
_CROP = (64, 128)  # width and height of a thumbnail, pixels
_DPI = 110
_PNG_BYTES = 600_000


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
    figure, axes = _figure(7, 4.6)
    lowest = 1.0
    for number, (name, curve) in enumerate(curves.items()):
        cmc = np.asarray(curve, dtype=float)
        if cmc.ndim != 1 or len(cmc) == 0 or not np.all((cmc >= 0) & (cmc <= 1)):
            raise ValueError(f"curves[{name!r}]: got shape {cmc.shape}, allowed: one dimension, values in 0..1")
        label = f"{name}  (Rank-1 {100 * cmc[0]:.1f} %)"
        colour = COLOURS[number % len(COLOURS)]
        style = "-" if number < len(COLOURS) else "--"
        axes.plot(np.arange(1, len(cmc) + 1), 100 * cmc, style, label=label, color=colour, linewidth=2)
        lowest = min(lowest, cmc[0])
    longest = max(len(np.asarray(curve)) for curve in curves.values())
    axes.set_xticks([rank for rank in (1, 5, 10, 15, 20, 30, 40, 50) if rank <= longest])
    axes.set_xlim(1, max(longest, 2))
    axes.set_ylim(max(0, 100 * lowest - 8), 101)
    _finish(axes, "Cumulative matching", "rank k", "queries with a match in the first k  [%]", "lower right")
    _save(figure, path)


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
    figure, first, *others = _figure(11 if scores or has_rate else 6, 4, 2 if scores or has_rate else 1)
    for number, name in enumerate(losses):
        style = {"color": INK, "linewidth": 2.4} if name == "loss" else {"color": COLOURS[number % len(COLOURS)]}
        first.plot(*_series(rows, name), label="total" if name == "loss" else name[5:], marker=".", **style)
    values = [row[name] for row in rows for name in losses if row.get(name, 0) > 0]
    if values and max(values) > 50 * min(values):
        first.set_yscale("log")  # the center loss is hundreds of times the others
    _finish(first, "Training loss, each term before its weight", "epoch", "loss", "best")
    if others:
        _draw_scores(others[0], rows, scores, has_rate)
    for axes in (first, *others):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _save(figure, path)


def draw_ranked_lists(
    distmat: ArrayLike,
    query_samples: Sequence[Sample],
    gallery_samples: Sequence[Sample],
    path: str | os.PathLike[str],
    top: int = 10,
    num_queries: int = 8,
    seed: int = 0,
) -> None:
    """Draws one row a query: the query, then its nearest gallery items, right ones framed green, wrong ones red.

    Gallery items of the query's own identity and camera are left out, as in the protocol, and so are queries without
    any match. A quarter of the rows are the best queries by average precision, three eighths the worst, the rest drawn
    at random from the others.

    Args:
        distmat: (num_query, num_gallery), smaller is nearer.
        query_samples: The rows' samples, whose files are read.
        gallery_samples: The columns' samples.
        path: The picture, .png or .jpg.
        top: Gallery items a row, 1 or more.
        num_queries: Rows, 1 or more; fewer when there are fewer valid queries.
        seed: Decides the random rows.

    Raises:
        ValueError: When lengths do not fit, an option is below 1, no query is valid, or the suffix is unknown.
        FileNotFoundError: When an image is missing.
    """
    for name, value in (("top", top), ("num_queries", num_queries)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, allowed: 1 or more")
    matrix = np.asarray(distmat)
    q_pids, q_camids = _ids(query_samples)
    g_pids, g_camids = _ids(gallery_samples)
    precisions = evaluate_rank(matrix, q_pids, g_pids, q_camids, g_camids).ap
    rows = _choose_rows(precisions, num_queries, seed)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0.02, hspace=0.03)
    figure = Figure(figsize=(0.8 * (top + 2.2), 1.5 * len(rows) + 0.5), dpi=_DPI, layout=layout)
    figure.suptitle("Ranked lists: query, then its nearest (green: same person, red: another)", fontsize=11, color=INK)
    grid = figure.subplots(len(rows), top + 1, squeeze=False)
    for (kind, q), line in zip(rows, grid, strict=True):
        sample = query_samples[q]
        _draw_crop(line[0], sample, QUERY, "query")
        note = f"{kind}\nAP {100 * precisions[q]:.1f} %\nid {sample.pid}"
        line[0].set_ylabel(note, rotation=0, ha="right", va="center", fontsize=9, color=INK, labelpad=8)
        kept = np.flatnonzero((g_pids != sample.pid) | (g_camids != sample.camid))
        ranked = kept[np.argsort(matrix[q, kept], kind="stable")[:top]]
        for rank, (axes, j) in enumerate(zip(line[1:], ranked), start=1):  # short galleries leave places empty
            _draw_crop(axes, gallery_samples[j], RIGHT if g_pids[j] == sample.pid else WRONG, str(rank))
        for axes in line[1 + len(ranked) :]:
            axes.set_axis_off()
    _save(figure, path)


def _choose_rows(precisions: NDArray[np.float64], count: int, seed: int) -> list[tuple[str, int]]:
    order = np.flatnonzero(~np.isnan(precisions))
    order = order[np.argsort(-precisions[order], kind="stable")]
    count = min(count, len(order))
    num_best, num_worst = max(1, count // 4), 3 * count // 8
    best, rest = order[:num_best], order[num_best:]
    worst, rest = rest[len(rest) - num_worst :], rest[: len(rest) - num_worst]
    drawn = np.sort(np.random.default_rng(seed).choice(len(rest), count - num_best - num_worst, replace=False))
    groups = (("best", best), ("random", rest[drawn]), ("worst", worst))
    return [(kind, int(q)) for kind, queries in groups for q in queries]


def _ids(samples: Sequence[Sample]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pids = np.array([sample.pid for sample in samples], dtype=np.int64)
    return pids, np.array([sample.camid for sample in samples], dtype=np.int64)


def _draw_crop(axes: Axes, sample: Sample, colour: str, title: str) -> None:
    axes.imshow(np.asarray(Image.fromarray(load_crop(sample)).resize(_CROP, Image.Resampling.LANCZOS)))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=8, color=colour, pad=4)
    for spine in axes.spines.values():
        spine.set(edgecolor=colour, linewidth=3)


def _draw_scores(axes: Axes, rows: Sequence[Mapping[str, Any]], scores: list[str], has_rate: bool) -> None:
    for number, name in enumerate(scores):
        epochs, values = _series(rows, name)
        axes.plot(epochs, 100 * values, label=name, marker="o", markersize=4, color=COLOURS[number], linewidth=2)
    if scores:
        _finish(axes, "Test scores and learning rate" if has_rate else "Test scores", "epoch", "%", "lower right")
    else:
        axes.set_yticks([])
        _finish(axes, "Learning rate", "epoch", "", None)
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


def _figure(width: float, height: float, panels: int = 1) -> tuple[Any, ...]:
    # Figures of their own, not pyplot's: no global state, no window system, safe in threads.
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    return figure, *figure.subplots(1, panels, squeeze=False)[0]


def _finish(axes: Axes, title: str, x_label: str, y_label: str, legend: Any) -> None:
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(loc=legend, fontsize=9, facecolor="white", edgecolor="none", framealpha=0.85)


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"path: got {os.fspath(path)!r}, allowed: a name that ends in {', '.join(SUFFIXES)}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    image = Image.open(buffer).convert("RGB")
    with atomic_path(path) as temporary:
        if suffix == ".png":
            _save_png(image, temporary)
        else:
            image.save(temporary, format="JPEG", quality=88)


def _save_png(image: Image.Image, path: Path) -> None:
    # 256 colours without dithering are a third of the size of all colours, and hard to tell from them. Photographs with
    # much noise get fewer, so that a report with several sheets stays easy to send.
    for colours in (256, 96, 32):
        image.quantize(colours, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)
        if path.stat().st_size < _PNG_BYTES:
            break
