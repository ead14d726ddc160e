"""The pictures of the report, each by what it is drawn from."""

import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.breakdown import camera_pairs
from reid.data.base import Sample
from reid.metrics import evaluate_rank
from reid.open_set import nearest_distances, verification_pairs
from reid.report.camera_picture import draw_camera_pairs
from reid.report.confusion import draw_confused_pairs, draw_confusion, most_confused
from reid.report.distance_pictures import draw_distances, draw_errors
from reid.report.embedding_map import choose_points, draw_embedding_map, project
from reid.report.precision_recall import draw_precision_recall, match_ranks, precision_at_recall


def scene(seed=0, queries=40, gallery=120, people=8, whole=False):
    random = np.random.default_rng(seed)
    pids = random.integers(1, people, queries), random.integers(0, people, gallery)
    camids = random.integers(0, 3, queries), random.integers(0, 3, gallery)
    distmat = random.normal(10 + 3 * (pids[0][:, None] != pids[1]), 2)
    return (np.round(distmat) if whole else distmat), *pids, *camids


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.std() > 5 and 2_000 < path.stat().st_size < 600_000
    return pixels


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool((first == second).all())


def differ(draw, path: Path, first, second) -> None:
    """The picture follows its input."""
    drawn = []
    for arguments in (first, second):
        draw(*arguments, path)
        drawn.append(picture(path))
    assert not same(*drawn)


@pytest.mark.parametrize("whole", [False, True])
def test_the_area_below_precision_over_recall_is_map(whole):
    data = scene(1, whole=whole)
    result = evaluate_rank(*data)
    # Every number of matches divides so many levels, hence not one of them is cut through.
    curve = precision_at_recall(*data, levels=27720)
    assert curve.mean() == pytest.approx(result.mAP, rel=1e-3)
    first = (curve[0], result.cmc[0])
    assert first[0] >= first[1] > 0


def test_ranks_of_matches_are_the_plain_sort():
    random = np.random.default_rng(0)
    for _ in range(50):
        distances = random.integers(0, 6, 20).astype(float)
        matches = np.sort(random.choice(20, 5, replace=False))
        order = np.argsort(distances, kind="stable").tolist()
        assert match_ranks(distances, matches).tolist() == sorted(order.index(item) + 1 for item in matches)


def test_precision_recall_picture(tmp_path):
    curves = [{"a": precision_at_recall(*scene(seed))} for seed in (0, 1)]
    differ(draw_precision_recall, tmp_path / "pr.png", [curves[0]], [curves[1]])
    first = picture(tmp_path / "pr.png")
    draw_precision_recall(curves[1], tmp_path / "pr.png")
    assert same(first, picture(tmp_path / "pr.png"))  # and nothing else is in it
    with pytest.raises(ValueError, match="curves: got none"):
        draw_precision_recall({}, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"curves\['a'\]: got shape"):
        draw_precision_recall({"a": [50.0]}, tmp_path / "x.png")
    with pytest.raises(ValueError, match="levels: got 0"):
        precision_at_recall(*scene(), levels=0)
    with pytest.raises(ValueError, match="none with a match"):
        precision_at_recall([[0.1]], [1], [2], [0], [1])


def test_distance_pictures(tmp_path):
    data = [scene(seed) for seed in (0, 1)]
    pairs = [verification_pairs(*one) for one in data]
    differ(draw_distances, tmp_path / "d.png", (pairs[0], {"t": 9.0}), (pairs[1], {"t": 9.0}))
    differ(draw_distances, tmp_path / "d.png", (pairs[0], {"t": 9.0}), (pairs[0], {"t": 12.0}))
    nearest = [nearest_distances(*one) for one in data]
    differ(draw_errors, tmp_path / "e.png", (pairs[0], nearest[0], 9.0), (pairs[1], nearest[1], 9.0))
    best = [[0.1, 0.9], [0.8, 0.2]], [1, 2], [1, 2], [0, 0], [1, 1]  # no threshold between makes an error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_errors(verification_pairs(*best), nearest_distances(*best), 0.5, tmp_path / "best.png")
    picture(tmp_path / "best.png")
    level = verification_pairs([[0.5, 0.5]], [1], [1, 2], [0], [1, 1])  # all distances alike
    draw_distances(level, {}, tmp_path / "level.png")
    picture(tmp_path / "level.png")


def test_camera_pairs_picture(tmp_path):
    pairs = [camera_pairs(*scene(seed)) for seed in (0, 1)]
    differ(draw_camera_pairs, tmp_path / "c.png", pairs[:1], pairs[1:])
    with pytest.raises(ValueError, match="pairs: got none"):
        draw_camera_pairs(camera_pairs([[0.5]], [1], [2], [0], [1]), tmp_path / "x.png")


def plain_shares(distmat, q_pids, g_pids, q_camids, g_camids):
    rows: dict[int, list[dict[int, float]]] = {}
    for q in range(len(q_pids)):
        kept = [g for g in range(len(g_pids)) if g_pids[g] != q_pids[q] or g_camids[g] != q_camids[q]]
        count = sum(g_pids[g] == q_pids[q] for g in kept)
        if count:
            first = sorted(kept, key=lambda g: (distmat[q, g], g))[:count]
            rows.setdefault(int(q_pids[q]), []).append(
                {int(pid): sum(g_pids[g] == pid for g in first) / count for pid in set(g_pids)}
            )
    return {pid: {o: float(np.mean([row[o] for row in many])) for o in many[0]} for pid, many in rows.items()}


@pytest.mark.parametrize("whole", [False, True])
def test_confusion_is_the_plain_loop(whole):
    data = scene(2, whole=whole)
    expected = plain_shares(*data)
    found = most_confused(*data, people=4, pairs=3)
    assert len(found.pids) == 4 and found.shares.shape == (4, 5) and 0 not in found.pids
    assert found.shares.sum(axis=1) == pytest.approx(1)
    for i, pid in enumerate(found.pids):
        for j, other in enumerate(found.pids):
            assert found.shares[i, j] == pytest.approx(expected[pid][other])
    mixed = [(expected[a][b], a, b) for a in expected for b in expected[a] if b not in (0, a)]
    best = max(share for share, _, _ in mixed)
    pair = found.pairs[0]
    assert pair.share == pytest.approx(best) == pytest.approx(expected[pair.pid][pair.other])
    assert data[1][pair.query] == pair.pid and data[2][pair.nearest] == pair.other
    assert len({frozenset((pair.pid, pair.other)) for pair in found.pairs}) == 3
    assert len(most_confused(*data, people=6).pids) == 6


def test_a_perfect_ranking_confuses_nobody(tmp_path):
    found = most_confused([[0.1, 0.9], [0.9, 0.1]], [1, 2], [1, 2], [0, 0], [1, 1])
    assert found.pids == [] and found.pairs == []
    with pytest.raises(ValueError, match="confusion: got nobody"):
        draw_confusion(found, [], tmp_path / "x.png")
    with pytest.raises(ValueError, match="confusion: got no pair"):
        draw_confused_pairs(found, [], [], tmp_path / "x.png")
    for options, name in (({"people": 1}, "people"), ({"pairs": 0}, "pairs")):
        with pytest.raises(ValueError, match=f"{name}: got"):
            most_confused(*scene(), **options)


def test_confusion_pictures(tmp_path):
    random = np.random.default_rng(0)
    data = scene(2)
    samples = []
    for name, pids, camids in (("q", data[1], data[3]), ("g", data[2], data[4])):
        split = []
        for number, (pid, camid) in enumerate(zip(pids, camids, strict=True)):
            path = tmp_path / f"{name}{number}.png"
            Image.fromarray(random.integers(0, 255, (16, 8, 3), np.uint8) // 2 + np.uint8(12 * pid)).save(path)
            split.append(Sample(str(path), int(pid), int(camid), 0, "test"))
        samples.append(split)
    few, many = most_confused(*data, people=3, pairs=2), most_confused(*data, people=5, pairs=3)
    differ(draw_confusion, tmp_path / "m.png", (few, samples[0]), (many, samples[0]))
    differ(draw_confused_pairs, tmp_path / "p.png", (few, *samples), (many, *samples))


def crowd(people=10, each=6):
    return [Sample(f"{pid}_{k}.jpg", pid, k % 3, 0, "test") for pid in range(people) for k in range(each)]


def test_points_of_the_map():
    samples = [*crowd(), Sample("lonely.jpg", 99, 0, 0, "test")]
    points = choose_points(samples, most=30, identities=4, seed=0)
    assert len(points.indices) == len(set(points.indices.tolist())) == 30
    coloured = set(points.pids.tolist()) - {-1}
    assert len(coloured) == 4 and not coloured & {0, 99}  # no distractor, nobody with one image
    for index, pid in zip(points.indices, points.pids, strict=True):
        assert pid == samples[index].pid or (pid == -1 and samples[index].pid not in coloured)
    again, other = (choose_points(samples, 30, 4, seed) for seed in (0, 1))
    assert (again.indices == points.indices).all() and set(other.pids) != set(points.pids)
    assert len(choose_points(samples, 1000, 4, 0).indices) == len(samples)
    with pytest.raises(ValueError, match="most: got 1"):
        choose_points(samples, 1, 4, 0)
    with pytest.raises(ValueError, match="identities: got 0"):
        choose_points(samples, 10, 0, 0)


def test_tsne_keeps_people_together(tmp_path):
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 20)
    features = (np.eye(3, 64)[groups] + random.normal(0, 0.05, (60, 64))).astype(np.float32)
    places = project(features, "t-SNE", 0)
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).mean() > 0.95
    # Lengths say nothing of a person.
    assert (project(8 * features, "t-SNE", 0) == places).all()
    camids = np.arange(60) % 4
    maps = (places, groups, camids, "t-SNE"), (places, np.where(groups == 2, -1, groups), camids, "t-SNE")
    differ(draw_embedding_map, tmp_path / "map.png", *maps)
    with pytest.raises(ValueError, match="method: got 'PCA', allowed: t-SNE, UMAP"):
        project(features, "PCA", 0)
    with pytest.raises(ValueError, match="features: got 2"):
        project(features[:2], "t-SNE", 0)
    with pytest.raises(ValueError, match="as many each"):
        draw_embedding_map(places, groups[1:], camids, "t-SNE", tmp_path / "x.png")


def test_umap_is_asked_when_it_is_there(monkeypatch):
    told = {}

    class Umap:
        def __init__(self, **options):
            told.update(options)

        def fit_transform(self, rows):
            return rows[:, :2]

    features = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    monkeypatch.setattr("reid.report.embedding_map.umap_is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Umap))
    places = project(features, "UMAP", 3)
    assert places.shape == (9, 2) and told == {"n_neighbors": 8, "random_state": 3, "n_jobs": 1}
    monkeypatch.setattr("reid.report.embedding_map.umap_is_installed", lambda: False)
    with pytest.raises(ValueError, match="pip install umap-learn"):
        project(features, "UMAP", 3)
