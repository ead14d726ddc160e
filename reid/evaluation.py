"""Embedding a test split and scoring it."""

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np
from rich.progress import track

from reid.data.base import Sample, Split, image_key
from reid.data.crops import load_crops
from reid.distances import euclidean_distances
from reid.metrics import RankResult, evaluate_rank
from reid.reranking import k_reciprocal_rerank

# Maps uint8 RGB images to float32 (N, D).
EmbedFunction = Callable[[Sequence[np.ndarray]], np.ndarray]
# Decoded images that wait in memory at a time.
_CHUNK = 256


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A distance matrix and its scores.

    Attributes:
        protocol: "inductive" when a distance depends on its two images alone, "transductive" when other test images
            take part, as they do in re-ranking.
        distmat: float32 (num_query, num_gallery).
        result: CMC, mAP and mINP.
    """

    protocol: str
    distmat: np.ndarray
    result: RankResult


def embed_samples(embed: EmbedFunction, samples: Sequence[Sample], label: str, quiet: bool = False) -> np.ndarray:
    """Embeds the images of samples, with a progress bar.

    Args:
        embed: Maps uint8 RGB images to float32 (N, D).
        samples: Their files are read in order.
        label: What the progress bar says.
        quiet: Shows no bar.

    Returns:
        float32 (len(samples), D).

    Raises:
        ValueError: When an image cannot be read; the message names the file.
    """
    starts = range(0, len(samples), _CHUNK)
    rows = []
    for start in track(starts, description=label, disable=quiet):
        part = samples[start : start + _CHUNK]
        crops = load_crops(part)
        # Only networks with camera vectors are told the cameras; other functions need not know the argument.
        told = getattr(embed, "needs_cameras", False)
        rows.append(embed(crops, camids=[sample.camid for sample in part]) if told else embed(crops))  # type: ignore[call-arg]
    return np.concatenate(rows)


def rank(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    *,
    rerank: bool = True,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    max_rank: int = 50,
    cameras_known: bool = True,
    protocol: str = "inductive",
) -> dict[str, Ranking]:
    """Scores features by Euclidean distance and, unless told otherwise, by Jaccard re-ranking.

    Args:
        query_features: float32 (Q, D).
        gallery_features: float32 (G, D).
        query: Q samples.
        gallery: G samples.
        rerank: Adds "Jaccard".
        k1: Neighbours of the k-reciprocal sets.
        k2: Neighbours of the local query expansion.
        lambda_value: Share of the original distance in the re-ranked one.
        max_rank: Length of the CMC curve.
        cameras_known: See `protocol_samples`.
        protocol: Of the network; "transductive" for one that has learnt from test images (`Embedder.protocol`).

    Returns:
        "Euclidean" and "Jaccard" to their rankings.
    """
    query, gallery = protocol_samples(query, gallery, cameras_known)
    q_pids, q_camids = np.array([(s.pid, s.camid) for s in query]).T
    g_pids, g_camids = np.array([(s.pid, s.camid) for s in gallery]).T
    distances = {"Euclidean": (protocol, euclidean_distances(query_features, gallery_features))}
    if rerank:
        jaccard = k_reciprocal_rerank(query_features, gallery_features, k1, k2, lambda_value)
        distances["Jaccard"] = ("transductive", jaccard)
    return {
        name: Ranking(kind, distmat, evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids, max_rank))
        for name, (kind, distmat) in distances.items()
    }


def protocol_samples(query: Sequence[Sample], gallery: Sequence[Sample], cameras_known: bool) -> tuple[Split, Split]:
    """Returns the samples with the cameras that the protocol goes by.

    The protocol takes gallery images of the query's identity and camera out. Where cameras are unknown each image
    counts as a camera of its own, the same for the same file and box, so that only the query itself is taken out.
    """
    if cameras_known:
        return list(query), list(gallery)
    numbers: dict[tuple[str, tuple[float, ...] | None], int] = {}
    own = [
        [dataclasses.replace(sample, camid=numbers.setdefault(_real_key(sample), len(numbers))) for sample in split]
        for split in (query, gallery)
    ]
    return own[0], own[1]


def _real_key(sample: Sample) -> tuple[str, tuple[float, ...] | None]:
    path, box = image_key(sample)
    return os.path.realpath(path), box


def protocol_of(cameras_known: bool) -> dict[str, str]:
    """Returns what a score record says of the cameras."""
    known, unknown = "known: same identity and camera left out", "unknown: nothing left out but the query image itself"
    return {"cameras": known if cameras_known else unknown}


def scores_of(result: RankResult) -> dict[str, float | int]:
    """Returns the numbers of a record: ratios in 0..1, and how many queries they are over."""
    return result.scores() | {"num_valid": result.num_valid, "num_skipped": result.num_skipped}
