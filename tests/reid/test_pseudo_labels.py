"""Camera bias, clusters and purity against plain loops."""

import importlib.machinery
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.cluster import DBSCAN

from reid.jaccard import jaccard_graph
from reid.pseudo_labels import PseudoLabels, _dbscan, _numbered, cluster, purity, remove_camera_bias


def people(rng, num_people, images, dim=16, cameras=3, noise=0.15, bias=0.0):
    """Features of people seen by cameras that shift all of theirs by the same vector."""
    pids = np.repeat(np.arange(num_people), images)
    camids = np.tile(np.arange(images) % cameras, num_people)
    features = rng.normal(size=(num_people, dim))[pids] + noise * rng.normal(size=(len(pids), dim))
    return features + bias * rng.normal(size=(cameras, dim))[camids], pids, camids


def plain_removal(features, camids):
    result = np.zeros(features.shape)
    for camera in set(camids.tolist()):
        own = [i for i in range(len(features)) if camids[i] == camera]
        mean = sum(features[i] for i in own) / len(own)
        moments = 0.05 * len(own) * np.eye(features.shape[1])
        for i in own:
            moments += np.outer(features[i], features[i])
        for i in own:
            moved = np.linalg.inv(moments) @ (features[i] - mean)
            result[i] = moved / np.linalg.norm(moved)
    return result


def plain_dbscan(distances, eps, min_samples):
    """Ester et al.'s algorithm on a dense matrix; seeds in order of their index."""
    near = [np.flatnonzero(row <= np.float32(eps)).tolist() for row in distances]
    labels = [-1] * len(near)
    clusters = 0
    for seed in range(len(near)):
        if labels[seed] != -1 or len(near[seed]) < min_samples:
            continue
        stack = [seed]
        while stack:
            item = stack.pop()
            if labels[item] == -1:
                labels[item] = clusters
                if len(near[item]) >= min_samples:
                    stack += near[item]
        clusters += 1
    return labels


def test_camera_bias_against_a_plain_loop():
    features, _, camids = people(np.random.default_rng(0), 20, 6, bias=0.5)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cleaned = remove_camera_bias(features, 7 * camids - 3)
    assert cleaned.dtype == np.float32
    np.testing.assert_allclose(cleaned, plain_removal(features, camids), atol=1e-5)


def test_an_only_image_of_a_camera_has_no_direction_left():
    features = np.random.default_rng(1).normal(size=(5, 4))
    cleaned = remove_camera_bias(features, [0, 1, 1, 2, 1])
    assert [bool(row.any()) for row in cleaned] == [False, True, True, False, True]


def test_removal_brings_the_cameras_together():
    features, pids, camids = people(np.random.default_rng(2), 60, 6, bias=2.0)
    labels = cluster(features, camids)
    biased = cluster(features, camids, camera_bias=False)
    assert labels.num_clusters == 60 and purity(labels.labels, pids) == 1
    assert purity(biased.labels, camids) > purity(labels.labels, camids)


def test_clusters_of_clear_people():
    features, pids, camids = people(np.random.default_rng(3), 30, 6)
    found = cluster(features, camids)
    assert isinstance(found, PseudoLabels) and found.labels.dtype == np.int64
    assert (found.num_clusters, found.num_outliers, found.min_samples) == (30, 0, 4)
    assert np.array_equal(found.labels, pids)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), eps=st.floats(0.05, 0.95), min_samples=st.integers(1, 12))
def test_dbscan_on_the_sparse_graph_against_a_plain_loop(seed, eps, min_samples):
    # Duplicates are explicit zeros in the graph, pairs with nothing in common are absent from it.
    rng = np.random.default_rng(seed)
    features = rng.choice([-0.5, 0.5], (rng.integers(1, 60), 5))
    for limit in (1.0, eps):
        graph = jaccard_graph(features, 6, 3, max_distance=limit)
        dense = np.ones(graph.shape, np.float32)
        entries = graph.tocoo()
        dense[entries.row, entries.col] = entries.data
        labels = _dbscan(graph, eps, min_samples, "scikit-learn")
        oracle = DBSCAN(eps=np.float32(eps), min_samples=min_samples, metric="precomputed").fit_predict(dense)
        assert labels.tolist() == oracle.tolist()
        # An image on the rim of two clusters goes to the first that reaches it, here as there.
        assert _numbered(labels).tolist() == _numbered(np.array(plain_dbscan(dense, eps, min_samples))).tolist()


def test_the_diagonal_counts_though_it_is_absent():
    alone = csr_matrix((3, 3), dtype=np.float32)
    assert _dbscan(alone, 0.5, 1, "scikit-learn").tolist() == [0, 1, 2]
    assert _dbscan(alone, 0.5, 2, "scikit-learn").tolist() == [-1, -1, -1]


def test_numbers_follow_the_first_image():
    assert _numbered(np.array([2, -1, 0, 2, 1])).tolist() == [0, -1, 1, 0, 2]


def test_options_act():
    features, _, camids = people(np.random.default_rng(4), 40, 5, dim=8, noise=0.5)
    base = cluster(features, camids)
    options = [{"eps": 0.3}, {"min_samples": 2}, {"k1": 6}, {"k2": 1}, {"camera_bias": False}]
    for option in options:
        assert not np.array_equal(base.labels, cluster(features, camids, **option).labels), option
    assert not np.array_equal(base.labels, cluster(features, None).labels)


def test_min_samples_follows_the_cameras():
    features, _, camids = people(np.random.default_rng(5), 20, 24, cameras=12)
    assert cluster(features, camids).min_samples == 10
    assert cluster(features, camids % 2).min_samples == 3
    assert cluster(features, None).min_samples == 2


def test_rows_without_direction_are_outliers():
    features, pids, camids = people(np.random.default_rng(6), 20, 6)
    features[3] = 0
    camids = camids.copy()
    camids[8], camids[20] = 90, 91  # only images of their cameras: zeros after the removal, but not alike
    found = cluster(features, camids, min_samples=3)
    assert np.flatnonzero(found.labels == -1).tolist() == [3, 8, 20]
    assert found.num_outliers == 3 and purity(found.labels, pids) == 1


def test_no_cluster_says_what_to_do():
    features = np.random.default_rng(7).normal(size=(30, 64))
    with pytest.raises(ValueError, match=r"all 30 images are outliers with eps 0.01 .* raise eps"):
        cluster(features, None, eps=0.01, min_samples=5)
    with pytest.raises(ValueError, match="all 4 images are outliers"):
        cluster(np.zeros((4, 3)), None)


def test_purity_against_a_loop():
    rng = np.random.default_rng(8)
    labels, pids = rng.integers(-1, 7, 200), rng.integers(0, 5, 200)
    right = sum(max(np.bincount(pids[labels == label])) for label in range(7))
    assert purity(labels, pids) == pytest.approx(right / np.count_nonzero(labels >= 0))
    assert purity([0, 0, 1, -1], [4, 4, 2, 9]) == 1
    with pytest.raises(ValueError, match="outliers only"):
        purity([-1, -1], [0, 1])
    with pytest.raises(ValueError, match=r"labels, pids: got shapes \(2,\) and \(3,\)"):
        purity([0, 0], [0, 1, 2])


def test_cuml_gets_the_dense_matrix(monkeypatch):
    features, _, camids = people(np.random.default_rng(9), 20, 6)
    with pytest.raises(ModuleNotFoundError, match="cuml is not installed"):
        cluster(features, camids, backend="cuml")
    seen = []

    class Dense:
        """Takes what cuML's class takes, and refuses sparse matrices as it does."""

        def __init__(self, *, eps, min_samples, metric, output_type):
            assert (metric, output_type) == ("precomputed", "numpy")
            self.model = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")

        def fit_predict(self, distances):
            assert distances.dtype == np.float32 and distances.flags.c_contiguous
            seen.append(distances)
            return (self.model.fit_predict(distances)).astype(np.int32)

    for name in ("cuml", "cuml.cluster"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.DBSCAN = Dense
        monkeypatch.setitem(sys.modules, name, module)
    base = cluster(features, camids, backend="scikit-learn")
    assert np.array_equal(base.labels, cluster(features, camids, backend="cuml").labels)
    assert seen[0].shape == (120, 120) and seen[0].max() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros(4)}, r"features, camids: got shapes \(4,\)"),
        ({"camids": np.zeros(3)}, r"features, camids: got shapes \(6, 6\) and \(3,\)"),
        ({"features": np.full((6, 6), np.nan)}, "features: got NaN"),
        ({"eps": 1.0}, "eps: got 1.0, allowed: above 0, below 1"),
        ({"eps": 0.0}, "eps: got 0.0"),
        ({"min_samples": 0}, "min_samples: got 0"),
        ({"k1": 0}, "k1: got 0"),
        ({"backend": "torch"}, "backend: got 'torch', allowed: auto, scikit-learn, cuml"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        cluster(**({"features": np.eye(6), "camids": np.arange(6) % 2} | change))
