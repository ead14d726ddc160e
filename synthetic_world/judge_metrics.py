"""What the judge computes: a colour histogram, ranking scores, box matching and keypoint similarity."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH, STRIPES = 128, 64, 6
HSV_BINS, LAB_BINS = (12, 4, 4), (4, 8, 8)
AB_SPAN = 48  # Lab's a and b of clothes lie in 128 - 48 .. 128 + 48; what is beyond falls into the end bins
CENTRE = 0.15  # standard deviation of the weights across, share of the width: the sides show the place
MOST_GAIN = 3.0
# COCO's, nose to ankles: standard deviation of human annotators over the square root of the person's area.
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000


def histograms(images: Sequence[np.ndarray], grey_world: bool) -> NDArray[np.float64]:
    """Colour histograms of crops, the baseline without learning.

    A crop is resized to 64 x 128 and cut into 6 stripes from head to feet. A stripe gives two joint histograms, HSV
    with 12 x 4 x 4 bins and Lab with 4 x 8 x 8; a pixel weighs exp(-(x / 0.15)^2 / 2), x being its distance from the
    vertical axis as a share of the width. Each histogram sums to 1 before the square root is taken, so that Euclidean
    distances of features are Hellinger distances of histograms.

    Args:
        images: H x W x 3 uint8 RGB each.
        grey_world: scale the channels to the same mean first, each by at most 3, which takes out a camera's tint.

    Returns:
        (N, 6 * (192 + 256)), rows of norm 1.
    """
    across = np.exp(-0.5 * (((np.arange(WIDTH) + 0.5) / WIDTH - 0.5) / CENTRE) ** 2)
    weights = np.tile(across, HEIGHT)
    stripe = np.repeat(np.arange(HEIGHT) * STRIPES // HEIGHT, WIDTH)
    found = [_histogram(image, grey_world, weights, stripe) for image in images]
    return np.stack(found)


def _histogram(image: np.ndarray, grey_world: bool, weights: np.ndarray, stripe: np.ndarray) -> np.ndarray:
    shrinks = image.shape[0] > HEIGHT or image.shape[1] > WIDTH
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if grey_world:
        means = np.maximum(small.reshape(-1, 3).mean(axis=0), 1.0)
        gains = np.clip(means.mean() / means, 1 / MOST_GAIN, MOST_GAIN)
        small = np.clip(np.rint(small * gains), 0, 255).astype(np.uint8)
    # Whole numbers, so that no rounding moves a colour to the next bin. OpenCV's hue counts half degrees.
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).reshape(-1, 3).astype(int)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(int) - (0, 128 - AB_SPAN, 128 - AB_SPAN)
    parts = []
    for values, spans, bins in ((hsv, (180, 256, 256), HSV_BINS), (lab, (256, 2 * AB_SPAN, 2 * AB_SPAN), LAB_BINS)):
        cell = stripe
        for channel, (span, count) in enumerate(zip(spans, bins)):
            cell = cell * count + np.clip(values[:, channel] * count // span, 0, count - 1)
        size = STRIPES * int(np.prod(bins))
        counts = np.bincount(cell, weights, size).reshape(STRIPES, -1)
        parts.append(np.sqrt(counts / counts.sum(axis=1, keepdims=True)).ravel())
    feature = np.concatenate(parts)
    return feature / np.linalg.norm(feature)


def rank_scores(
    query: np.ndarray,
    gallery: np.ndarray,
    query_ids: NDArray[np.int64],
    gallery_ids: NDArray[np.int64],
) -> tuple[float, float]:
    """Rank-1 and mAP by the Market-1501 protocol (Zheng et al., ICCV 2015), in 0..1.

    For each query, gallery images of the same pid and camera are taken out; those of pid -1 are taken out for all;
    those of pid 0 stay and are never right. AP is the mean of the precision at each match. Equal distances rank by
    gallery index. A query without a match counts nowhere.

    Args:
        query: features (Q, D), rows of norm 1.
        gallery: features (G, D).
        query_ids: (Q, 2), pid and camera.
        gallery_ids: (G, 2).

    Raises:
        ValueError: when no query has a match in another camera.
    """
    kept = gallery_ids[:, 0] != -1
    gallery, gallery_ids = gallery[kept], gallery_ids[kept]
    first, precision = [], []
    for feature, (pid, camera) in zip(query, query_ids):
        order = np.argsort(-(gallery @ feature), kind="stable")
        same = gallery_ids[order, 0] == pid
        right = same[~(same & (gallery_ids[order, 1] == camera))]
        places = np.flatnonzero(right)
        if len(places):
            first.append(places[0] == 0)
            precision.append(np.mean(np.arange(1, len(places) + 1) / (places + 1)))
    if not first:
        raise ValueError("no query has a match in another camera")
    return float(np.mean(first)), float(np.mean(precision))


def box_iou(one: np.ndarray, other: np.ndarray) -> NDArray[np.float64]:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4), all x0, y0, x1, y1."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    sizes = [np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (one, other)]
    return both / np.maximum(sizes[0][:, None] + sizes[1][None] - both, 1e-9)


def match_boxes(truth: np.ndarray, found: np.ndarray, least: float = 0.5) -> NDArray[np.int64]:
    """For each true box the index of its found box, -1 for none.

    Pairs are taken by falling intersection over union, each box once, down to `least`.
    """
    matches = np.full(len(truth), -1)
    if not len(truth) or not len(found):
        return matches
    iou = box_iou(truth, found)
    taken = np.zeros(len(found), bool)
    for flat in np.argsort(-iou, axis=None, kind="stable"):
        row, column = divmod(int(flat), len(found))
        if iou[row, column] < least:
            break
        if matches[row] < 0 and not taken[column]:
            matches[row] = column
            taken[column] = True
    return matches


def keypoint_similarity(found: np.ndarray, truth: np.ndarray, area: float) -> float:
    """COCO's object keypoint similarity: mean of exp(-d^2 / (2 area (2 sigma)^2)) over true keypoints with v > 0.

    Args:
        found: (17, 2) or wider, x and y first, pixels.
        truth: (17, 3), x, y, v.
        area: of the person, square pixels.

    Returns:
        0..1; NaN when no true keypoint has v > 0.
    """
    labelled = truth[:, 2] > 0
    if not labelled.any():
        return float("nan")
    squared = ((found[:, :2] - truth[:, :2]) ** 2).sum(axis=1)
    return float(np.exp(-squared / (2 * max(area, 1e-9) * (2 * SIGMAS) ** 2))[labelled].mean())
