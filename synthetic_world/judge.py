"""How real and how hard the world is, judged by networks that never saw it.

Real enough: on every level YOLOv8n finds people who can be seen clearly and YOLOv8n-pose finds their joints; on medium
OSNet is well ahead of a colour histogram. Hard enough: on hard the histogram fails.
"""

import argparse
import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .export import QUERY, TEST, MotOptions, ReidOptions, write_mot, write_reid
from .judge_metrics import histograms, keypoint_similarity, match_boxes, rank_scores
from .levels import LEVELS

OSNET = "osnet_x0_25_msmt17.onnx"
DETECTOR, POSE = "yolov8n_int8_openvino_model", "yolov8n-pose_int8_openvino_model"
IMAGENET_MEAN, IMAGENET_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CONFIDENCE = 0.25
CLEAR = 0.7  # visibility of a person who counts, more than
TALL = {"detect": 100.0, "pose": 150.0}  # height of a person who counts within the image, pixels, more than
LEAST_RATIO, MOST_HISTOGRAM, LEAST_RECALL, LEAST_OKS = 1.5, 0.25, 0.90, 0.6
SEQUENCES, FPS = 6, 1.0  # frames come from that many scenes, a second apart, so that they differ
BATCH = 32

Embed = Callable[[list[np.ndarray]], np.ndarray]  # RGB crops to (N, D), rows of norm 1
Find = Callable[
    [np.ndarray], tuple[np.ndarray, np.ndarray]
]  # BGR image to boxes (N, 4) x0 y0 x1 y1, keypoints (N, 17, 2)


@dataclass(frozen=True)
class Row:
    """One line of the table; `goal` is empty where there is none, and then `reached` is None."""

    what: str
    value: str
    goal: str = ""
    reached: bool | None = None


def _needs(path: Path, models: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"--models {models}: {path.name} is missing; put it there")
    return path


def _needs_package(module: str, install: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"judge needs the package {module}, which is not installed: pip install {install}")


def load_osnet(models: Path, threads: int = 1) -> Embed:
    """OSNet x0.25 trained on MSMT17: crops resized to 128 x 256, RGB / 255, ImageNet's mean and deviation, norm 1."""
    path = _needs(models / OSNET, models)
    _needs_package("onnxruntime", "onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise ValueError(f"{path}: onnxruntime cannot open it: {str(error).splitlines()[0]}") from error
    name = session.get_inputs()[0].name

    def embed(images: list[np.ndarray]) -> np.ndarray:
        resized = np.stack([cv2.resize(image, (128, 256), interpolation=cv2.INTER_LINEAR) for image in images])
        batch = (resized / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
        features = session.run(None, {name: batch.transpose(0, 3, 1, 2).astype(np.float32)})[0]
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    return embed


def load_yolo(models: Path, task: str) -> Find:
    """YOLOv8n (`task` "detect") or YOLOv8n-pose ("pose") by ultralytics and openvino; people only, nothing fetched."""
    path = _needs(models / (DETECTOR if task == "detect" else POSE), models)
    _needs_package("ultralytics", "ultralytics-opencv-headless openvino")
    _needs_package("openvino", "openvino")
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "synthetic-world-judge"))
    from ultralytics import YOLO

    model = YOLO(path, task=task)

    def find(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        result = model.predict(image, conf=CONFIDENCE, classes=[0], verbose=False)[0]
        boxes = result.boxes.xyxy.cpu().numpy().reshape(-1, 4)
        points = np.zeros((len(boxes), 17, 2))
        if task == "pose" and len(boxes):
            points = result.keypoints.xy.cpu().numpy()
        return boxes, points

    return find


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    if image is None:
        raise FileNotFoundError(f"{path}: no image can be read")
    return image


def _crops(folder: Path) -> list[tuple[Path, int, int]]:
    """Images of a Market-1501 folder with pid and camera."""
    found = []
    for path in sorted(folder.glob("*.jpg")):
        name = re.match(r"(-1|\d+)_c(\d+)", path.name)
        if name is None:
            raise ValueError(f"{path}: the name does not begin with PID_cCAMERA")
        found.append((path, int(name[1]), int(name[2])))
    if not found:
        raise FileNotFoundError(f"{folder}: no .jpg images there")
    return found


def judge_reid(root: Path, embed: Embed) -> dict[str, float]:
    """Rank-1 and mAP of both histograms and of the network, and the network's mAP over the better histogram's."""
    methods: dict[str, Embed] = {
        "histogram": lambda images: histograms(images, False),
        "histogram_grey_world": lambda images: histograms(images, True),
        "osnet": embed,
    }
    ids, features = [], []
    for part in (QUERY, TEST):
        crops = [crop for crop in _crops(root / part) if crop[1] != -1]
        rows: dict[str, list[np.ndarray]] = {name: [] for name in methods}
        for start in range(0, len(crops), BATCH):
            images = [_read(path)[:, :, ::-1] for path, _, _ in crops[start : start + BATCH]]
            images = [np.ascontiguousarray(image) for image in images]
            for name, method in methods.items():
                rows[name].append(method(images))
        ids.append(np.array([crop[1:] for crop in crops], np.int64))
        features.append({name: np.concatenate(found) for name, found in rows.items()})
    scores: dict[str, float] = {"queries": len(ids[0]), "gallery": len(ids[1])}
    for name in methods:
        rank1, average = rank_scores(features[0][name], features[1][name], ids[0], ids[1])
        scores |= {f"{name}_rank1": rank1, f"{name}_map": average}
    best = max(scores["histogram_map"], scores["histogram_grey_world_map"])
    return scores | {"best_histogram_map": best, "ratio": scores["osnet_map"] / max(best, 1e-9)}


def frames_of(root: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Images of all sequences of a MOT16 folder of the world, with the people in them."""
    notes = sorted(root.glob("train/*/annotations.json"))
    if not notes:
        raise FileNotFoundError(f"{root}: no train/*/annotations.json there")
    for path in notes:
        for frame in json.loads(path.read_text(encoding="utf-8"))["frames"]:
            yield path.parent / "img1" / f"{frame['frame']:06d}.jpg", frame["people"]


def counted(people: list[dict[str, Any]], size: tuple[int, int], task: str) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4), x0, y0, x1, y1, clipped to the image of `size` (width, height), and who of them counts (N,)."""
    boxes = np.array([person["box"] for person in people], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes = np.clip(boxes, 0, np.array([*size, *size]))
    clear = np.array([person["visibility"] > CLEAR for person in people], bool)
    return boxes, clear & (boxes[:, 3] - boxes[:, 1] > TALL[task])


def judge_detection(root: Path, find: Find) -> dict[str, float]:
    """Recall on people who can be seen clearly, at the least confidence and an intersection over union of 0.5.

    Everybody in the image takes part in the matching, so that nobody is counted as found by another's box.
    """
    people = hits = frames = false = 0
    for path, notes in frames_of(root):
        image = _read(path)
        boxes, counts = counted(notes, (image.shape[1], image.shape[0]), "detect")
        found = find(image)[0]
        matches = match_boxes(boxes, found)
        people += int(counts.sum())
        hits += int((matches[counts] >= 0).sum())
        false += len(found) - int((matches >= 0).sum())
        frames += 1
    return {
        "people": people,
        "recall": hits / max(people, 1),
        "unmatched_per_frame": false / max(frames, 1),
        "frames": frames,
    }


def judge_pose(root: Path, find: Find) -> dict[str, float]:
    """Mean object keypoint similarity on people who can be seen clearly; the area is that of the visible mask.

    `oks` counts people who were not found (no box with an intersection over union of 0.5) as 0, `oks_found` leaves them
    out.
    """
    values: list[float] = []
    missed = 0
    for path, notes in frames_of(root):
        image = _read(path)
        boxes, counts = counted(notes, (image.shape[1], image.shape[0]), "pose")
        found, points = find(image)
        matches = match_boxes(boxes, found)
        for index in np.flatnonzero(counts):
            if matches[index] < 0:
                missed += 1
                continue
            area = float(sum(notes[index]["mask"]["counts"][1::2]))
            value = keypoint_similarity(points[matches[index]], np.array(notes[index]["keypoints"], float), area)
            if np.isfinite(value):
                values.append(value)
    total = sum(values)
    people = len(values) + missed
    return {"people": people, "oks": total / max(people, 1), "oks_found": total / max(len(values), 1)}


def table(level: str, scores: dict[str, dict[str, float]]) -> list[Row]:
    """What was measured, each goal with whether it is reached; parts that were not judged are left out."""
    rows = []
    if reid := scores.get("reid"):
        for label, name in (
            ("colour histogram", "histogram"),
            ("colour histogram, grey world", "histogram_grey_world"),
            ("OSNet x0.25 (MSMT17)", "osnet"),
        ):
            rank1, average = 100 * reid[f"{name}_rank1"], 100 * reid[f"{name}_map"]
            rows.append(Row(f"{label}: Rank-1, mAP", f"{rank1:.1f}, {average:.1f}"))
        ratio, best = reid["ratio"], reid["best_histogram_map"]
        goal = ("on medium >= 1.5", ratio >= LEAST_RATIO) if level == "medium" else ("", None)
        rows.append(Row("OSNet's mAP over the better histogram's", f"{ratio:.2f}", *goal))
        if level == "hard":
            rows.append(Row("better histogram's mAP", f"{100 * best:.1f}", "on hard <= 25", best <= MOST_HISTOGRAM))
    if detection := scores.get("detection"):
        what = f"YOLOv8n: recall of {detection['people']:.0f} people > 100 px"
        recall = detection["recall"]
        rows.append(Row(what, f"{recall:.3f}", ">= 0.90", recall >= LEAST_RECALL))
        rows.append(Row("YOLOv8n: boxes a frame that match nobody", f"{detection['unmatched_per_frame']:.2f}"))
    if pose := scores.get("pose"):
        what = f"YOLOv8n-pose: OKS of {pose['people']:.0f} people > 150 px"
        rows.append(Row(what + ", missed ones 0", f"{pose['oks']:.3f}", ">= 0.6", pose["oks"] >= LEAST_OKS))
        rows.append(Row("YOLOv8n-pose: OKS of those found", f"{pose['oks_found']:.3f}"))
    return rows


def as_markdown(title: str, rows: list[Row]) -> str:
    """The table for people."""
    words = {True: "reached", False: "MISSED", None: ""}
    lines = [f"| {title} | value | goal | |", "|---|---|---|---|"]
    return "\n".join(lines + [f"| {row.what} | {row.value} | {row.goal} | {words[row.reached]} |" for row in rows])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--models", type=Path, required=True, help=f"folder that holds {OSNET}, {DETECTOR} and {POSE}")
    parser.add_argument("--level", nargs="+", choices=list(LEVELS), default=["medium"])
    parser.add_argument("--seed", nargs="+", type=int, default=[0])
    parser.add_argument("--pids", type=int, default=100, help="test identities, in 6 cameras")
    parser.add_argument("--frames", type=int, default=60, help=f"of {SEQUENCES} scenes together")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="make the worlds in that many processes, and give OSNet as many threads",
    )
    parser.add_argument("--reid", type=Path, help="judge this Market-1501 folder of the world, make none")
    parser.add_argument("--mot", type=Path, help="judge this MOT16 folder of the world, make none")
    parser.add_argument("--out", type=Path, help="write the scores there as JSON, too")


def run(options: argparse.Namespace) -> None:
    """Judge all worlds that the options name and print their tables.

    Raises:
        FileNotFoundError: when a model or a folder is missing.
        ValueError: when a package is missing or an option is not allowed.
    """
    given = options.reid is not None or options.mot is not None
    # Models first: nobody wants to wait for a world and then be told that a file is missing.
    embed = load_osnet(options.models, options.processes) if options.reid or not given else None
    find = {task: load_yolo(options.models, task) for task in TALL} if options.mot or not given else {}
    records = []
    worlds = [(level, seed) for level in options.level for seed in options.seed]
    if given:
        worlds = [(_level_of(options.reid, options.mot), -1)]
    for level, seed in worlds:
        with tempfile.TemporaryDirectory(prefix="judge-") as folder:
            reid, mot = options.reid, options.mot
            if not given:
                reid, mot = make_world(Path(folder), level, seed, options.pids, options.frames, options.processes)
            scores = {}
            if reid is not None and embed is not None:
                scores["reid"] = judge_reid(reid, embed)
            if mot is not None:
                scores["detection"] = judge_detection(mot, find["detect"])
                scores["pose"] = judge_pose(mot, find["pose"])
        rows = table(level, scores)
        print(as_markdown(f"{level}, folder" if given else f"{level}, seed {seed}", rows) + "\n", flush=True)
        records.append({"level": level, "seed": None if given else seed} | scores)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def make_world(root: Path, level: str, seed: int, pids: int, frames: int, processes: int) -> tuple[Path, Path]:
    """Folders of crops (one identity more than `pids`, for training) and of frames, those spread over scenes."""
    crops = ReidOptions(pids=pids + 1, level=level, seed=seed, train_fraction=1 / (pids + 1))
    write_reid(crops, root / "reid", processes=processes)
    scenes = min(SEQUENCES, frames)
    video = MotOptions(sequences=scenes, frames=-(-frames // scenes), level=level, seed=seed, fps=FPS)
    write_mot(video, root / "mot", processes=processes)
    return root / "reid", root / "mot"


def _level_of(reid: Path | None, mot: Path | None) -> str:
    """Level that the folders were made with."""
    notes = [reid / "annotations.json"] if reid else []
    notes += (sorted(mot.glob("train/*/annotations.json")) or [mot / "train/*/annotations.json"])[:1] if mot else []
    for path in notes:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: no folder of the world")
    levels = {json.loads(path.read_text(encoding="utf-8"))["world"]["level"] for path in notes}
    if len(levels) != 1:
        raise ValueError(f"--reid, --mot: got folders of {len(levels)} levels, allowed is one ({reid}, {mot})")
    return str(levels.pop())
