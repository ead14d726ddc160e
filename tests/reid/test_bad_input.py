"""What evaluation does with features and identities that it can make nothing of: a clear error, or finite numbers."""

import numpy as np
import pytest

from reid.cosine_neighbours import unit_rows
from reid.cuhk03_protocol import SingleShot, check_single_shot, evaluate_single_shot
from reid.data.base import Sample
from reid.evaluation import RankOptions, check_cameras, embed_samples, rank
from reid.jaccard import jaccard_graph
from reid.metrics import evaluate_features, evaluate_rank
from reid.open_set import open_set_rates, verification_pairs
from reid.post_processing import POST_PROCESSING, PostOptions, TestFeatures, post_process
from reid.reranking import k_reciprocal_blocks, k_reciprocal_rerank
from reid.uncertainty import bootstrap_intervals, compare_results, count_identities

Q_PIDS, G_PIDS = np.array([1, 2, 3]), np.array([1, 1, 2, 2, 3, 4])
Q_CAMIDS, G_CAMIDS = np.array([0, 0, 1]), np.array([0, 1, 0, 1, 0, 1])
IDS = (Q_PIDS, G_PIDS, Q_CAMIDS, G_CAMIDS)


def features(broken=None):
    random = np.random.default_rng(0)
    query, gallery = (random.normal(size=(n, 8)).astype(np.float32) for n in (3, 6))
    if broken is not None:
        gallery[4, 2] = broken
    return query, gallery


def samples(pids=Q_PIDS, camids=Q_CAMIDS):
    return [
        Sample(f"{n}.jpg", int(pid), int(cam), n, "test") for n, (pid, cam) in enumerate(zip(pids, camids, strict=True))
    ]


def ranked(query, gallery, q_pids=Q_PIDS, g_pids=G_PIDS, q_camids=Q_CAMIDS, g_camids=G_CAMIDS, **options):
    return rank(query, gallery, samples(q_pids, q_camids), samples(g_pids, g_camids), **options)


def processed(name):
    def run(query, gallery, *_):
        data = TestFeatures(query, gallery, Q_CAMIDS, G_CAMIDS, training=gallery)
        result, _ = post_process([name], data, PostOptions(dimensions=2))
        return np.concatenate([unit_rows("rows", side) for side in (result.query, result.gallery)])

    return run


# From query and gallery features to numbers.
FUNCTIONS = {
    "evaluate_features": lambda q, g: evaluate_features(q, g, *IDS).ap,
    "k_reciprocal_rerank": lambda q, g: k_reciprocal_rerank(q, g, 3, 2),
    "k_reciprocal_rerank top_k": lambda q, g: k_reciprocal_rerank(q, g, 3, 2, top_k=2)[0],
    "k_reciprocal_blocks": lambda q, g: next(k_reciprocal_blocks(q, g, 3, 2))[1],
    "jaccard_graph": lambda q, g: jaccard_graph(np.concatenate([q, g]), 3, 2).data,
    "rank": lambda q, g: ranked(q, g)["Jaccard"].distmat,
    "rank blockwise": lambda q, g: ranked(q, g, options=RankOptions("blockwise"))["Jaccard"].distmat,
} | {name: processed(name) for name in POST_PROCESSING}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match="NaN"):
        FUNCTIONS[name](*features(value))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_empty_gallery_and_other_dimensions_are_refused(name):
    query, gallery = features()
    if name != "jaccard_graph":  # which knows one set only
        with pytest.raises(ValueError, match="allowed"):
            FUNCTIONS[name](query, gallery[:0])
        with pytest.raises(ValueError, match=r"got shapes"):
            FUNCTIONS[name](query[:, :5], gallery)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_features_of_zeros_stay_finite_or_are_named(name):
    query, gallery = features()
    query[1], gallery[3] = 0, 0
    if name == "jaccard_graph":
        with pytest.raises(ValueError, match="zeros in row 1"):
            FUNCTIONS[name](query, gallery)
    else:
        assert np.isfinite(FUNCTIONS[name](query, gallery)).all()


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"jaccard_graph", "whitening", "gallery_whitening"}))
def test_features_that_all_coincide_stay_finite(name):
    assert np.isfinite(FUNCTIONS[name](np.ones((3, 8)), np.ones((6, 8)))).all()


@pytest.mark.parametrize("name", ["whitening", "gallery_whitening"])
def test_nothing_is_divided_by_no_variance(name):
    with pytest.raises(ValueError, match="0 have variance"):
        FUNCTIONS[name](np.ones((3, 8)), np.ones((6, 8)))


def test_no_valid_query():
    same = np.zeros(6, int)
    for run in (
        lambda: evaluate_rank(np.ones((3, 6)), Q_PIDS, G_PIDS, np.zeros(3, int), same),
        lambda: evaluate_features(*features(), Q_PIDS, G_PIDS, np.zeros(3, int), same),
        lambda: ranked(*features(), q_camids=np.zeros(3, int), g_camids=same),
        lambda: ranked(*features(), q_camids=np.zeros(3, int), g_camids=same, options=RankOptions("blockwise")),
        lambda: evaluate_single_shot(np.ones((3, 6)), Q_PIDS, G_PIDS, np.zeros(3, int), same),
        lambda: open_set_rates(np.ones((3, 6)), Q_PIDS, G_PIDS, np.zeros(3, int), same, 0.5),
        lambda: SingleShot(*IDS).cmc(),
    ):
        with pytest.raises(ValueError, match="in another camera"):
            run()
    with pytest.raises(ValueError, match="same person in two cameras"):
        verification_pairs(np.ones((3, 6)), Q_PIDS, G_PIDS, np.zeros(3, int), same)


def test_one_identity():
    ones = (np.ones(3, int), np.ones(6, int), Q_CAMIDS, G_CAMIDS)
    distmat = np.arange(18.0).reshape(3, 6)
    result = evaluate_rank(distmat, *ones)
    assert result.mAP == 1 and count_identities(result, ones[0]) == 1
    for run in (
        lambda: bootstrap_intervals(result, ones[0]),
        lambda: compare_results(result, result, ones[0]),
    ):
        with pytest.raises(ValueError, match="1 identities with valid queries, allowed: 2 or more"):
            run()
    with pytest.raises(ValueError, match="different people"):
        verification_pairs(distmat, *ones)
    assert open_set_rates(distmat, *ones, 0.5).unknown_rejected == 1
    assert evaluate_single_shot(distmat, *ones)[0][0] == 1


def test_numbers_of_images_that_do_not_fit():
    query, gallery = features()
    with pytest.raises(ValueError, match=r"query_features: got shape \(2, 8\) for 3 samples"):
        ranked(query[:2], gallery)
    with pytest.raises(ValueError, match=r"gallery_features: got shape \(0, 8\) for 0 samples"):
        ranked(query, gallery[:0], g_pids=[], g_camids=[])
    with pytest.raises(ValueError, match="gallery: got no image"):
        embed_samples(lambda images: np.ones((len(images), 8)), [], "gallery")


def test_cameras_that_are_missing():
    class Network:
        needs_cameras = True

    with pytest.raises(ValueError, match="does not say them"):
        check_cameras(Network(), cameras_known=False)
    check_cameras(Network(), cameras_known=True)
    check_cameras(lambda images: np.ones((len(images), 8)), cameras_known=False)
    with pytest.raises(ValueError, match="the cameras are unknown"):
        post_process(["camera_bias"], TestFeatures(*features()))
    with pytest.raises(ValueError, match=r"got shapes \(9, 8\) and \(8,\)"):
        post_process(["camera_bias"], TestFeatures(*features(), Q_CAMIDS, G_CAMIDS[1:]))


def test_options_of_rankings():
    for options, message in (
        ({"distances": "all"}, "distances: got 'all'"),
        ({"top_k": 0}, "top_k: got 0"),
        ({"single_shot": 0}, "single_shot: got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            RankOptions(**options)
    assert RankOptions().blockwise(11_659, 82_161) and not RankOptions().blockwise(3_368, 15_913)


def test_galleries_with_nothing_to_draw():
    check_single_shot([1, 1, 2], 0)
    with pytest.raises(ValueError, match="one image a person"):
        check_single_shot([1, 2, 3], 0)
    with pytest.raises(ValueError, match="distractors"):
        check_single_shot([0, 0, 1, 1], 0)
