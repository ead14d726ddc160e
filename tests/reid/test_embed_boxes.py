"""Boxes of several frames, and crops that show nothing."""

import numpy as np
import pytest

from reid.embed_boxes import embed_boxes, embed_crops


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


def test_crops_that_were_cut_already() -> None:
    crops = [np.zeros((0, 4, 3), np.uint8), np.full((8, 4, 3), 9, np.uint8), np.full((8, 1, 3), 9, np.uint8)]
    found = embed_crops(Means(), crops)
    assert found.quality.tolist() == [0, 1, 0] and found.embeddings.shape == (3, 3)
    assert np.isclose(np.linalg.norm(found.embeddings[1]), 1) and not found.embeddings[[0, 2]].any()


def test_what_is_no_frame_or_box_is_refused() -> None:
    with pytest.raises(ValueError, match="boxes: got 1 arrays for 2 frames"):
        embed_boxes(Means(), frames(), [np.zeros((1, 4))])
    with pytest.raises(ValueError, match=r"boxes: got shape \(1, 5\)"):
        embed_boxes(Means(), frames()[:1], [np.zeros((1, 5))])
    with pytest.raises(ValueError, match="frame: got float64"):
        embed_boxes(Means(), [np.zeros((5, 5, 3))], [np.zeros((1, 4))])
