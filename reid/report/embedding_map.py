"""Embeddings in two dimensions: does each person form an island, or each camera?"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reid.canvas import COLOURS, MARKERS, colour_and_style, finish, new_figure, save_figure
from reid.data.base import DISTRACTOR_PID, Sample

METHODS = ("t-SNE", "UMAP")
_LARGEST_CAMERAS = 16  # more than these colours and marks cannot be told apart


@dataclass(frozen=True)
class MapPoints:
    """Which images are drawn.

    Attributes:
        indices: int64 (N,), into all samples.
        pids: int64 (N,), -1 where the image is background: of people who get no colour.
    """

    indices: NDArray[np.int64]
    pids: NDArray[np.int64]


def choose_points(samples: Sequence[Sample], most: int, identities: int, seed: int) -> MapPoints:
    """Draws people and others around them, so that a map of a large set still takes seconds.

    Half of the places at most are for people with colours, who have two images or more; distractors never get one.

    Args:
        samples: All images.
        most: Images in all, 2 or more.
        identities: People with colours, 1 or more.
        seed: Of the draws.

    Raises:
        ValueError: When a number is too small.
    """
    for name, value, least in (("most", most, 2), ("identities", identities, 1)):
        if value < least:
            raise ValueError(f"{name}: got {value}, allowed: {least} or more")
    random = np.random.default_rng(seed)
    pids = np.array([sample.pid for sample in samples], dtype=np.int64)
    known, counts = np.unique(pids[pids != DISTRACTOR_PID], return_counts=True)
    candidates = known[counts >= 2]
    chosen = np.sort(random.permutation(candidates)[:identities])
    each = max(2, most // 2 // max(1, len(chosen)))
    coloured = [np.sort(random.permutation(np.flatnonzero(pids == pid))[:each]) for pid in chosen]
    own = np.concatenate([*coloured, np.zeros(0, np.int64)])[:most]
    rest = np.flatnonzero(~np.isin(pids, chosen))
    rest = np.sort(random.permutation(rest)[: most - len(own)])
    return MapPoints(np.concatenate([own, rest]), np.concatenate([pids[own], np.full(len(rest), -1)]))


def umap_is_installed() -> bool:
    """Returns whether `import umap` would find something."""
    return importlib.util.find_spec("umap") is not None


def project(features: NDArray[np.float32], method: str, seed: int) -> NDArray[np.float64]:
    """Maps features to the plane.

    t-SNE (van der Maaten and Hinton, JMLR 2008) is scikit-learn's, after a PCA to 50 dimensions; UMAP (arXiv
    1802.03426) is that of umap-learn.

    Args:
        features: (N, D), N of 3 or more; rows are brought to norm 1.
        method: "t-SNE" or "UMAP".
        seed: Of the method's own draws.

    Returns:
        (N, 2).

    Raises:
        ValueError: When the method is unknown or not installed, or there are too few points.
    """
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}, allowed: {', '.join(METHODS)}")
    if len(features) < 3:
        raise ValueError(f"features: got {len(features)} points, allowed: 3 or more")
    rows = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    if method == "UMAP":
        if not umap_is_installed():
            raise ValueError("method: got 'UMAP', which is not installed; pip install umap-learn")
        import umap  # not among the requirements

        neighbours = min(15, len(rows) - 1)
        return np.asarray(
            umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(rows), dtype=float
        )
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    small = PCA(min(50, *rows.shape), random_state=seed).fit_transform(rows)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(small), dtype=float)


def draw_embedding_map(
    places: NDArray[np.float64],
    pids: NDArray[np.int64],
    camids: NDArray[np.int64],
    method: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws the plane twice, coloured by person and by camera.

    Args:
        places: (N, 2).
        pids: (N,), -1 for background.
        camids: (N,), counted from 0.
        method: For the title.
        path: The picture, .png or .jpg.

    Raises:
        ValueError: When lengths differ or the suffix is unknown.
    """
    if not len(places) == len(pids) == len(camids):
        raise ValueError(f"places, pids, camids: got {len(places)}, {len(pids)}, {len(camids)}, allowed: as many each")
    figure, people, cameras = new_figure(12.5, 5.6, 2)
    _scatter(people, places, pids, [pid for pid in np.unique(pids) if pid != -1], "id {}", 0)
    numbers, counts = np.unique(camids, return_counts=True)
    shown = np.sort(numbers[np.argsort(-counts, kind="stable")][:_LARGEST_CAMERAS])
    _scatter(cameras, places, camids, list(shown), "camera {}", 1)
    for axes, title in ((people, "coloured by person"), (cameras, "the same, coloured by camera")):
        finish(axes, f"{method}: {title}", "", "")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
    save_figure(figure, path)


def _scatter(
    axes: Axes, places: NDArray[np.float64], groups: NDArray[np.int64], names: Sequence[int], form: str, first: int
) -> None:
    rest = ~np.isin(groups, names)
    if rest.any():
        axes.scatter(places[rest, 0], places[rest, 1], s=9, color="#c4c9d1", label="others", linewidths=0)
    for number, name in enumerate(names):
        chosen = groups == name
        colour = colour_and_style(number)[0]
        marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
        style: dict[str, Any] = {"color": colour, "marker": marker, "edgecolors": "white", "linewidths": 0.4}
        axes.scatter(places[chosen, 0], places[chosen, 1], s=26, label=form.format(name + first), **style)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False, ncols=1 + len(names) // 20)
