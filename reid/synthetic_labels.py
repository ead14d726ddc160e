"""What a generated image is trained to be: a distribution over the training identities."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch


def lsro_targets(num_classes: int) -> torch.Tensor:
    """Returns 1 / C for each of C classes, (1, C): LSRO, label smoothing for outliers (arXiv 1701.07717)."""
    return torch.full((1, num_classes), 1.0 / num_classes)


def group_targets(distributions: Sequence[Mapping[int, float]], labels: Mapping[int, int]) -> torch.Tensor:
    """Returns the manifest's distributions over training labels.

    Args:
        distributions: For each of G images the weight of identities, of sum 1.
        labels: Training label 0..C-1 of each identity.

    Returns:
        float32 (G, C).

    Raises:
        KeyError: When an identity has no label.
    """
    targets = torch.zeros(len(distributions), len(labels))
    for row, weights in enumerate(distributions):
        for pid, weight in weights.items():
            targets[row, labels[pid]] = weight
    return targets


def pseudo_targets(
    generated: np.ndarray, real: np.ndarray, labels: Sequence[int], temperature: float | None
) -> torch.Tensor:
    """Returns labels by what a network sees in generated images.

    A class is the mean of its real images' embeddings. An image is compared with each by its cosine: the labels are the
    softmax of the cosines over the temperature, or the nearest class alone.

    Args:
        generated: float (G, D), embeddings of the generated images, rows of norm 1.
        real: float (N, D), those of the training images.
        labels: Label 0..C-1 of each training image, each label at least once.
        temperature: Above 0; None takes the nearest class.

    Returns:
        float32 (G, C).

    Raises:
        ValueError: When sizes differ, a class has no image, or the temperature is not above 0.
    """
    classes = np.asarray(labels, np.int64)
    if real.shape != (len(classes), generated.shape[1]):
        raise ValueError(f"real: got shape {real.shape}, allowed: ({len(classes)}, {generated.shape[1]})")
    if temperature is not None and not temperature > 0:
        raise ValueError(f"temperature: got {temperature}, allowed: above 0, or None")
    counts = np.bincount(classes)
    if not counts.all():
        raise ValueError(f"labels: got no image of class {int(counts.argmin())}, allowed: one or more of each")
    centers = np.zeros((len(counts), real.shape[1]))
    np.add.at(centers, classes, real)
    centers /= np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), 1e-12)
    cosines = torch.from_numpy(generated.astype(np.float64) @ centers.T)
    if temperature is not None:
        return (cosines / temperature).softmax(dim=1).float()
    return torch.nn.functional.one_hot(cosines.argmax(dim=1), len(counts)).float()
