"""Box formats and overlap, pure NumPy.

xyxy = left, top, right, bottom; xywh = left, top, width, height; cxywh = centre x, centre y, width, height; xyah =
centre x, centre y, width / height, height; xysr = centre x, centre y, area, width / height. All in pixels; every
function takes and returns (N, 4).
"""

import numpy as np


def xywh_to_xyxy(xywh: np.ndarray) -> np.ndarray:
    """Returns the boxes as left, top, right, bottom."""
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:4]], axis=1)


def xyxy_to_xywh(xyxy: np.ndarray) -> np.ndarray:
    """Returns the boxes as left, top, width, height."""
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:4] - xyxy[:, :2]], axis=1)


def xyxy_to_xyah(xyxy: np.ndarray) -> np.ndarray:
    """Returns the boxes as centre, aspect ratio, height; the heights must not be 0."""
    xyah = np.empty((len(xyxy), 4))
    size = xyxy[:, 2:4] - xyxy[:, :2]
    xyah[:, :2] = xyxy[:, :2] + 0.5 * size
    xyah[:, 2] = size[:, 0] / size[:, 1]
    xyah[:, 3] = size[:, 1]
    return xyah


def xyah_to_xyxy(xyah: np.ndarray) -> np.ndarray:
    """Returns the boxes as left, top, right, bottom."""
    half = 0.5 * xyah[:, 3:4] * np.stack([xyah[:, 2], np.ones(len(xyah))], axis=1)
    return np.concatenate([xyah[:, :2] - half, xyah[:, :2] + half], axis=1)


def xyxy_to_cxywh(xyxy: np.ndarray) -> np.ndarray:
    """Returns the boxes as centre, width, height."""
    cxywh = np.empty((len(xyxy), 4))
    cxywh[:, 2:] = xyxy[:, 2:4] - xyxy[:, :2]
    cxywh[:, :2] = xyxy[:, :2] + 0.5 * cxywh[:, 2:]
    return cxywh


def cxywh_to_xyxy(cxywh: np.ndarray) -> np.ndarray:
    """Returns the boxes as left, top, right, bottom."""
    half = 0.5 * cxywh[:, 2:4]
    return np.concatenate([cxywh[:, :2] - half, cxywh[:, :2] + half], axis=1)


def xyxy_to_xysr(xyxy: np.ndarray) -> np.ndarray:
    """Returns the boxes as centre, area, aspect ratio; the heights must not be 0."""
    xysr = np.empty((len(xyxy), 4))
    size = xyxy[:, 2:4] - xyxy[:, :2]
    xysr[:, :2] = xyxy[:, :2] + 0.5 * size
    xysr[:, 2] = size[:, 0] * size[:, 1]
    xysr[:, 3] = size[:, 0] / size[:, 1]
    return xysr


def xysr_to_xyxy(xysr: np.ndarray) -> np.ndarray:
    """Returns the boxes as left, top, right, bottom; area and ratio must be positive."""
    half_width = 0.5 * np.sqrt(xysr[:, 2] * xysr[:, 3])
    half = np.stack([half_width, half_width / xysr[:, 3]], axis=1)
    return np.concatenate([xysr[:, :2] - half, xysr[:, :2] + half], axis=1)


def intersection_matrix(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Returns the area that every pair of boxes shares, (A, B)."""
    area = np.ones((len(a_xyxy), len(b_xyxy)))
    for low, high in ((0, 2), (1, 3)):  # one contiguous (A, B) an axis is several times as fast as (A, B, 2)
        shared = np.minimum.outer(a_xyxy[:, high], b_xyxy[:, high])
        shared -= np.maximum.outer(a_xyxy[:, low], b_xyxy[:, low])
        area *= np.maximum(shared, 0, out=shared)
    return area


def iou_matrix(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Returns intersection over union of every pair, (A, B) in 0..1.

    Boxes of no area, or of negative size, overlap nothing.
    """
    intersection = intersection_matrix(a_xyxy, b_xyxy)
    union = _area(a_xyxy)[:, None] + _area(b_xyxy) - intersection
    # Where nothing intersects the quotient is 0 whatever the union is, and the union may be 0 there.
    return intersection / np.maximum(union, 1e-9)


def _area(xyxy: np.ndarray) -> np.ndarray:
    size = np.maximum(xyxy[:, 2:4] - xyxy[:, :2], 0)
    return size[:, 0] * size[:, 1]
