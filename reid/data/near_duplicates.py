"""Nearly the same image in two splits: perceptual hashes, verified by their pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_HASH = (8, 8)  # bits: rows x columns
_THUMBNAIL = (16, 8)  # height, width of what is compared pixel by pixel
_BLOCK_PAIRS = 4_000_000  # hash pairs compared at a time
_VERIFY_PAIRS = 100_000


@dataclass(frozen=True)
class Fingerprints:
    """What is compared of N images: hashes uint64 (N,) and thumbnails uint8 (N, 384), RGB."""

    hashes: np.ndarray
    thumbnails: np.ndarray


def fingerprint(image: np.ndarray) -> tuple[int, np.ndarray]:
    """Returns the difference hash and the thumbnail of uint8 RGB (H, W, 3).

    The hash has a bit for each of 8 x 8 neighbouring pairs of a 9 x 8 gray image: whether the left one is brighter. It
    survives resizing, compression and changes of brightness.
    """
    rows, columns = _HASH
    gray = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (columns + 1, rows), interpolation=cv2.INTER_AREA)
    bits = np.packbits(gray[:, :-1] > gray[:, 1:])
    thumbnail = cv2.resize(image, _THUMBNAIL[::-1], interpolation=cv2.INTER_AREA)
    return int.from_bytes(bits.tobytes(), "big"), thumbnail.ravel()


def gather(results: Sequence[tuple[int, np.ndarray]]) -> Fingerprints:
    """Puts what `fingerprint` returned into arrays."""
    size = 3 * _THUMBNAIL[0] * _THUMBNAIL[1]
    return Fingerprints(
        np.array([value for value, _ in results], np.uint64),
        np.array([pixels for _, pixels in results], np.uint8).reshape(len(results), size),
    )


def near_duplicates(
    first: Fingerprints, second: Fingerprints, max_bits: int = 6, max_difference: float = 4.0
) -> list[tuple[int, int]]:
    """Finds the pairs that show the same picture.

    Args:
        first: N images.
        second: M images.
        max_bits: Largest number of hash bits that differ, 0..64.
        max_difference: Largest mean difference of the thumbnails, 0..255.

    Returns:
        (index in first, index in second), sorted. Time grows with N x M, about a second for 400 million pairs.
    """
    pairs: list[tuple[int, int]] = []
    if not len(first.hashes) or not len(second.hashes):
        return pairs
    rows = max(1, _BLOCK_PAIRS // len(second.hashes))
    for start in range(0, len(first.hashes), rows):
        distances = np.bitwise_count(first.hashes[start : start + rows, None] ^ second.hashes[None, :])
        left, right = np.nonzero(distances <= max_bits)
        left += start
        for piece in range(0, len(left), _VERIFY_PAIRS):
            some = slice(piece, piece + _VERIFY_PAIRS)
            pixels = first.thumbnails[left[some]].astype(np.int16) - second.thumbnails[right[some]]
            same = np.abs(pixels).mean(axis=1) <= max_difference
            pairs += zip(left[some][same].tolist(), right[some][same].tolist(), strict=True)
    return pairs
