"""A picture of generated images beside their nearest training images."""

import os
from collections.abc import Sequence

import numpy as np

from modification_gan.distribution_distances import Rows
from modification_gan.leak_check import nearest_list
from reid.canvas import INK, QUERY
from reid.data.base import Sample
from reid.thumbnail_sheet import ThumbnailSheet


def choose_rows(distances: np.ndarray, count: int, seed: int) -> list[tuple[str, int]]:
    """Chooses what is drawn: the images that are nearest to a training image for one half, random ones for the other.

    Args:
        distances: (M,), of each generated image to its nearest training image.
        count: How many, fewer when there are fewer images.
        seed: Of the random ones.

    Returns:
        A word on why, and the index.
    """
    order = np.argsort(distances, kind="stable")
    count = min(count, len(order))
    suspects, others = order[: count // 2], order[count // 2 :]
    drawn = np.random.default_rng(seed).choice(others, count - count // 2, replace=False)
    return [("nearest", int(index)) for index in suspects] + [("random", int(index)) for index in sorted(drawn)]


def draw_samples(
    path: str | os.PathLike[str],
    generated: tuple[Sequence[Sample], Rows],
    train: tuple[Sequence[Sample], Rows],
    rows: Sequence[tuple[str, int]],
    neighbours: int = 5,
) -> None:
    """Draws a row for each chosen image: the image, then the nearest training images with their cosine distance.

    Args:
        path: The picture, .png or .jpg.
        generated: Images and embeddings (M, D) of norm 1.
        train: Images and embeddings (N, D) of norm 1.
        rows: From `choose_rows`.
        neighbours: Training images a row.

    Raises:
        ValueError: When there is no row, an image cannot be read, or the suffix is unknown.
        FileNotFoundError: When an image is missing.
    """
    if not rows or neighbours < 1:
        raise ValueError(f"rows, neighbours: got {len(rows)}, {neighbours}, allowed: 1 or more")
    samples, embeddings = generated
    sheet = ThumbnailSheet(len(rows), neighbours + 1, "Generated, then the nearest training images (cosine distance)")
    for place, (why, index) in enumerate(rows):
        sheet.note(place, f"{why}\n{os.path.basename(samples[index].path)}")
        sheet.put(place, 0, samples[index], QUERY, "generated")
        for column, (other, distance) in enumerate(nearest_list(embeddings[index], train[1], neighbours), 1):
            sheet.put(place, column, train[0][other], INK, f"{distance:.3f}  id {train[0][other].pid}")
    sheet.save(path)
