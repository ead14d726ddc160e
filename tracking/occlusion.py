"""Who hides whom, told from boxes: on level ground, the person whose feet are lower in the image stands in front."""

import numpy as np


def hidden_share(xyxy: np.ndarray, front_xyxy: np.ndarray | None = None) -> np.ndarray:
    """Returns the share of each box that the one box in front covers most, (N,) in 0..1.

    Args:
        xyxy: (N, 4), boxes of positive size.
        front_xyxy: (M, 4), the boxes that may stand in front; None takes the boxes themselves.
    """
    front = xyxy if front_xyxy is None else front_xyxy
    if not len(xyxy) or not len(front):
        return np.zeros(len(xyxy))
    corner = np.minimum(xyxy[:, None, 2:], front[None, :, 2:]) - np.maximum(xyxy[:, None, :2], front[None, :, :2])
    np.maximum(corner, 0, out=corner)
    size = xyxy[:, 2:] - xyxy[:, :2]
    share = corner[..., 0] * corner[..., 1] / np.maximum(size[:, 0] * size[:, 1], 1e-9)[:, None]
    share[xyxy[:, None, 3] >= front[None, :, 3]] = 0  # a box is not in front of itself
    hidden: np.ndarray = share.max(axis=1)
    return hidden
