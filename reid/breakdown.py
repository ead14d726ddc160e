"""Scores of groups of queries: by camera, and by what a world's annotations say of each image."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.base import Sample
from reid.metrics import RankResult

ANNOTATIONS = "annotations.json"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class GroupScores:
    """Scores of the queries of one group; ratios in 0..1, None where no query of the group is valid.

    Attributes:
        group: What its queries have in common.
        rank1: Rank-1.
        mAP: Mean average precision.
        num_valid: Valid queries of the group.
        num_skipped: Its other queries.
    """

    group: str
    rank1: float | None
    mAP: float | None
    num_valid: int
    num_skipped: int


def break_down(result: RankResult, groups: Sequence[str], order: Sequence[str] = ()) -> list[GroupScores]:
    """Scores each group of queries by itself, against the whole gallery.

    Args:
        result: Scores of each query.
        groups: The group of each query.
        order: Groups that come first, in this order; those without queries are left out. The rest follows sorted.

    Raises:
        ValueError: When there is not one group a query.
    """
    if len(groups) != len(result.ap):
        raise ValueError(f"groups: got {len(groups)}, allowed: {len(result.ap)}, one a query")
    names = np.array(groups)
    present = sorted(set(groups))
    rows = []
    for name in [*(name for name in order if name in present), *(name for name in present if name not in order)]:
        chosen = names == name
        valid = chosen & (result.first_match > 0)
        count = int(valid.sum())
        rank1 = float(np.mean(result.first_match[valid] == 1)) if count else None
        mean_ap = float(result.ap[valid].mean()) if count else None
        rows.append(GroupScores(name, rank1, mean_ap, count, int(chosen.sum()) - count))
    return rows


def camera_groups(samples: Sequence[Sample]) -> list[str]:
    """Returns "camera 1", ... of each sample, counted from 1 as datasets name them, zero-padded so that they sort."""
    width = len(str(max((sample.camid for sample in samples), default=0) + 1))
    return [f"camera {sample.camid + 1:0{width}d}" for sample in samples]


def _bins(edges: Sequence[float], form: str) -> list[str]:
    texts = [format(edge, form) for edge in edges]
    return [f"below {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts)), f"{texts[-1]} and more"]


def _binned(value: float | None, edges: Sequence[float], names: Sequence[str]) -> str:
    return UNKNOWN if value is None else names[int(np.searchsorted(edges, value, "right"))]


_VISIBILITY = (0.5, 0.75, 0.95)
_SIZE = (64.0, 128.0, 256.0)
_VISIBILITY_BINS, _SIZE_BINS = _bins(_VISIBILITY, ".0%"), _bins(_SIZE, ".0f")


def _visibility(note: dict[str, Any]) -> str:
    return _binned(note.get("visibility"), _VISIBILITY, _VISIBILITY_BINS)


def _size(note: dict[str, Any]) -> str:
    box = note.get("box")
    return _binned(None if box is None else float(box[3]), _SIZE, _SIZE_BINS)


def _role(note: dict[str, Any]) -> str:
    return note.get("role") or UNKNOWN


# Attribute to the function that names the group of an annotation, and the order of the groups.
ATTRIBUTES: dict[str, tuple[Callable[[dict[str, Any]], str], list[str]]] = {
    "visibility": (_visibility, _VISIBILITY_BINS),  # share of the person that nothing covers
    "size": (_size, _SIZE_BINS),  # height of the person's box in the camera's picture, in pixels
    "role": (_role, []),
}


def read_annotations(root: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Reads annotations.json of a world's re-identification folder.

    Returns:
        "folder/name" of each image to its annotation.

    Raises:
        FileNotFoundError: When the folder has none; other datasets have no annotations.
        ValueError: When the file is not what synthetic_world writes.
    """
    path = Path(root) / ANNOTATIONS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no annotations; worlds of `python -m synthetic_world reid` have them")
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        return {image["file"]: image for image in images}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the annotations of a world ({error!r}); write the world again") from error


def attribute_groups(
    samples: Sequence[Sample], annotations: dict[str, dict[str, Any]], attribute: str
) -> tuple[list[str], list[str]]:
    """Returns the group of each sample by an attribute, and the order of the groups.

    Args:
        samples: Images of the annotated folder.
        annotations: As `read_annotations` gives them.
        attribute: A key of `ATTRIBUTES`.

    Raises:
        ValueError: When the attribute is unknown or a sample has no annotation; the message names the file.
    """
    if attribute not in ATTRIBUTES:
        raise ValueError(f"attribute: got {attribute!r}, allowed: {', '.join(ATTRIBUTES)}")
    name_group, order = ATTRIBUTES[attribute]
    groups = []
    for sample in samples:
        note = annotations.get("/".join(Path(sample.path).parts[-2:]))
        if note is None:
            raise ValueError(f"{sample.path}: not in {ANNOTATIONS}; the two are of different worlds")
        groups.append(name_group(note))
    return groups, order
