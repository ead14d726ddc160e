"""Who is who: costs between tracks and detections, and the assignments that minimise them. Pure NumPy and SciPy."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracking.boxes import iou_matrix

FORBIDDEN = 1e5
_EMPTY = np.empty(0, dtype=np.int64)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns 1 - cosine of rows of norm 1: (A, D) and (B, D) -> (A, B) in 0..2."""
    distance: np.ndarray = 1 - a @ b.T
    return distance


def iou_distance(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Returns 1 - IoU of every pair, (A, B) in 0..1."""
    return 1 - iou_matrix(a_xyxy, b_xyxy)


def normalise_rows(features: np.ndarray) -> np.ndarray:
    """Returns the rows at norm 1; a row of zeros stays zero, so its cosine distance to everything is 1."""
    norms = np.sqrt(np.einsum("nd,nd->n", features, features))
    normalised: np.ndarray = features / np.maximum(norms, 1e-12)[:, None]
    return normalised


def assign(cost: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs rows with columns at the least total cost; a pair above `limit` costs a little more than the limit.

    All forbidden pairs cost the same, so that the solution neither prefers one of them nor gives up a good pair to
    avoid a very bad one; they are removed from the answer.

    Args:
        cost: (T, D), finite.
        limit: The highest cost of a pair.

    Returns:
        Rows and columns of the pairs, int64 (M,) each, sorted by row.
    """
    if not cost.size:
        return _EMPTY, _EMPTY
    rows, columns = linear_sum_assignment(np.where(cost <= limit, cost, limit + 1e-5))
    keep = cost[rows, columns] <= limit
    return rows[keep], columns[keep]


def assign_cascade(cost: np.ndarray, limit: float, missed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs as `assign`, the tracks seen last first (DeepSORT's matching cascade).

    Args:
        cost: (T, D).
        limit: The highest cost of a pair.
        missed: int (T,), for how many frames each row has not been seen.

    Returns:
        Rows and columns of the pairs, in the order in which they were found.
    """
    free = np.arange(cost.shape[1])
    pairs_rows, pairs_columns = [_EMPTY], [_EMPTY]
    for level in np.unique(missed):
        rows_at_level = np.flatnonzero(missed == level)
        rows, columns = assign(cost[np.ix_(rows_at_level, free)], limit)
        pairs_rows.append(rows_at_level[rows])
        pairs_columns.append(free[columns])
        free = np.delete(free, columns)
    return np.concatenate(pairs_rows), np.concatenate(pairs_columns)


def others(count: int, taken: np.ndarray) -> np.ndarray:
    """Returns the indices in 0..count - 1 that are not in `taken`, ascending."""
    free = np.ones(count, dtype=bool)
    free[taken] = False
    return np.flatnonzero(free)
