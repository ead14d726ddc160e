"""Who hides whom, told from boxes: on level ground, the person whose feet are lower in the image stands in front."""

import numpy as np

from tracking.boxes import intersection_matrix


def hidden_share(xyxy: np.ndarray, front_xyxy: np.ndarray | None = None) -> np.ndarray:
    """Returns the share of each box that the one box in front covers most, (N,) in 0..1.

    Args:
        xyxy: (N, 4), boxes of positive size.
        front_xyxy: (M, 4), the boxes that may stand in front; None takes the boxes themselves.
    """
    front = xyxy if front_xyxy is None else front_xyxy
    if not len(xyxy) or not len(front):
        return np.zeros(len(xyxy))
    size = xyxy[:, 2:] - xyxy[:, :2]
    share = intersection_matrix(xyxy, front) / np.maximum(size[:, 0] * size[:, 1], 1e-9)[:, None]
    share[np.greater_equal.outer(xyxy[:, 3], front[:, 3])] = 0  # a box is not in front of itself
    hidden: np.ndarray = share.max(axis=1)
    return hidden
