"""Boxes of several frames, and crops that show nothing."""

import math
from pathlib import Path

import numpy as np
import pytest

from reid.embed_boxes import LEAST_PIXELS, cut_box, cut_boxes, embed_boxes, embed_crops
from reid.embedder import Embedder


class Means:
    """Embeds a crop as its mean colour, and notes how many crops came at once."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, crops):
        self.calls.append(len(crops))
        rows = np.stack([crop.reshape(-1, 3).mean(axis=0) for crop in crops]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def frames() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(1, 256, (60, 80, 3), dtype=np.uint8), random.integers(1, 256, (30, 50, 3), dtype=np.uint8)]


def test_boxes_of_frames_share_a_call_and_keep_their_order() -> None:
    first, second = frames()
    boxes = [np.array([[10, 5, 30, 45], [40, 0, 60, 20]]), np.array([[0, 0, 50, 30.0]])]
    embed = Means()
    found = embed_boxes(embed, [first, second], boxes)
    assert embed.calls == [3] and [len(part.quality) for part in found] == [2, 1]
    assert np.allclose(found[0].embeddings, Means()([first[5:45, 10:30], first[0:20, 40:60]]))
    assert np.allclose(found[1].embeddings, Means()([second]))
    assert (found[0].quality == 1).all()
    empty = embed_boxes(embed, [first, second], [np.zeros((0, 4)), []])
    assert [part.embeddings.shape for part in empty] == [(0, 0), (0, 0)] and embed_boxes(embed, [], []) == []


def test_bad_boxes_have_no_quality() -> None:
    bad = [
        [100, 10, 120, 30],  # outside
        [-30, -30, -5, -5],
        [10, 10, 10, 40],  # empty
        [30, 40, 20, 10],  # the wrong way round
        [np.nan, 0, 5, 5],
        [0, 0, np.inf, 5],
        [10, 10, 11, 40],  # one pixel wide
        [79, 10, 95, 40],  # one pixel of it inside
    ]
    good = [[-20, 10, 20, 30], [5, 5, 25, 45]]
    (found,) = embed_boxes(Means(), frames()[:1], [np.array(bad + good)])
    assert found.quality.tolist() == [0.0] * len(bad) + [0.5, 1.0]
    assert not found.embeddings[: len(bad)].any()
    assert np.allclose(found.embeddings[len(bad) :], Means()([frames()[0][10:30, 0:20], frames()[0][5:45, 5:25]]))
    (none,) = embed_boxes(Means(), frames()[:1], [np.array(bad)])
    assert none.embeddings.shape == (len(bad), 0) and not none.quality.any()


def plain_cut(frame: np.ndarray, box: list[float]) -> tuple[np.ndarray, float]:
    """One box, number by number."""
    nothing = np.zeros((0, 0, 3), np.uint8)
    if not all(map(math.isfinite, box)) or box[2] <= box[0] or box[3] <= box[1]:
        return nothing, 0.0
    ends = (frame.shape[1], frame.shape[0]) * 2
    left, top, right, bottom = (min(max(value, 0.0), end) for value, end in zip(box, ends, strict=True))
    crop = frame[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]
    if min(crop.shape[:2]) < LEAST_PIXELS:
        return nothing, 0.0
    return crop, (right - left) * (bottom - top) / ((box[2] - box[0]) * (box[3] - box[1]))


def test_cutting_equals_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    frame = frames()[0]
    boxes = random.uniform(-40, 110, (300, 4))
    boxes[::2, 2:] = boxes[::2, :2] + random.uniform(0, 40, (150, 2))
    boxes[5], boxes[7, 1] = np.inf, np.nan
    crops, shares = cut_boxes(frame, boxes)
    assert shares.dtype == np.float32 and 50 < (shares > 0).sum() < 250
    for crop, share, box in zip(crops, shares, boxes.tolist(), strict=True):
        wanted, part = plain_cut(frame, box)
        assert np.array_equal(crop, wanted) and np.isclose(share, part, rtol=1e-6)
        assert not crop.size or np.shares_memory(crop, frame)
        alone, own = cut_box(frame, np.array(box))
        assert np.array_equal(alone, crop) and own == share
    assert cut_boxes(frame, np.zeros((0, 4)))[0] == []
    (_, tiny) = cut_boxes(frame, np.array([[0, 0, 1e200, 1e200]]))
    assert tiny[0] > 0


def test_crops_that_were_cut_already() -> None:
    crops = [np.zeros((0, 4, 3), np.uint8), np.full((8, 4, 3), 9, np.uint8), np.full((8, 1, 3), 9, np.uint8)]
    found = embed_crops(Means(), crops)
    assert found.quality.tolist() == [0, 1, 0] and found.embeddings.shape == (3, 3)
    assert np.isclose(np.linalg.norm(found.embeddings[1]), 1) and not found.embeddings[[0, 2]].any()


def test_crops_of_another_kind_are_flagged_alike() -> None:
    good = np.full((8, 4, 3), 9, np.uint8)
    clear = np.dstack([good, good[..., :1]])
    bad = [good[..., 0], clear, good.astype(np.float32), good.tolist(), good[:0], good[:, :1]]
    found = embed_crops(Means(), [*bad, good])
    assert found.quality.tolist() == [0] * len(bad) + [1] and not found.embeddings[:-1].any()


def test_an_embedder_gives_zeros_of_its_size_where_nothing_can_be_embedded(checkpoint: Path) -> None:
    embedder = Embedder(checkpoint, device="cpu")
    outside, nothing = np.array([[200, 0, 220, 20.0]]), np.zeros((0, 4))
    found = embed_boxes(embedder, [frames()[0]] * 2, [outside, nothing])
    assert [part.embeddings.shape for part in found] == [(1, 512), (0, 512)] and not found[0].embeddings.any()
    assert embed_crops(embedder, []).embeddings.shape == (0, 512) and embedder.dimension == 512


def test_what_is_no_frame_or_box_is_refused() -> None:
    with pytest.raises(ValueError, match="boxes: got 1 arrays for 2 frames"):
        embed_boxes(Means(), frames(), [np.zeros((1, 4))])
    with pytest.raises(ValueError, match=r"boxes: got shape \(1, 5\)"):
        embed_boxes(Means(), frames()[:1], [np.zeros((1, 5))])
    with pytest.raises(ValueError, match="frame: got float64"):
        embed_boxes(Means(), [np.zeros((5, 5, 3))], [np.zeros((1, 4))])
