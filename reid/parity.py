"""What an export costs and gains, in the terms of the task: embeddings, retrieval, tracking, speed, size."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.base import ReIDDataset
from reid.embedder import Embedder
from reid.evaluation import check_cameras, embed_samples, protocol_of, rank, scores_of

BATCHES = (1, 32)
_ROOT = Path(__file__).resolve().parents[1]
_LEAST_SECONDS, _LEAST_ROUNDS = 1.0, 3


@dataclasses.dataclass(frozen=True)
class CosineParity:
    """How near two networks' embeddings of the same images are.

    Attributes:
        mean_cosine: Mean over the images.
        min_cosine: The worst image's.
        num_images: How many there were.
    """

    mean_cosine: float
    min_cosine: float
    num_images: int


def cosine_parity(first: np.ndarray, second: np.ndarray) -> CosineParity:
    """Compares embeddings (N, D) with rows of norm 1."""
    cosines = (first * second).sum(axis=1)
    return CosineParity(float(cosines.mean()), float(cosines.min()), len(cosines))


def retrieval_parity(first: Embedder, second: Embedder, data: ReIDDataset, quiet: bool = False) -> dict[str, Any]:
    """Scores both networks on a labelled set, by Euclidean distance.

    Returns:
        The scores of each as "before" and "after" (ratios in 0..1), "change" (after minus before, mAP and Rank-1), the
        cosines of all test images, and what counts as a match of the same camera.

    Raises:
        ValueError: When the network must be told the cameras and the set does not know them.
    """
    found, features = [], []
    for embed in (first, second):
        check_cameras(embed, data.cameras_known)
        rows = embed_samples(embed, [*data.query, *data.gallery], embed.name, quiet)
        query, gallery = rows[: len(data.query)], rows[len(data.query) :]
        ranking = rank(query, gallery, data.query, data.gallery, rerank=False, cameras_known=data.cameras_known)
        found.append(scores_of(ranking["Euclidean"].result))
        features.append(rows)
    before, after = found
    return {
        "before": before,
        "after": after,
        "change": {name: after[name] - before[name] for name in ("mAP", "Rank-1")},
        **dataclasses.asdict(cosine_parity(*features)),
        **protocol_of(data.cameras_known),
    }


def speeds(embedders: Sequence[Embedder], clock: Callable[[], float] = time.perf_counter) -> list[dict[str, float]]:
    """Measures crops a second, from uint8 crops of the network's own size to embeddings, the networks in turn.

    Args:
        embedders: Each is given batches of 1 and of 32.
        clock: In seconds.

    Returns:
        For each "batch 1" and "batch 32", medians over the rounds.
    """
    found: list[dict[str, float]] = [{} for _ in embedders]
    for batch in BATCHES:
        seconds: list[list[float]] = [[] for _ in embedders]
        random = np.random.default_rng(0)
        crops = []
        for embed in embedders:
            shape = (batch, embed.preprocessing.height, embed.preprocessing.width, 3)
            crops.append(list(random.integers(0, 256, shape, np.uint8)))
            embed(crops[-1])
        while sum(map(sum, seconds)) < len(embedders) * _LEAST_SECONDS or len(seconds[0]) < _LEAST_ROUNDS:
            for number, embed in enumerate(embedders):
                start = clock()
                embed(crops[number])
                seconds[number].append(clock() - start)
        for row, own in zip(found, seconds, strict=True):
            row[f"batch {batch}"] = batch / statistics.median(own)
    return found


def file_bytes(path: str | os.PathLike[str]) -> int:
    """Returns the size of a network's file, of an OpenVINO network with the file of its weights."""
    path = Path(path)
    weights = path.with_suffix(".bin")
    return path.stat().st_size + (weights.stat().st_size if path.suffix == ".xml" else 0)


def tracking_parity(sequences: Path, first: Path, second: Path, tracker: str = "strongsort") -> dict[str, Any]:
    """Scores a tracker with each of two networks, by running tracking/mot16_benchmark.py.

    This package knows nothing of trackers, so a process of its own does it.

    Args:
        sequences: Folder of sequence folders with images, det/det.txt and gt/gt.txt.
        first: A network's file.
        second: Another one.
        tracker: A name of `--tracking-method`.

    Returns:
        HOTA and IDF1 of each as "before" and "after" (ratios in 0..1), and "change".

    Raises:
        ValueError: When the benchmark fails; the message is its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        # The two are told apart by their number: exports often lie beside their source under its name.
        found = []
        for number, path in enumerate((first, second)):
            out = Path(folder) / str(number)
            command = [sys.executable, str(_ROOT / "tracking" / "mot16_benchmark.py"), "--gt", str(sequences)]
            command += ["--tracking-method", tracker, "--reid", str(path), "--out", str(out)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
                raise ValueError(f"{sequences}: tracking with {path} failed: {reason[0]}")
            found.append(_combined((out / "result.json").read_text(encoding="utf-8")))
    before, after = found
    change = {name: after[name] - before[name] for name in before}
    return {"tracker": tracker, "before": before, "after": after, "change": change}


def _combined(text: str) -> dict[str, float]:
    """Returns HOTA and IDF1 over all sequences of the only run of a benchmark's result.json."""
    record = next(iter(json.loads(text).values()))
    return {name: float(record["scores"]["COMBINED"][name]) for name in ("HOTA", "IDF1")}
