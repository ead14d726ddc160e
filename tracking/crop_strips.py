"""A row of crops that shows how a person's identity changed."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reid.data.mot import MotGroundTruth, MotResults
from tracking.drawing import track_colour
from tracking.identity_switches import Following, Switch
from tracking.images import crop_box, read_frame

HEIGHT = 144
_CAPTION, _BAR, _WIDEST = 18, 5, 96
_BACK = 245


@dataclass(frozen=True)
class Shot:
    """One crop: its frame, its box (left, top, width, height), and its track, None for a person without one."""

    frame: int
    xywh: np.ndarray
    track_id: int | None


def choose_shots(switch: Switch, following: Following, rows: MotResults, truth: MotGroundTruth) -> list[Shot]:
    """Returns up to three boxes of the earlier track, two of the person between, and three of the later track."""
    person = np.full(len(rows.frame), -1, np.int64)
    follows = following.truth_row >= 0
    person[follows] = truth.track_id[following.truth_row[follows]]

    def of(track: int, first: int, last: int) -> np.ndarray:
        chosen = (person == switch.person) & (rows.track_id == track) & (rows.frame >= first) & (rows.frame <= last)
        return np.flatnonzero(chosen)[np.argsort(rows.frame[chosen])]

    earlier = of(switch.earlier, switch.before - 60, switch.before)
    later = of(switch.later, switch.frame, switch.frame + 60)
    there = (truth.track_id == switch.person) & (truth.frame > switch.before) & (truth.frame < switch.frame)
    between = np.flatnonzero(there)[np.argsort(truth.frame[there])]
    shots = [Shot(int(rows.frame[row]), rows.xywh[row], switch.earlier) for row in _spread(earlier[::-1], 3)[::-1]]
    shots += [Shot(int(truth.frame[row]), truth.xywh[row], None) for row in _spread(between, 2)]
    return shots + [Shot(int(rows.frame[row]), rows.xywh[row], switch.later) for row in _spread(later, 3)]


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """Returns the first row and others as far apart as they can be, up to ten rows each."""
    step = max(1, min(10, (len(rows) - 1) // max(most - 1, 1)))
    return rows[::step][:most]


def draw_strip(shots: Sequence[Shot], images: Mapping[int, Path]) -> np.ndarray | None:
    """Returns the crops side by side, uint8 RGB, or None where no frame has an image.

    Each has its frame and its track above, and the track's colour below.

    Raises:
        ValueError: When an image cannot be read.
    """
    tiles = [_tile(shot, read_frame(images[shot.frame])) for shot in shots if shot.frame in images]
    return np.concatenate(tiles, axis=1) if tiles else None


def _tile(shot: Shot, image: np.ndarray) -> np.ndarray:
    crop = crop_box(image, shot.xywh)
    scale = min(HEIGHT / crop.shape[0], _WIDEST / crop.shape[1])
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tile = np.full((_CAPTION + HEIGHT + _BAR, _WIDEST + 6, 3), _BACK, np.uint8)
    left, top = (tile.shape[1] - size[0]) // 2, _CAPTION + (HEIGHT - size[1]) // 2
    tile[top : top + size[1], left : left + size[0]] = crop
    words = f"{shot.frame}: " + ("-" if shot.track_id is None else str(shot.track_id))
    cv2.putText(tile, words, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    if shot.track_id is not None:
        tile[-_BAR:, 3:-3] = track_colour(shot.track_id)
    return tile


def as_data_url(image: np.ndarray) -> str:
    """Returns a JPEG that a page can hold."""
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
