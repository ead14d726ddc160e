import numpy as np
import pytest
from sklearn.decomposition import PCA

from reid.cosine_neighbours import most_similar, unit_rows
from reid.neighbour_centralisation import centralise_neighbours
from reid.post_processing import POST_PROCESSING, PostOptions, TestFeatures, average_views, post_process
from reid.principal_components import PrincipalComponents
from reid.pseudo_labels import remove_camera_bias
from reid.query_expansion import alpha_query_expansion, average_query_expansion, database_augmentation


def features(num: int, seed: int, dim: int = 12) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.integers(-2, 3, (num, dim)) + 1.5 * (np.arange(dim) < 4)).astype(np.float32)


def unit(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else vector


def plain_neighbours(row, columns, k, without=None):
    similarities = [float(np.dot(row, column)) for column in columns]
    ranked = sorted((j for j in range(len(columns)) if j != without), key=lambda j: (-similarities[j], j))
    return [(j, similarities[j]) for j in ranked[:k]]


def spread(num: int, seed: int, dim: int = 12) -> np.ndarray:
    """Without ties, so that the plain loop's float64 order is the float32 order."""
    return (np.random.default_rng(seed).normal(size=(num, dim)) + 0.4).astype(np.float32)


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.0), (5, 0.0), (5, 3.0), (99, 1.5)])
def test_query_expansion_is_the_plain_loop(k, alpha):
    query, gallery = spread(7, 0), spread(30, 1)
    expected = []
    columns = [unit(g) for g in gallery.astype(np.float64)]
    for row in query.astype(np.float64):
        total = unit(row).copy()
        for j, similarity in plain_neighbours(unit(row), columns, k):
            total += (similarity**alpha if similarity > 0 else 0.0) * columns[j]
        expected.append(unit(total))
    np.testing.assert_allclose(alpha_query_expansion(query, gallery, k, alpha), expected, atol=1e-5)
    if alpha == 0:
        np.testing.assert_allclose(average_query_expansion(query, gallery, k), expected, atol=1e-5)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_database_augmentation_is_the_plain_loop(k):
    gallery = spread(25, 2)
    rows = [unit(g) for g in gallery.astype(np.float64)]
    expected = []
    for i, row in enumerate(rows):
        total = row.copy()
        for j, similarity in plain_neighbours(row, rows, k, without=i):
            total += max(similarity, 0.0) ** 3 * rows[j]
        expected.append(unit(total))
    np.testing.assert_allclose(database_augmentation(gallery, k), expected, atol=1e-5)


@pytest.mark.parametrize(("k1", "k2"), [(2, 2), (1, 3), (3, 1), (40, 40)])
def test_centralisation_is_the_plain_loop(k1, k2):
    rows = [unit(f) for f in spread(20, 3).astype(np.float64)]
    near = [[j for j, _ in plain_neighbours(row, rows, max(k1, k2), without=i)] for i, row in enumerate(rows)]
    expected = [
        unit(rows[i] + sum((rows[j] for j in near[i][:k1] if i in near[j][:k2]), np.zeros(12))) for i in range(20)
    ]
    np.testing.assert_allclose(centralise_neighbours(spread(20, 3), k1, k2), expected, atol=1e-5)


def test_neighbours_never_hold_the_item_and_ties_rank_by_index():
    rows = unit_rows("features", np.repeat(features(3, 4), 4, axis=0))
    indices, similarities = most_similar(rows, rows, 3, exclude_self=True)
    for item, found in enumerate(indices):
        first = item // 4 * 4
        assert found.tolist() == [j for j in range(first, first + 4) if j != item]
    assert similarities == pytest.approx(1)


def test_one_item_has_no_neighbours():
    one = spread(1, 5)
    for result in (centralise_neighbours(one), database_augmentation(one)):
        np.testing.assert_allclose(result[0], unit(one[0]), atol=1e-6)


@pytest.mark.parametrize("whiten", [False, True])
def test_components_are_scikit_learns(whiten):
    fitted_on, others = spread(60, 6), spread(9, 7)
    oracle = PCA(5, whiten=whiten, svd_solver="full").fit([unit(row) for row in fitted_on.astype(np.float64)])
    projected = oracle.transform([unit(row) for row in others.astype(np.float64)])
    expected = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    found = PrincipalComponents.fit(fitted_on, 5, whiten).apply(others)
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-4)


def test_whitening_gives_each_direction_variance_one():
    rows = spread(80, 8)
    components = PrincipalComponents.fit(rows, 6, whiten=True)
    projected = (unit_rows("features", rows) - components.mean) @ components.directions
    np.testing.assert_allclose(np.cov(projected.T), np.eye(6), atol=1e-5)


def test_components_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="dimensions: got 13, allowed: 1 to 12"):
        PrincipalComponents.fit(spread(60, 0), 13)
    with pytest.raises(ValueError, match="allowed: 1 to 4"):
        PrincipalComponents.fit(spread(5, 0), 5)
    with pytest.raises(ValueError, match="2 have variance"):  # three directions in space span a plane
        PrincipalComponents.fit(np.tile(np.eye(3, 12), (5, 1)), 3, whiten=True)
    with pytest.raises(ValueError, match="allowed: 12, as fitted"):
        PrincipalComponents.fit(spread(60, 0), 3).apply(spread(4, 0, dim=7))


@pytest.mark.parametrize("name", POST_PROCESSING)
def test_every_step_changes_features_and_keeps_shapes(name):
    data = TestFeatures(spread(8, 0), spread(30, 1), np.arange(8) % 2, np.arange(30) % 2, spread(40, 2))
    before_query, before_gallery = data.query.copy(), data.gallery.copy()
    result, protocol = post_process([name], data, PostOptions(dimensions=5))
    assert protocol == POST_PROCESSING[name].protocol
    assert (result.query.shape[0], result.gallery.shape[0]) == (8, 30)
    assert np.isfinite(result.query).all() and np.isfinite(result.gallery).all()
    changed = [
        np.shape(new) != np.shape(old) or not np.allclose(new, unit_rows("features", old), atol=1e-4)
        for new, old in ((result.query, before_query), (result.gallery, before_gallery))
    ]
    assert any(changed)
    assert (data.query == before_query).all() and (data.gallery == before_gallery).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("aqe", {"query_k": 2}),
        ("alpha_qe", {"query_k": 2}),
        ("alpha_qe", {"alpha": 1.0}),
        ("dba", {"gallery_k": 2}),
        ("dba", {"alpha": 1.0}),
        ("nfc", {"nfc_k1": 6}),
        ("nfc", {"nfc_k2": 6}),
        ("pca", {"dimensions": 4}),
        ("gallery_whitening", {"dimensions": 4}),
    ],
)
def test_every_option_acts(name, options):
    data = TestFeatures(spread(8, 0), spread(30, 1), training=spread(40, 2))
    base = {"dimensions": 5}
    first, _ = post_process([name], data, PostOptions(**base))
    second, _ = post_process([name], data, PostOptions(**base | options))
    assert first.gallery.shape != second.gallery.shape or not (
        np.allclose(first.query, second.query) and np.allclose(first.gallery, second.gallery)
    )


def test_inductive_means_that_other_test_images_do_not_matter():
    data = TestFeatures(spread(8, 0), spread(30, 1), np.arange(8) % 2, np.arange(30) % 2, spread(40, 2))
    part = TestFeatures(data.query[:1], data.gallery[:20], np.zeros(1, int), np.arange(20) % 2, data.training)
    for name, step in POST_PROCESSING.items():
        whole, _ = post_process([name], data, PostOptions(dimensions=5))
        less, _ = post_process([name], part, PostOptions(dimensions=5))
        same = np.allclose(whole.query[:1] @ whole.gallery[:20].T, less.query @ less.gallery.T, atol=1e-5)
        assert same == (step.protocol == "inductive"), name


def test_steps_follow_each_other_and_one_transductive_step_is_enough():
    data = TestFeatures(spread(8, 0), spread(30, 1), training=spread(40, 2))
    result, protocol = post_process(["pca", "dba", "alpha_qe"], data, PostOptions(dimensions=5))
    pca, _ = post_process(["pca"], data, PostOptions(dimensions=5))
    gallery = database_augmentation(pca.gallery)
    np.testing.assert_allclose(result.query, alpha_query_expansion(pca.query, gallery), atol=1e-6)
    assert protocol == "transductive"
    assert post_process([], data) == (data, "inductive")


def test_camera_bias_is_that_of_the_clustering():
    data = TestFeatures(spread(8, 0), spread(30, 1), np.arange(8) % 3, np.arange(30) % 3)
    result, _ = post_process(["camera_bias"], data)
    rows = unit_rows("features", np.concatenate([data.query, data.gallery]))
    expected = remove_camera_bias(rows, np.concatenate([data.query_camids, data.gallery_camids]))
    assert (np.concatenate([result.query, result.gallery]) == expected).all()


def test_bad_input_is_named():
    data = TestFeatures(spread(8, 0), spread(30, 1))
    with pytest.raises(ValueError, match="got magic, allowed: aqe"):
        post_process(["magic"], data)
    with pytest.raises(ValueError, match="cameras are unknown"):
        post_process(["camera_bias"], data)
    with pytest.raises(ValueError, match="no training features"):
        post_process(["pca"], data)
    broken = spread(8, 0)
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="query: got NaN or infinity in row 3"):
        alpha_query_expansion(broken, spread(30, 1))
    with pytest.raises(ValueError, match="gallery: got shape"):
        alpha_query_expansion(spread(8, 0), np.zeros((0, 12)))
    with pytest.raises(ValueError, match="12 and 7 dimensions"):
        alpha_query_expansion(spread(8, 0), spread(30, 1, dim=7))
    with pytest.raises(ValueError, match="k: got 0"):
        average_query_expansion(spread(8, 0), spread(30, 1), 0)
    with pytest.raises(ValueError, match="alpha: got -1"):
        alpha_query_expansion(spread(8, 0), spread(30, 1), alpha=-1)
    with pytest.raises(ValueError, match="k2: got 0"):
        centralise_neighbours(spread(8, 0), 2, 0)


def test_zero_rows_stay_finite():
    zeros = np.zeros((6, 12), np.float32)
    for result in (alpha_query_expansion(zeros, zeros), centralise_neighbours(zeros), database_augmentation(zeros)):
        assert (result == 0).all()


def test_views_are_averaged_after_normalisation():
    first, second = spread(5, 0), 100 * spread(5, 1)
    expected = [unit(unit(a) + unit(b)) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(average_views([first, second]), expected, atol=1e-6)
    np.testing.assert_allclose(average_views([first]), unit_rows("features", first), atol=1e-6)
    with pytest.raises(ValueError, match="views: got shapes"):
        average_views([first, second[:3]])
    with pytest.raises(ValueError, match="views"):
        average_views([])
