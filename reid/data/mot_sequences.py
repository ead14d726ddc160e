"""Which sequences a folder in MOTChallenge's layout holds, and who is who in them."""

import json
import re
from pathlib import Path
from typing import Any

PEDESTRIAN = 1
# MOT17 holds each sequence three times, once a detector, with one ground truth.
_DETECTORS = re.compile(r"-(?:DPM|FRCNN|SDP)$")
_VIEW = re.compile(r"-c(\d+)$")
_LAYOUT = "sequence folders, in it or in its subfolder train, each with seqinfo.ini, gt/gt.txt and its images"

Person = tuple[object, ...]


def find_sequences(root: Path) -> tuple[list[Path], list[str]]:
    """Returns the folders of the sequences by name, each ground truth once, and notes on what was left out.

    Raises:
        FileNotFoundError: When there is none; the message shows the expected layout.
    """
    for folder in (root, root / "train"):
        found = sorted(path.parents[1] for path in folder.glob("*/gt/gt.txt"))
        if found:
            break
    else:
        state = "holds none" if root.is_dir() else "is no folder"
        raise FileNotFoundError(f"{root} {state}; expected {_LAYOUT}")
    unique = {_DETECTORS.sub("", path.name): path for path in reversed(found)}
    copies = len(found) - len(unique)
    notes = [f"{copies} sequences are copies with other detections; each ground truth is read once"] if copies else []
    return [unique[name] for name in sorted(unique)], notes


def scene_and_camera(folder: Path) -> tuple[str, str]:
    """Returns the scene of a sequence, and what its camera is called.

    NAME-c1, NAME-c2, ... are the views of one scene, and c1 is the same camera in every scene. A world's scenes lie at
    different places: each of their views is a camera of its own, as is every sequence that is no view.
    """
    name = _DETECTORS.sub("", folder.name)
    view = _VIEW.search(name)
    if view is None:
        return name, name
    return _VIEW.sub("", name), name if _annotations(folder).is_file() else f"view {int(view[1])}"


def identify(folder: Path, tracks: list[int]) -> dict[int, Person]:
    """Returns who each track of a sequence is: keys that are equal for the same person, over all sequences.

    A world's annotations.json names the identity of each track, which is the same in all its sequences. Elsewhere the
    views of a scene share their numbers, and any other sequence has people of its own.

    Args:
        folder: The sequence.
        tracks: Numbers in its gt/gt.txt.

    Raises:
        ValueError: When annotations.json is damaged or says nothing of a track.
    """
    path = _annotations(folder)
    if not path.is_file():
        scene = scene_and_camera(folder)[0]
        return {track: ("scene", scene, track) for track in tracks}
    try:
        notes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        world = (notes["world"]["level"], notes["world"]["seed"])
        named = {int(one["id"]): int(one["identity"]) for frame in notes["frames"] for one in frame["people"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a world's annotations ({error!r}); restore or remove it") from error
    missing = [track for track in tracks if track not in named]
    if missing:
        raise ValueError(f"{path}: says nothing of identity {missing[0]}, which gt/gt.txt has; restore or remove it")
    return {track: ("world", *world, named[track]) for track in tracks}


def _annotations(folder: Path) -> Path:
    return folder / "annotations.json"
