"""Several views of one image (mirrored, cut), whose features are averaged. Inductive: no other image takes part."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reid.post_processing import average_views


def flipped(image: np.ndarray) -> np.ndarray:
    """Returns the mirror image of (H, W, 3)."""
    return np.ascontiguousarray(image[:, ::-1])


def five_crops(image: np.ndarray, share: float) -> list[np.ndarray]:
    """Returns the centre and the four corners of an image (Krizhevsky et al., NeurIPS 2012).

    Args:
        image: (H, W, 3), of any size.
        share: Height and width of a cut, above 0 and below 1 of the image's, rounded, at least one pixel.

    Returns:
        Centre, top left, top right, bottom left, bottom right.
    """
    height, width = image.shape[:2]
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    down, right = height - rows, width - columns
    starts = ((down // 2, right // 2), (0, 0), (0, right), (down, 0), (down, right))
    return [np.ascontiguousarray(image[top : top + rows, left : left + columns]) for top, left in starts]


class AveragedViews:
    """Embeds several views of each image and returns the normalised mean of their features.

    The whole image is one of the views, unlike in the paper of the five cuts, because a re-identification crop has no
    margin to spare.

    Args:
        embed: Maps uint8 RGB images, and camids when it says `needs_cameras`, to float32 (N, D).
        flip: Adds the mirror image of every other view.
        multi_crop: Adds five cuts of this share of height and width; None adds none.

    Raises:
        ValueError: When `multi_crop` is out of its range, or nothing is added.
    """

    def __init__(
        self, embed: Callable[..., np.ndarray], *, flip: bool = False, multi_crop: float | None = None
    ) -> None:
        if multi_crop is not None and not 0 < multi_crop < 1:
            raise ValueError(f"multi_crop: got {multi_crop}, allowed: above 0, below 1")
        if not flip and multi_crop is None:
            raise ValueError("views: got the image alone, allowed: flip, multi_crop or both")
        self._embed = embed
        self._flip = flip
        self._multi_crop = multi_crop
        self.needs_cameras: bool = getattr(embed, "needs_cameras", False)

    def __call__(self, images: Sequence[np.ndarray], **cameras: Any) -> np.ndarray:
        """Embeds images.

        Args:
            images: uint8 RGB arrays (H, W, 3) of any size.
            cameras: Handed on to the embedder.

        Returns:
            float32 (N, D), rows of norm 1, or 0 where the views cancel out.
        """
        views: list[list[np.ndarray]] = [list(images)]
        if self._multi_crop is not None:
            cuts = [five_crops(image, self._multi_crop) for image in images]
            views += [list(view) for view in zip(*cuts, strict=True)]
        if self._flip:
            views += [[flipped(image) for image in view] for view in list(views)]
        return average_views([self._embed(view, **cameras) for view in views])
