"""What annotations say of each image: how much of a person is seen, how large, from where, in which pose."""

import json
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.data.base import Sample

ANNOTATIONS = "annotations.json"
UNKNOWN = "unknown"


def bin_names(edges: Sequence[float], form: str) -> list[str]:
    """Returns "below LOW", "LOW to HIGH", ..., "HIGH and more", one name more than there are edges."""
    texts = [format(edge, form) for edge in edges]
    return [f"below {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts)), f"{texts[-1]} and more"]


def _binned(value: float | None, edges: Sequence[float], names: Sequence[str]) -> str:
    return UNKNOWN if value is None else names[int(np.searchsorted(edges, value, "right"))]


_VISIBILITY = (0.5, 0.75, 0.95)
_SIZE = (64.0, 128.0, 256.0)
_VISIBILITY_BINS, _SIZE_BINS = bin_names(_VISIBILITY, ".0%"), bin_names(_SIZE, ".0f")


def _visibility(note: dict[str, Any]) -> str:
    return _binned(note.get("visibility"), _VISIBILITY, _VISIBILITY_BINS)


def _size(note: dict[str, Any]) -> str:
    box = note.get("box")
    return _binned(None if box is None else float(box[3]), _SIZE, _SIZE_BINS)


def _role(note: dict[str, Any]) -> str:
    return note.get("role") or UNKNOWN


_DIRECTIONS = ["from the front", "from the left", "from behind", "from the right"]
_PARTS = ["shoulders to feet", "feet hidden", "legs hidden", "shoulders hidden"]
_STRIDES = ["legs together", "a step", "a long step"]
# Of COCO's 17 keypoints, left and right.
_SHOULDERS, _HIPS, _KNEES, _ANKLES = slice(5, 7), slice(11, 13), slice(13, 15), slice(15, 17)


def _direction(note: dict[str, Any]) -> str:
    angle = note.get("viewpoint")
    return UNKNOWN if angle is None else _DIRECTIONS[round(float(angle) / 90) % 4]


def _keypoints(note: dict[str, Any]) -> NDArray[np.float64] | None:
    """Returns COCO's 17 keypoints as x, y, v (17, 3), v = 2 where they are visible."""
    points = np.asarray(note.get("keypoints") or [], dtype=float)
    return points if points.shape == (17, 3) else None


def _body(note: dict[str, Any]) -> str:
    points = _keypoints(note)
    if points is None:
        return UNKNOWN
    shoulders, knees, ankles = ((points[part, 2] == 2).any() for part in (_SHOULDERS, _KNEES, _ANKLES))
    if not shoulders:
        return _PARTS[3]
    return _PARTS[0] if ankles else _PARTS[1] if knees else _PARTS[2]


def _stride(note: dict[str, Any]) -> str:
    points = _keypoints(note)
    if points is None:
        return UNKNOWN
    ankles = points[_ANKLES, :2]
    torso = np.linalg.norm(points[_SHOULDERS, :2].mean(axis=0) - points[_HIPS, :2].mean(axis=0))
    return (
        UNKNOWN if torso == 0 else _binned(float(np.linalg.norm(ankles[0] - ankles[1]) / torso), (0.4, 0.9), _STRIDES)
    )


# Attribute to the function that names the group of an annotation, and the order of the groups.
ATTRIBUTES: dict[str, tuple[Callable[[dict[str, Any]], str], list[str]]] = {
    "visibility": (_visibility, _VISIBILITY_BINS),  # share of the person that nothing covers
    "size": (_size, _SIZE_BINS),  # height of the person's box in the camera's picture, in pixels
    "role": (_role, []),
    "direction": (_direction, _DIRECTIONS),  # from where the camera sees the person
    "body": (_body, _PARTS),  # what the picture shows, one of the two shoulders, knees, ankles being enough
    "stride": (_stride, _STRIDES),  # pose of the legs: distance of the ankles over the torso's length, both in pixels
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


def annotation_of(sample: Sample, annotations: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns the annotation of an image.

    Raises:
        ValueError: When there is none; the message names the file.
    """
    note = annotations.get("/".join(Path(sample.path).parts[-2:]))
    if note is None:
        raise ValueError(f"{sample.path}: not in {ANNOTATIONS}; the two are of different worlds")
    return note


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
    return [name_group(annotation_of(sample, annotations)) for sample in samples], order
