"""Scores of each pair of cameras as a picture."""

import os

import numpy as np

from reid.breakdown import CameraPairs
from reid.canvas import INK, new_figure, save_figure

_LARGEST = 20  # cameras a side; beyond that the numbers cannot be read


def draw_camera_pairs(pairs: CameraPairs, path: str | os.PathLike[str]) -> None:
    """Draws mAP and Rank-1 of each pair of cameras; the first 20 of either side.

    Args:
        pairs: Scores.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When no pair has a score, or the suffix is unknown.
    """
    if not pairs.num_valid.any():
        raise ValueError("pairs: got none with a valid query, allowed: one or more")
    rows, columns = min(_LARGEST, len(pairs.query_cameras)), min(_LARGEST, len(pairs.gallery_cameras))
    figure, *both = new_figure(2 * (0.62 * columns + 2), max(2.6, 0.42 * rows + 1.3), 2)
    for axes, name, scores in zip(both, ("mAP", "Rank-1"), (pairs.mAP, pairs.rank1), strict=True):
        part = 100 * scores[:rows, :columns]
        # The scale spans what there is: differences between pairs are what is looked for.
        low, high = np.nanmin(part), np.nanmax(part)
        shown = axes.imshow(part, cmap="cividis", vmin=low, vmax=max(high, low + 1), aspect="auto")
        for (i, j), score in np.ndenumerate(part):
            pale = np.isnan(score) or score > low + 0.55 * (high - low)
            text = "–" if np.isnan(score) else f"{score:.0f}"
            axes.text(j, i, text, ha="center", va="center", fontsize=9, color="black" if pale else "white")
        axes.set_xticks(range(columns), [str(camera + 1) for camera in pairs.gallery_cameras[:columns]])
        axes.set_yticks(range(rows), [str(camera + 1) for camera in pairs.query_cameras[:rows]])
        axes.set_xlabel("camera of the gallery")
        axes.set_ylabel("camera of the queries")
        axes.set_title(f"{name} by pair of cameras  [%]", loc="left", fontsize=12, color=INK)
        axes.spines[:].set_visible(False)
        figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.02)
    save_figure(figure, path)
