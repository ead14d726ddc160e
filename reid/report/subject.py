"""One ranking of a test set, with everything that the report asks of it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.annotations import ANNOTATIONS, ATTRIBUTES, UNKNOWN, annotation_of, attribute_groups, read_annotations
from reid.breakdown import CameraPairs, break_down, by_turn, camera_groups, camera_pairs
from reid.data.base import ReIDDataset, Sample
from reid.evaluation import Ranking, protocol_samples
from reid.open_set import NearestDistances, Verification, nearest_distances, verification_pairs

Annotations = dict[str, dict[str, Any]]
Ids = NDArray[np.int64]
Matrix = tuple[NDArray[np.float32], Ids, Ids, Ids, Ids]


@dataclass(frozen=True)
class Subject:
    """A ranking and its samples.

    Attributes:
        name: Of the distance.
        ranking: Distances and scores.
        data: The test set.
        annotations: Of its images, None when there are none.
    """

    name: str
    ranking: Ranking
    data: ReIDDataset
    annotations: Annotations | None = None

    @property
    def title(self) -> str:
        """Name and protocol."""
        return f"{self.name}, {self.ranking.protocol}"

    @cached_property
    def _samples(self) -> tuple[list[Sample], list[Sample]]:
        return protocol_samples(self.data.query, self.data.gallery, self.data.cameras_known)

    @property
    def query(self) -> list[Sample]:
        """The samples of the rows of the distance matrix, with the cameras that the protocol goes by."""
        return self.ranking.of_queries(self._samples[0])

    @property
    def gallery(self) -> list[Sample]:
        """The samples of its columns."""
        return self._samples[1]

    @cached_property
    def matrix_and_ids(self) -> Matrix:
        """Distances, q_pids, g_pids, q_camids, g_camids."""
        (q_pids, q_camids), (g_pids, g_camids) = (
            np.array([(sample.pid, sample.camid) for sample in samples]).T for samples in (self.query, self.gallery)
        )
        return self.ranking.distmat, q_pids, g_pids, q_camids, g_camids

    @cached_property
    def pairs(self) -> Verification:
        """Distances of pairs; raises ValueError where one kind has none."""
        return verification_pairs(*self.matrix_and_ids)

    @cached_property
    def nearest(self) -> NearestDistances:
        """Distances of each query; raises ValueError where no query has a match."""
        return nearest_distances(*self.matrix_and_ids)

    @cached_property
    def cameras(self) -> CameraPairs | None:
        """Scores by pair of cameras; None when they are unknown."""
        return camera_pairs(*self.matrix_and_ids) if self.data.cameras_known else None

    def open_set(self, levels: Sequence[float]) -> list[dict[str, Any]]:
        """Returns what some thresholds do, the suggested one first.

        Args:
            levels: False match rates of the others, in 0..1.

        Returns:
            Rows with "threshold at", "fmr", "fnmr" and the fields of `reid.open_set.OpenSetRates`.

        Raises:
            ValueError: When there is no pair of the same person, or none of different people.
        """
        named = {"best balance (suggested)": self.nearest.suggest()}
        named |= {f"FMR {100 * level:g} %": self.pairs.threshold_at(level) for level in levels}
        named["equal error"] = self.pairs.equal_error()[0]
        rows = []
        for name, threshold in named.items():
            errors = {"fmr": float(self.pairs.fmr(threshold)), "fnmr": float(self.pairs.fnmr(threshold))}
            rows.append({"threshold at": name} | errors | dataclasses.asdict(self.nearest.rates(threshold)))
        return rows

    def breakdown(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the scores of groups of queries, by camera and by each attribute that is annotated."""
        groups: dict[str, tuple[list[str], list[str]]] = {}
        query = self.data.query
        if self.data.cameras_known:
            groups["camera"] = camera_groups(query), []
        for attribute in ATTRIBUTES if self.annotations is not None else ():
            assert self.annotations is not None
            names, order = attribute_groups(query, self.annotations, attribute)
            if set(names) != {UNKNOWN}:
                groups[attribute] = names, order
        return {
            name: [dataclasses.asdict(row) for row in break_down(self.ranking.result, found, order)]
            for name, (found, order) in groups.items()
        }

    def turns(self, threshold: float) -> list[dict[str, Any]]:
        """Returns what turns of the body do to distances; nothing where nobody knows them."""
        if self.annotations is None:
            return []
        rows = by_turn(self.ranking.distmat, self.query, self.gallery, self.annotations, threshold)
        return [dataclasses.asdict(row) for row in rows]


def find_annotations(data: ReIDDataset) -> tuple[Annotations | None, str]:
    """Reads the annotations that lie beside the folders of the test images.

    Returns:
        The annotations, and a sentence that says why they cannot be used. Without a file both are empty.
    """
    samples = [*data.query, *data.gallery]
    root = Path(samples[0].path).parent.parent
    if not (root / ANNOTATIONS).is_file():
        return None, ""
    try:
        annotations = read_annotations(root)
        for sample in samples:
            annotation_of(sample, annotations)
    except ValueError as error:
        return None, f"annotations are left out: {error}"
    return annotations, ""
