"""The nearest gallery images of each query as a table in a file."""

import csv
import os
from collections.abc import Sequence

from reid.data.base import Sample
from reid.evaluation import Ranking
from reid.files import atomic_path

COLUMNS = ("query", "rank", "gallery", "distance", "relation")


def write_nearest(
    path: str | os.PathLike[str], ranking: Ranking, query: Sequence[Sample], gallery: Sequence[Sample]
) -> None:
    """Writes one line for each query and neighbour.

    The relation is "same" (person, another camera), "other", or "left out": of the same person and camera, which the
    protocol leaves out. Ranks count these too. A sample with a box is written as FILE#left,top,right,bottom.

    Args:
        path: The .csv file.
        ranking: With `nearest`.
        query: The samples that were ranked, with the cameras that the protocol goes by.
        gallery: Likewise.

    Raises:
        ValueError: When the ranking kept no neighbours.
    """
    if ranking.nearest is None:
        raise ValueError("ranking: got one without its nearest items, allowed: one that was made with top_k")
    names = [_name(sample) for sample in gallery]
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for sample, distances, indices in zip(query, *ranking.nearest, strict=True):
            for rank, (distance, index) in enumerate(zip(distances, indices, strict=True), start=1):
                found = gallery[index]
                writer.writerow((_name(sample), rank, names[index], f"{distance:.6g}", _relation(sample, found)))


def _relation(query: Sample, found: Sample) -> str:
    if query.pid != found.pid:
        return "other"
    return "left out" if query.camid == found.camid else "same"


def _name(sample: Sample) -> str:
    return sample.path if sample.box is None else f"{sample.path}#{','.join(f'{value:g}' for value in sample.box)}"
