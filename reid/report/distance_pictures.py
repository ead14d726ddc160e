"""Distances of the same and of different people, and what a threshold on them does."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

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
    finish(axes, "Distances", "distance", "share of the pairs  [%]", "best")
    save_figure(figure, path)


def draw_errors(pairs: Verification, nearest: NearestDistances, suggested: float, path: str | os.PathLike[str]) -> None:
    """Draws the ROC and the DET curve, and what each threshold does to known people and to strangers.

    Args:
        pairs: Distances of pairs.
        nearest: Distances of each query.
        suggested: The threshold that is marked.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When the suffix is unknown.
    """
    figure, roc, det, rates = new_figure(13.5, 4.3, 3)
    _, fmr, tmr = pairs.roc()
    mark = {"color": INK, "marker": "*", "markersize": 13, "linestyle": "none"}
    at = 100 * float(pairs.fmr(suggested)), 100 * float(pairs.fnmr(suggested))
    equal = 100 * pairs.equal_error()[1]
    roc.plot(100 * fmr, 100 * tmr, color=_SAME, linewidth=2)
    roc.plot(at[0], 100 - at[1], label=f"suggested: {suggested:.4g}", **mark)
    roc.set_xscale("log")
    finish(roc, "ROC", "false match rate  [%]", "true match rate  [%]", "best")
    shown = (fmr > 0) & (tmr < 1)
    det.plot(100 * fmr[shown], 100 * (1 - tmr[shown]), color=_SAME, linewidth=2)
    det.plot(*at, label=f"suggested: FMR {at[0]:.2g} %, FNMR {at[1]:.2g} %", **mark)
    det.plot(equal, equal, "o", color=_DIFFERENT, markersize=8, label=f"equal error: {equal:.2g} %")
    det.set_xscale("log")
    det.set_yscale("log")
    finish(det, "DET", "false match rate  [%]", "false non-match rate  [%]", "best")
    for axes, sides in ((roc, "x"), (det, "xy")):
        for side in sides:
            getattr(axes, f"{side}axis").set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _draw_rates(rates, nearest, suggested)
    save_figure(figure, path)


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
