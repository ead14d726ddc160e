"""Masks as COCO run-length encoding with plain counts."""

import numpy as np


def encode_mask(mask: np.ndarray) -> dict[str, list[int]]:
    """Runs of a boolean mask (H, W), column by column, zeros first: `{"size": [H, W], "counts": [...]}`."""
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    if flat.size and flat[0]:
        counts = [0, *counts]
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": counts}


def decode_mask(encoded: dict[str, list[int]]) -> np.ndarray:
    """The mask (H, W), bool."""
    height, width = encoded["size"]
    counts = np.asarray(encoded["counts"], int)
    if counts.sum() != height * width:
        raise ValueError(f"counts: got a sum of {counts.sum()}, allowed is {height} x {width} = {height * width}")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")
