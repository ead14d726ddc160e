"""Distances of the same and of different people, and what a threshold on them does."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from reid.canvas import COLOURS, INK, LINE_STYLES, finish, new_figure, save_figure
from reid.open_set import NearestDistances, Verification

_BINS = 80
_SAME, _DIFFERENT = COLOURS[0], COLOURS[1]


def draw_distances(pairs: Verification, thresholds: Mapping[str, float], path: str | os.PathLike[str]) -> None:
    """Draws histograms of the distances of both kinds of pairs, each kind's bars adding up to 100 %.

    Args:
        pairs: Distances of pairs.
        thresholds: Name to a distance that is marked.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When the suffix is unknown.
    """
    figure, axes = new_figure(7.6, 4.4)
    low = min(pairs.genuine[0], pairs.impostor[0])
    high = max(pairs.genuine[-1], pairs.impostor[-1])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for name, values, colour, hatch in (
        ("same person, two cameras", pairs.genuine, _SAME, "//"),
        ("different people", pairs.impostor, _DIFFERENT, ""),
    ):
        shares = 100 * np.histogram(values, edges)[0] / len(values)
        label = f"{name}  ({len(values):,} pairs)"
        axes.stairs(shares, edges, fill=True, facecolor=colour, alpha=0.35, hatch=hatch, edgecolor=colour)
        axes.stairs(shares, edges, color=colour, linewidth=1.8, label=label)
    for number, (name, threshold) in enumerate(thresholds.items()):
        style = LINE_STYLES[number % len(LINE_STYLES)]
        axes.axvline(threshold, color=INK, linestyle=style, linewidth=1.4, label=f"{name}: {threshold:.4g}")
    axes.set_ylim(0, 1.32 * axes.get_ylim()[1])  # the legend stands above the bars
    finish(axes, "Distances", "distance", "share of the pairs  [%]", "best")
    save_figure(figure, path)


def draw_errors(pairs: Verification, nearest: NearestDistances, suggested: float, path: str | os.PathLike[str]) -> None:
    """Draws the ROC and the DET curve, and what each threshold does to known people and to strangers.

    On their logarithmic axes a rate of 0 stands at that of half a pair.

    Args:
        pairs: Distances of pairs.
        nearest: Distances of each query.
        suggested: The threshold that is marked.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When the suffix is unknown.
    """
    figure, roc, det, rates = new_figure(13.5, 4.3, 3)
    thresholds, fmr, tmr = pairs.roc()
    equal = pairs.equal_error()
    mark = {"color": INK, "marker": "*", "markersize": 13, "linestyle": "none"}
    at = _errors(pairs, suggested)
    roc.plot(100 * np.maximum(fmr, 0.5 / len(pairs.impostor)), 100 * tmr, color=_SAME, linewidth=2)
    roc.plot(at[0], 100 * (1 - pairs.fnmr(suggested)), label=f"suggested: {suggested:.4g}", **mark)
    roc.set_xscale("log")
    finish(roc, "ROC", "false match rate  [%]", "true match rate  [%]", "best")
    det.plot(*_errors(pairs, thresholds), color=_SAME, linewidth=2)
    rarely = 100 * float(pairs.fmr(suggested)), 100 * float(pairs.fnmr(suggested))
    det.plot(*at, label=f"suggested: FMR {rarely[0]:.2g} %, FNMR {rarely[1]:.2g} %", **mark)
    both = f"equal error: {100 * equal[1]:.2g} %"
    det.plot(*_errors(pairs, equal[0]), "o", color=_DIFFERENT, markersize=8, label=both)
    det.set_xscale("log")
    det.set_yscale("log")
    finish(det, "DET", "false match rate  [%]", "false non-match rate  [%]", "best")
    for axes, sides in ((roc, "x"), (det, "xy")):
        for side in sides:
            getattr(axes, f"{side}axis").set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _draw_rates(rates, nearest, suggested)
    save_figure(figure, path)


def _errors(pairs: Verification, thresholds: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns FMR and FNMR in percent; no error at all is drawn as half a pair, which a logarithm can show."""
    fmr = np.maximum(pairs.fmr(thresholds), 0.5 / len(pairs.impostor))
    return 100 * fmr, 100 * np.maximum(pairs.fnmr(thresholds), 0.5 / len(pairs.genuine))


def _draw_rates(axes: Axes, nearest: NearestDistances, suggested: float) -> None:
    own = nearest.own[np.isfinite(nearest.own)]
    seen = np.concatenate([own, nearest.other[np.isfinite(nearest.other)]])
    thresholds = np.linspace(seen.min(), seen.max(), 150)
    rates = [nearest.rates(threshold) for threshold in thresholds]
    for number, (name, key) in enumerate(
        (
            ("known: right name", "known_identified"),
            ("known: wrong name", "known_mistaken"),
            ("stranger: called unknown", "unknown_rejected"),
        )
    ):
        values = [100 * getattr(rate, key) for rate in rates]
        axes.plot(thresholds, values, LINE_STYLES[number], color=COLOURS[number], linewidth=2, label=name)
    axes.axvline(suggested, color=INK, linewidth=1.2)
    finish(axes, "Queries, by the threshold", "threshold on the nearest item's distance", "queries  [%]", "best")
