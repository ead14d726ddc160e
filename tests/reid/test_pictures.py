from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.canvas import COLOURS, RIGHT, WRONG, colour_and_style, save_png
from reid.data.base import Sample
from reid.distances import euclidean_distances
from reid.pictures import _choose_rows, draw_cmc, draw_loss_curve, draw_ranked_lists
from reid.thumbnail_sheet import ThumbnailSheet


def assert_is_a_picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.std() > 5
    assert 2_000 < path.stat().st_size < 600_000
    return pixels


@pytest.fixture
def people(tmp_path):
    """Noisy crops of 12 colours by 3 cameras, their samples, and the distances of their mean colours."""
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 215, (12, 3))
    samples, means = [], []
    for pid, colour in enumerate(colours):
        for camid in range(3):
            path = tmp_path / f"{pid:04d}_c{camid + 1}s1_000001_00.png"
            pixels = np.clip(colour + rng.normal(scale=8, size=(160, 60, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path)
            samples.append(Sample(str(path), pid, camid, 1, "test"))
            means.append(colour + rng.normal(scale=15, size=3))
    return samples, np.array(means)


def test_cmc(tmp_path):
    curves = {"trained": 1 - 0.3 / np.arange(1, 51), "untrained": np.linspace(0.1, 0.8, 50)}
    draw_cmc(curves, tmp_path / "new" / "cmc.png")
    assert_is_a_picture(tmp_path / "new" / "cmc.png")
    draw_cmc({"one rank": [0.5]}, tmp_path / "one.jpg")
    assert_is_a_picture(tmp_path / "one.jpg")


def test_loss_curve_with_missing_keys(tmp_path):
    rows = [
        {"epoch": 1, "loss": 6.0, "loss/triplet": 1.0, "lr": 1e-4},
        {"epoch": 2, "loss": 5.0, "lr": 2e-4},
        {"epoch": 3, "loss": 4.0, "loss/triplet": 0.5, "loss/id": 3.5, "mAP": 0.4, "Rank-1": 0.6},
        {"loss": 3.0},
        {},
    ]
    for number, part in enumerate((rows, rows[:2], [{"loss": 1.0}], [{"loss/id": 1, "mAP": 0.5}])):
        draw_loss_curve(part, tmp_path / f"{number}.png")
        assert_is_a_picture(tmp_path / f"{number}.png")


def test_ranked_lists(tmp_path, people):
    samples, means = people
    queries, gallery = samples[::3], samples
    distmat = euclidean_distances(means[::3], means)
    draw_ranked_lists(distmat, queries, gallery, tmp_path / "ranks.png", num_queries=4)
    first = assert_is_a_picture(tmp_path / "ranks.png")
    draw_ranked_lists(distmat, queries, gallery, tmp_path / "again.png", num_queries=4)
    assert np.array_equal(first, assert_is_a_picture(tmp_path / "again.png"))
    # A gallery shorter than the list, one query.
    draw_ranked_lists(distmat[:1, :4], queries[:1], gallery[:4], tmp_path / "short.jpg")
    assert_is_a_picture(tmp_path / "short.jpg")


def test_a_sheet_shows_its_images_where_they_were_put(tmp_path, people):
    samples, _ = people
    sheet = ThumbnailSheet(2, 3, "title")
    sheet.put(1, 2, samples[0], RIGHT, "right")
    sheet.note(0, "note")
    sheet.save(tmp_path / "sheet.png")
    pixels = assert_is_a_picture(tmp_path / "sheet.png").astype(int)
    with Image.open(samples[0].path) as image:
        colour = np.asarray(image).mean(axis=(0, 1))
    place = (np.abs(pixels - colour).max(axis=2) < 40).mean(axis=0) > 0.2  # columns that the crop fills
    assert place.sum() == pytest.approx(72, abs=6) and place.nonzero()[0].min() > 2 / 3 * pixels.shape[1]
    frame = np.abs(pixels - [0x00, 0x9E, 0x73]).max(axis=2) < 25
    assert frame[: len(pixels) // 2].sum() == 0 and frame.sum() > 2 * 3 * (72 + 144) - 50


def test_frames_follow_the_identity(tmp_path, people, monkeypatch):
    drawn = []

    class Recorder(ThumbnailSheet):
        def put(self, row, column, sample, colour, title):
            drawn.append((sample, title, colour))

    monkeypatch.setattr("reid.pictures.ThumbnailSheet", Recorder)
    samples, means = people
    draw_ranked_lists(euclidean_distances(means[:1], means), samples[:1], samples, tmp_path / "x.png", top=5)
    (query, title, _), *ranked = drawn
    assert (query, title) == (samples[0], "query")
    assert [rank[0] for _, rank, _ in ranked] == ["1", "2", "3", "4", "5"]
    assert all((title[2] == "✓") == (sample.pid == query.pid) for sample, title, _ in ranked)
    assert samples[0] not in [sample for sample, _, _ in ranked]  # the same identity and camera
    assert {colour == RIGHT for sample, _, colour in ranked if sample.pid == query.pid} == {True}
    assert {colour == WRONG for sample, _, colour in ranked if sample.pid != query.pid} == {True}


def test_choice_of_rows():
    precisions = np.array([0.5, np.nan, 0.9, 0.1, 0.7, 0.3, 0.8, 0.2, 0.6, 0.4, 1.0])
    pids = np.arange(11)
    rows = _choose_rows(precisions, pids, 8, 0, "mixed")
    assert [kind for kind, _ in rows] == ["best"] * 2 + ["random"] * 3 + ["worst"] * 3
    assert [q for kind, q in rows if kind == "best"] == [10, 2]
    assert [q for kind, q in rows if kind == "worst"] == [5, 7, 3]
    assert len({q for _, q in rows}) == 8
    assert rows == _choose_rows(precisions, pids, 8, 0, "mixed")
    assert {q for _, q in _choose_rows(precisions, pids, 50, 0, "mixed")} == set(range(11)) - {1}
    assert _choose_rows(precisions, pids, 1, 0, "mixed") == [("best", 10)]


def test_sheets_of_one_kind():
    precisions = np.array([0.5, np.nan, 0.9, 0.1, 0.7, 0.3, 0.8, 0.2, 0.6, 0.4, 1.0])
    pids = np.arange(11)
    assert [q for _, q in _choose_rows(precisions, pids, 3, 0, "best")] == [10, 2, 6]
    assert [q for _, q in _choose_rows(precisions, pids, 3, 0, "worst")] == [3, 7, 5]
    drawn = _choose_rows(precisions, pids, 3, 0, "random")
    assert drawn == _choose_rows(precisions, pids, 3, 0, "random")
    assert len({tuple(_choose_rows(precisions, pids, 3, seed, "random")) for seed in range(5)}) > 1
    pids[[10, 2, 3, 7]] = 99  # one person is the best and the worst: others come first, the rest after all
    assert [q for _, q in _choose_rows(precisions, pids, 3, 0, "best")] == [10, 6, 4]
    assert [q for _, q in _choose_rows(precisions, pids, 3, 0, "worst")] == [3, 5, 9]
    assert [q for _, q in _choose_rows(precisions, pids, 10, 0, "best")][-3:] == [2, 7, 3]


def test_lines_of_a_picture_differ():
    assert len({colour_and_style(number) for number in range(4 * len(COLOURS))}) == 4 * len(COLOURS)


def test_noise_gets_fewer_colours(tmp_path):
    noise = np.random.default_rng(0).normal(128, 30, (900, 900, 3)).clip(0, 255).astype(np.uint8)
    save_png(Image.fromarray(noise), tmp_path / "noise.png")
    assert_is_a_picture(tmp_path / "noise.png")


def test_bad_input(tmp_path, people):
    samples, means = people
    distmat = euclidean_distances(means, means)
    with pytest.raises(ValueError, match="curves: got none"):
        draw_cmc({}, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"curves\['a'\]: got shape"):
        draw_cmc({"a": [50.0]}, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"path: got .*x.gif.* allowed: a name that ends in \.png"):
        draw_cmc({"a": [0.5]}, tmp_path / "x.gif")
    with pytest.raises(ValueError, match="rows: got 1 without a loss"):
        draw_loss_curve([{"lr": 1}], tmp_path / "x.png")
    with pytest.raises(ValueError, match="top: got 0"):
        draw_ranked_lists(distmat, samples, samples, tmp_path / "x.png", top=0)
    with pytest.raises(ValueError, match="kind: got 'nice', allowed: mixed, best, random, worst"):
        draw_ranked_lists(distmat, samples, samples, tmp_path / "x.png", kind="nice")
    with pytest.raises(ValueError, match="q_camids: got shape"):
        draw_ranked_lists(distmat, samples[1:], samples, tmp_path / "x.png")
    Path(samples[0].path).unlink()
    with pytest.raises(FileNotFoundError):
        draw_ranked_lists(distmat[:1], samples[:1], samples, tmp_path / "x.png")
