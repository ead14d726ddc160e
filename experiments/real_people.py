"""Crops of real people, and how well embeddings tell the same person from others (area under the ROC curve)."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from reid.data.images import load_image
from reid.data.mot import read_ground_truth, read_seqinfo

VIDEO = Path("video") / "one-by-one-person-detection.mp4"
FRAMES = Path("mot17-mini") / "train"
MIN_VISIBILITY, MIN_HEIGHT = 0.5, 80
_PEDESTRIAN = 1


@dataclasses.dataclass(frozen=True)
class People:
    """Crops with what is known of them.

    Attributes:
        crops: uint8 RGB (H, W, 3) each.
        person: int64 (N,), alike for the crops of one person.
        scene: int64 (N,); people of different scenes are not compared.
        frame: int64 (N,), the number of the frame in its scene.
    """

    crops: list[np.ndarray]
    person: np.ndarray
    scene: np.ndarray
    frame: np.ndarray


def separation(embeddings: np.ndarray, people: People, apart: int = 1) -> tuple[float, int, int]:
    """Returns the probability that a same-person pair is nearer than a pair of different people.

    Args:
        embeddings: float32 (N, D), rows of norm 1.
        people: What belongs to them.
        apart: Frames between the two crops of a pair of the same person, or more.

    Returns:
        The area under the ROC curve, 0..1, and the numbers of pairs of the same person and of different people.

    Raises:
        ValueError: When one kind of pair is missing.
    """
    first, second = np.triu_indices(len(embeddings), 1)
    same = people.person[first] == people.person[second]
    together = people.scene[first] == people.scene[second]
    used = together & (~same | (np.abs(people.frame[first] - people.frame[second]) >= apart))
    same = same[used]
    if same.all() or not same.any():
        raise ValueError(f"people: got {int(same.sum())} same pairs among {len(same)}, allowed: pairs of both kinds")
    similarity = np.einsum("nd,nd->n", embeddings[first[used]], embeddings[second[used]])
    return float(roc_auc_score(same, similarity)), int(same.sum()), int((~same).sum())


def sequence_people(root: Path) -> People:
    """Cuts people out of the frames of MOT sequences that are there.

    Pedestrians that count in the benchmark, at least half visible and 80 pixels tall; boxes are cut at the border.

    Raises:
        FileNotFoundError: When there is no sequence with frames.
    """
    crops: list[np.ndarray] = []
    rows: list[tuple[int, int, int]] = []
    for scene, folder in enumerate(sorted(path.parent for path in root.glob("*/seqinfo.ini"))):
        info, truth = read_seqinfo(folder), read_ground_truth(folder / "gt" / "gt.txt")
        used = (truth.flag == 1) & (truth.class_id == _PEDESTRIAN)
        used &= (truth.visibility >= MIN_VISIBILITY) & (truth.xywh[:, 3] >= MIN_HEIGHT)
        for frame in np.unique(truth.frame):
            path = folder / info.image_dir / f"{frame:06d}{info.image_extension}"
            if not path.is_file():
                continue
            image = load_image(path)
            for index in np.flatnonzero(used & (truth.frame == frame)):
                left, top, width, height = truth.xywh[index]
                x1, y1 = max(0, round(left - 1)), max(0, round(top - 1))  # MOT's pixels count from 1
                crop = image[y1 : round(top - 1 + height), x1 : round(left - 1 + width)]
                if crop.size:
                    crops.append(crop)
                    rows.append((1_000_000 * scene + int(truth.track_id[index]), scene, int(frame)))
    if not crops:
        raise FileNotFoundError(f"{root}: no sequences with ground truth and frames")
    person, scenes, frames = np.array(rows, np.int64).T
    return People(crops, person, scenes, frames)


def visits(frames: Sequence[int], least: int, gap: int) -> list[tuple[int, int]]:
    """Returns first and last of each run of ascending frame numbers.

    Args:
        frames: In which somebody is there.
        least: Shorter runs are dropped.
        gap: Numbers that may be missing within a run.
    """
    found: list[list[int]] = []
    for frame in frames:
        if found and frame - found[-1][1] <= gap + 1:
            found[-1][1] = frame
        else:
            found.append([frame, frame])
    return [(first, last) for first, last in found if last - first + 1 >= least]


def _frames(path: Path) -> Iterator[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    try:
        while True:
            read, frame = video.read()
            if not read:
                return
            yield frame
    finally:
        video.release()


def _person_box(frame: np.ndarray, empty: np.ndarray) -> tuple[int, int, int, int] | None:
    """Returns x1, y1, x2, y2 of the largest thing that is not in the empty picture, None when there is none."""
    difference = np.abs(frame.astype(np.int16) - empty.astype(np.int16)).max(axis=2)
    mask = cv2.morphologyEx((difference > 40).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    count, _, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    left, top, width, height, area = statistics[1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())]
    if height < 0.4 * frame.shape[0] or area < 0.01 * mask.size:
        return None
    return left, top, left + width, top + height


def video_people(path: Path, every: int = 5, empty_frames: int = 30) -> People:
    """Cuts people out of a video of a fixed camera that nobody is in at first, and then one person after another.

    A person is what differs from the empty picture, and each visit is another person: so it is in the video
    that this is meant for.

    Args:
        path: The video.
        every: Frames from one crop to the next.
        empty_frames: First frames, whose median is the empty picture.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When fewer than two people come.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video")
    first: list[np.ndarray] = []
    found: dict[int, np.ndarray] = {}
    empty: np.ndarray | None = None
    for number, frame in enumerate(_frames(path), 1):
        if empty is None:
            first.append(frame)
            empty = np.median(first, axis=0).astype(np.uint8) if len(first) == empty_frames else None
        elif number % every == 0 and (box := _person_box(frame, empty)) is not None:
            found[number] = cv2.cvtColor(frame[box[1] : box[3], box[0] : box[2]], cv2.COLOR_BGR2RGB)
    runs = visits(list(found), least=4 * every, gap=2 * every)
    if len(runs) < 2:
        raise ValueError(f"{path}: found {len(runs)} people, allowed: two or more, one after another")
    rows = [(person, number) for person, (start, end) in enumerate(runs) for number in found if start <= number <= end]
    person, number = np.array(rows, np.int64).T
    return People([found[int(n)] for n in number], person, np.zeros(len(rows), np.int64), number)


def real_separations(
    root: Path, embed: Callable[[Sequence[np.ndarray]], np.ndarray]
) -> dict[str, dict[str, float | int]]:
    """Returns the separation on the frames of real sequences and on a real video, where they are.

    Pairs of the video that show one person are two seconds apart or more, of 10 frames each.

    Args:
        root: Folder with mot17-mini/train and video/one-by-one-person-detection.mp4.
        embed: Maps crops to embeddings of norm 1.

    Returns:
        "frames" and "video" to auc, same, different (pairs) and people; what is missing is left out.
    """
    found: dict[str, dict[str, float | int]] = {}
    sources: dict[str, tuple[bool, Callable[[], People], int]] = {
        "frames": ((root / FRAMES).is_dir(), lambda: sequence_people(root / FRAMES), 1),
        "video": ((root / VIDEO).is_file(), lambda: video_people(root / VIDEO), 20),
    }
    for name, (there, read, apart) in sources.items():
        if there:
            people = read()
            auc, same, different = separation(embed(people.crops), people, apart)
            count = len(set(people.person.tolist()))
            found[name] = {"auc": auc, "same": same, "different": different, "people": count}
    return found
