"""Pseudo labels for unlabelled images: camera bias removed, clustered by DBSCAN on the sparse Jaccard graph."""

import importlib.util
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from reid.jaccard import jaccard_graph

Backend = Literal["auto", "scikit-learn", "cuml"]
BACKENDS = ("auto", "scikit-learn", "cuml")
OUTLIER = -1
# Weight of the identity matrix beside the mean second moment of a camera's features.
RIDGE = 0.05
# cuML takes a dense matrix only: 4 bytes a pair, 6.4 GB of GPU memory at this size.
_LARGEST_DENSE = 40_000


@dataclass(frozen=True)
class PseudoLabels:
    """Which cluster each image belongs to.

    Attributes:
        labels: int64 (N,), 0..num_clusters-1 in the order of each cluster's first image, or -1 for outliers.
        num_clusters: How many clusters there are, 1 or more.
        num_outliers: Images in no cluster.
        eps: The radius that was used.
        min_samples: The neighbours that were asked of a core image, itself included.
    """

    labels: NDArray[np.int64]
    num_clusters: int
    num_outliers: int
    eps: float
    min_samples: int


def remove_camera_bias(features: ArrayLike, camids: ArrayLike) -> NDArray[np.float32]:
    """Returns features in which the cameras look alike: per camera, whitened around the camera's mean, then L2.

    With the features X (n, D) of one camera, each x becomes (X^T X + 0.05 n I)^-1 (x - mean). X itself is taken as it
    comes, L2-normalised by the caller; the weight 0.05 assumes that. An image that equals its camera's mean, as the
    only image of a camera does, has no direction left and becomes a row of zeros.

    Args:
        features: (N, D), finite, turned into float64 for the computation.
        camids: int (N,), any numbers; those with the same number are one camera.

    Returns:
        float32 (N, D), rows of norm 1 or 0.

    Raises:
        ValueError: When shapes do not fit or a value is not finite.
    """
    rows, cameras = _checked(features, camids)
    result = np.zeros(rows.shape, np.float64)
    for camera in np.unique(cameras):
        own = np.flatnonzero(cameras == camera)
        x = rows[own]
        centred = x - x.mean(axis=0)
        # Noise around an exact zero must not become a direction.
        centred[np.linalg.norm(centred, axis=1) <= 1e-6 * np.linalg.norm(x, axis=1)] = 0
        moments = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
        result[own] = np.linalg.solve(moments, centred.T).T
    norms = np.linalg.norm(result, axis=1, keepdims=True)
    return (result / np.where(norms > 0, norms, 1)).astype(np.float32)


def cluster(
    features: ArrayLike,
    camids: ArrayLike | None,
    eps: float = 0.5,
    min_samples: int | None = None,
    *,
    k1: int = 20,
    k2: int = 6,
    camera_bias: bool = True,
    backend: Backend = "auto",
) -> PseudoLabels:
    """Clusters images: L2, camera bias removed, Jaccard graph, DBSCAN (Ester et al., KDD 1996).

    Args:
        features: (N, D), finite. Rows of zeros, also those that the removal of the camera bias leaves, are outliers.
        camids: int (N,); None when the cameras are unknown, which leaves the features as they are and counts as one.
        eps: Radius, a Jaccard distance above 0 and below 1: pairs with nothing in common have distance 1.
        min_samples: Images within the radius, itself included, that make an image the core of a cluster; None takes
            min(10, cameras + 1).
        k1: Neighbourhoods of the graph.
        k2: Neighbours whose weights are averaged there.
        camera_bias: Removes the camera bias; False leaves it in.
        backend: "scikit-learn" works on the sparse graph; "cuml" on the GPU with a dense copy, N x N float32; "auto"
            takes cuML when it is installed, finds a GPU and N is 40,000 at most. Images on the rim of two clusters may
            go to either.

    Raises:
        ValueError: When an option is out of its range, or when there is no cluster at all; the message says what to do.
        ModuleNotFoundError: When cuML is asked for and missing.
    """
    if not 0 < eps < 1:
        raise ValueError(f"eps: got {eps}, allowed: above 0, below 1")
    if min_samples is not None and min_samples < 1:
        raise ValueError(f"min_samples: got {min_samples}, allowed: 1 or more")
    rows, cameras = _checked(features, np.zeros(len(np.asarray(features)), np.int64) if camids is None else camids)
    if min_samples is None:
        min_samples = min(10, len(np.unique(cameras)) + 1)
    labels = np.full(len(rows), OUTLIER, np.int64)
    usable = np.flatnonzero(rows.any(axis=1))
    unit = rows[usable] / np.linalg.norm(rows[usable], axis=1, keepdims=True)
    if camera_bias and camids is not None and len(usable):
        unit = remove_camera_bias(unit, cameras[usable])
        left = unit.any(axis=1)
        usable, unit = usable[left], unit[left]
    if len(usable):
        graph = jaccard_graph(unit, k1, k2, max_distance=eps)
        labels[usable] = _numbered(_dbscan(graph, eps, min_samples, backend))
    num_clusters = int(labels.max(initial=OUTLIER)) + 1
    if not num_clusters:
        raise ValueError(
            f"clustering: all {len(rows)} images are outliers with eps {eps} and min_samples {min_samples}; raise eps "
            "(below 1), lower min_samples, or give more images a person"
        )
    return PseudoLabels(labels, num_clusters, int(np.count_nonzero(labels == OUTLIER)), eps, min_samples)


def purity(labels: ArrayLike, pids: ArrayLike) -> float:
    """Returns the share of clustered images whose identity is the most frequent one of their cluster.

    Args:
        labels: int (N,), -1 for outliers, which do not count.
        pids: int (N,), the true identities.

    Raises:
        ValueError: When the lengths differ or every image is an outlier.
    """
    labels, pids = np.asarray(labels), np.asarray(pids)
    if labels.shape != pids.shape or labels.ndim != 1:
        raise ValueError(f"labels, pids: got shapes {labels.shape} and {pids.shape}, allowed: (N,) both")
    clustered = labels != OUTLIER
    if not clustered.any():
        raise ValueError("labels: got outliers only, allowed: one cluster or more")
    pairs, counts = np.unique(np.stack([labels[clustered], pids[clustered]]), axis=1, return_counts=True)
    largest = np.zeros(int(pairs[0].max()) + 1, np.int64)
    np.maximum.at(largest, pairs[0], counts)
    return float(largest.sum() / clustered.sum())


def _checked(features: ArrayLike, camids: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rows, cameras = np.asarray(features, np.float64), np.asarray(camids)
    if rows.ndim != 2 or 0 in rows.shape or cameras.shape != rows.shape[:1]:
        raise ValueError(f"features, camids: got shapes {rows.shape} and {cameras.shape}, allowed: (N, D) and (N,)")
    if not np.isfinite(rows).all():
        raise ValueError("features: got NaN or infinity, allowed: finite numbers")
    return rows, cameras


def _numbered(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers clusters by their first image, so that every backend names them alike."""
    found, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    clusters = order[found[order] != OUTLIER]
    names = np.full(len(found), OUTLIER, np.int64)
    names[clusters] = np.arange(len(clusters))
    return names[inverse]


def check_backend(backend: str) -> None:
    """Refuses a backend that is unknown or missing, before there are features.

    Raises:
        ValueError: When it is unknown.
        ModuleNotFoundError: When cuML is asked for and missing.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: got {backend!r}, allowed: {', '.join(BACKENDS)}")
    if backend == "cuml" and importlib.util.find_spec("cuml") is None:
        raise ModuleNotFoundError("backend: cuml is not installed; requirements-gpu.txt names it, or take scikit-learn")


def _dbscan(graph: csr_matrix, eps: float, min_samples: int, backend: Backend) -> NDArray[np.int64]:
    check_backend(backend)
    if backend == "cuml" or (backend == "auto" and graph.shape[0] <= _LARGEST_DENSE and _has_cuml()):
        return _dbscan_on_gpu(graph, eps, min_samples)
    from sklearn.cluster import DBSCAN

    # scikit-learn reads absent entries of a sparse graph as farther than eps and explicit zeros as distances.
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(graph).astype(np.int64)


def _has_cuml() -> bool:
    if importlib.util.find_spec("cuml") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _dbscan_on_gpu(graph: csr_matrix, eps: float, min_samples: int) -> NDArray[np.int64]:
    from cuml.cluster import DBSCAN

    distances = np.ones(graph.shape, np.float32)
    entries = graph.tocoo()
    distances[entries.row, entries.col] = entries.data
    model = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed", output_type="numpy")
    return np.asarray(model.fit_predict(distances)).astype(np.int64)
