"""Scores under damaged images as curves, one panel a corruption."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from reid.canvas import MARKERS, colour_and_style, finish, new_figure, save_figure
from reid.corruptions import CORRUPTIONS

_COLUMNS = 3


@dataclass(frozen=True)
class Curve:
    """Scores of one network under one corruption; ratios in 0..1.

    Attributes:
        strengths: The weakest first; 0, the images as they are, among them.
        mAP: One a strength.
        rank1: One a strength.
    """

    strengths: Sequence[float]
    mAP: Sequence[float]
    rank1: Sequence[float]

    def kept(self) -> float | None:
        """Returns the mean share of the undamaged mAP over all strengths above 0; None when that mAP is 0."""
        clean = self.mAP[list(self.strengths).index(0)]
        damaged = [value for strength, value in zip(self.strengths, self.mAP, strict=True) if strength > 0]
        return float(np.mean(damaged)) / clean if clean > 0 and damaged else None


def draw_robustness(curves: Mapping[str, Mapping[str, Curve]], path: str | os.PathLike[str]) -> None:
    """Draws mAP over the strength of each corruption, and what share of it is kept on average.

    Args:
        curves: Network to corruption to curve; the same corruptions for all networks.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When there is no curve, corruptions differ between networks, or the suffix is unknown.
    """
    if not curves or not all(curves.values()):
        raise ValueError("curves: got none, allowed: one network or more, each with one corruption or more")
    names = list(next(iter(curves.values())))
    if any(list(own) != names for own in curves.values()):
        raise ValueError(f"curves: got different corruptions, allowed: {', '.join(names)} for every network")
    rows = -(-(len(names) + 1) // _COLUMNS)
    figure, *panels = new_figure(13.5, 3.9 * rows, _COLUMNS, rows)
    for axes, name in zip(panels, names, strict=False):
        for number, (network, own) in enumerate(curves.items()):
            colour, style = colour_and_style(number)
            marker = MARKERS[number % len(MARKERS)]
            values = 100 * np.asarray(own[name].mAP)
            axes.plot(own[name].strengths, values, style, color=colour, marker=marker, linewidth=2, label=network)
        axes.set_ylim(bottom=0)
        finish(axes, name.replace("_", " "), CORRUPTIONS[name].unit, "mAP  [%]")
    panels[0].legend(fontsize=8, facecolor="white", edgecolor="none", framealpha=0.85)
    _draw_kept(panels[len(names)], curves, names)
    for axes in panels[len(names) + 1 :]:
        axes.set_axis_off()
    save_figure(figure, path)


def _draw_kept(axes: Axes, curves: Mapping[str, Mapping[str, Curve]], names: Sequence[str]) -> None:
    height = 0.8 / len(curves)
    for number, (network, own) in enumerate(curves.items()):
        places = np.arange(len(names)) - 0.4 + (number + 0.5) * height
        shares = [100 * (own[name].kept() or 0) for name in names]
        axes.barh(places, shares, 0.9 * height, color=colour_and_style(number)[0], label=network)
        for place, share in zip(places, shares, strict=True):
            axes.text(share + 1, place, f"{share:.0f}", va="center", fontsize=8)
    finish(axes, "mAP kept, mean over the strengths", "share of the undamaged mAP  [%]", "")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
