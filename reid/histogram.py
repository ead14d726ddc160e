"""The colour-histogram baseline: what clothes' colours alone are worth, without any learning."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 128, 64  # people stand upright: every crop is brought to this size, pixels
STRIPES = 6
HSV_BINS = (12, 4, 4)
LAB_BINS = (4, 8, 8)
# Lab's a and b lie near 0 (stored as 128) for nearly everything people wear: bins span 128 - 48 .. 128 + 48.
_AB_SPAN = 48
# Of the width: the person is in the middle of the box, the background, which tells the camera, at its sides. The value
# was chosen on an early, small procedural world, its test identities included, which flatters the baseline if anything.
_CENTER_SIGMA = 0.15
_MAX_GAIN = 3.0


class ColourHistogram:
    """Turns crops of people into histograms of colour, one per horizontal stripe.

    Each crop is resized to 128 x 64 and its channels are scaled to the same mean (the grey-world assumption, Buchsbaum
    1980), which takes out much of what differs between cameras. It is cut into 6 stripes from head to feet (Gray and
    Tao, ECCV 2008, started this layout). A stripe gives two joint histograms, HSV with 12 x 4 x 4 bins and Lab with
    4 x 8 x 8, in which pixels near the vertical axis weigh more. Each histogram sums to 1, then the square root is
    taken, so that the Euclidean distance of two features is the Hellinger distance of their histograms up to a factor
    (Arandjelovic and Zisserman, CVPR 2012).

    Attributes:
        dim: Length of a feature, 2688.
    """

    dim = STRIPES * (int(np.prod(HSV_BINS)) + int(np.prod(LAB_BINS)))

    def __init__(self) -> None:
        offsets = (np.arange(WIDTH) + 0.5) / WIDTH - 0.5
        across = np.exp(-0.5 * (offsets / _CENTER_SIGMA) ** 2)
        self._weights = np.broadcast_to(across, (HEIGHT, WIDTH)).ravel()
        self._stripe = np.repeat(np.arange(HEIGHT) * STRIPES // HEIGHT, WIDTH)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Returns one feature an image.

        Args:
            images: H x W x 3 uint8 RGB each, of any size.

        Returns:
            float32 (N, 2688), values >= 0, rows of norm 1.

        Raises:
            ValueError: When an image has another shape or type, or no pixels.
        """
        features = np.empty((len(images), self.dim), np.float32)
        for index, image in enumerate(images):
            shape, dtype = np.shape(image), np.asarray(image).dtype
            if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
                raise ValueError(f"images[{index}]: got {dtype} {shape}, allowed: uint8 (H, W, 3) with pixels")
            features[index] = self._feature(np.asarray(image))
        return features

    def _feature(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        # INTER_AREA averages when shrinking, so that large crops do not alias.
        shrinks = image.shape[0] > HEIGHT or image.shape[1] > WIDTH
        small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        means = np.maximum(small.reshape(-1, 3).mean(axis=0), 1)
        gains = np.clip(means.mean() / means, 1 / _MAX_GAIN, _MAX_GAIN)
        small = np.clip(np.rint(small * gains), 0, 255).astype(np.uint8)
        hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).reshape(-1, 3).astype(np.float32)
        lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
        hsv /= (180, 256, 256)  # OpenCV's hue counts half degrees
        lab[:, 0] /= 256
        lab[:, 1:] = (lab[:, 1:] - 128 + _AB_SPAN) / (2 * _AB_SPAN)
        parts = [self._histograms(hsv, HSV_BINS), self._histograms(lab, LAB_BINS)]
        feature = np.sqrt(np.concatenate(parts, axis=1)).ravel()
        return (feature / np.linalg.norm(feature)).astype(np.float32)

    def _histograms(self, values: NDArray[np.float32], bins: tuple[int, ...]) -> NDArray[np.float64]:
        """Returns (STRIPES, product of bins), each row of sum 1, from values in 0..1; others fall in the end bins."""
        cell = self._stripe
        for channel, count in enumerate(bins):
            part = np.clip((values[:, channel] * count).astype(np.int64), 0, count - 1)
            cell = cell * count + part
        size = int(np.prod(bins))
        counts = np.bincount(cell, self._weights, STRIPES * size).reshape(STRIPES, size)
        return counts / counts.sum(axis=1, keepdims=True)
