from itertools import permutations

import numpy as np
import pytest

from tracking import boxes
from tracking.association import assign, assign_cascade, cosine_distance, normalise_rows, others


def random_boxes(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 60, (count, 2))
    return np.hstack([corner, corner + random.uniform(1, 50, (count, 2))])


def plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


def test_iou_equals_a_plain_loop() -> None:
    a, b = random_boxes(12, 0), random_boxes(9, 1)
    expected = [[plain_iou(x, y) for y in b] for x in a]
    np.testing.assert_allclose(boxes.iou_matrix(a, b), expected, atol=1e-12)
    assert boxes.iou_matrix(a, b[:0]).shape == (12, 0)
    np.testing.assert_array_equal(boxes.iou_matrix(a[:1], np.array([[5.0, 5, 5, 9], [9, 9, 5, 5]])), [[0, 0]])


@pytest.mark.parametrize("name", ["xywh", "xyah", "xysr"])
def test_conversions_round_trip(name: str) -> None:
    xyxy = random_boxes(20, 2)
    converted = getattr(boxes, f"xyxy_to_{name}")(xyxy)
    np.testing.assert_allclose(getattr(boxes, f"{name}_to_xyxy")(converted), xyxy)
    one = {"xywh": [1, 2, 4, 8], "xyah": [3, 6, 0.5, 8], "xysr": [3, 6, 32, 0.5]}[name]
    np.testing.assert_allclose(getattr(boxes, f"xyxy_to_{name}")(np.array([[1.0, 2, 5, 10]]))[0], one)


def test_assignment_is_the_cheapest_of_all() -> None:
    cost = np.random.default_rng(3).random((5, 5))
    rows, columns = assign(cost, limit=2)
    best = min(sum(cost[i, j] for i, j in enumerate(order)) for order in permutations(range(5)))
    assert cost[rows, columns].sum() == pytest.approx(best)


def test_assignment_keeps_to_the_limit() -> None:
    rows, columns = assign(np.array([[0.2, 0.9], [0.1, 0.9]]), limit=0.5)
    assert (rows.tolist(), columns.tolist()) == ([1], [0])
    assert assign(np.full((2, 3), 0.9), 0.5)[0].size == 0
    assert assign(np.empty((0, 3)), 0.5)[0].size == 0


def test_the_cascade_serves_the_track_seen_last_first() -> None:
    cost = np.array([[0.1], [0.3]])
    assert assign(cost, 0.5)[0].tolist() == [0]
    assert assign_cascade(cost, 0.5, np.array([4, 1]))[0].tolist() == [1]


def test_cosine_and_helpers() -> None:
    rows = normalise_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(cosine_distance(rows, np.array([[0.6, 0.8], [0.8, -0.6]])), [[0, 1], [1, 1]], atol=1e-12)
    assert others(5, np.array([3, 0])).tolist() == [1, 2, 4]
