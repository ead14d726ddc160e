"""Embedding a test split and scoring it."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from reid.cuhk03_protocol import SingleShot
from reid.data.base import Sample, Split, image_key
from reid.data.crops import load_crops
from reid.distances import euclidean_distances
from reid.metrics import RankResult, distance_blocks, evaluate_blocks
from reid.neighbour_search import Method, Say, smallest
from reid.reranking import k_reciprocal_blocks, k_reciprocal_rerank

# Maps uint8 RGB images to float32 (N, D).
EmbedFunction = Callable[[Sequence[np.ndarray]], np.ndarray]
Blocks = Iterable[tuple[int, NDArray[np.float32]]]
Distances = Literal["auto", "matrix", "blockwise"]
_Ids = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]  # pids, then camids, of query and gallery each
# Decoded images that wait in memory at a time.
_CHUNK = 256
_LARGEST_MATRIX = 100_000_000  # distances, 400 MB; beyond that "auto" goes by blocks
_KEPT_QUERIES = 256  # whose distances are kept then, for pictures


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Distances and their scores.

    Attributes:
        protocol: "inductive" when a distance depends on its two images alone, "transductive" when other test images
            take part, as they do in re-ranking.
        distmat: float32 (R, num_gallery), the distances of `queries`.
        result: CMC, mAP and mINP of all queries.
        queries: int64 (R,), the numbers of the queries that `distmat` has, ascending; None means all. Blockwise scoring
            keeps 256 random ones of those with a match.
        nearest: Distances float32 and gallery indices int32 (num_query, K) of the nearest, when they were asked for.
        single_shot: CMC float64 (max_rank,) with one random gallery image a person, when it was asked for.
    """

    protocol: str
    distmat: NDArray[np.float32]
    result: RankResult
    queries: NDArray[np.int64] | None = None
    nearest: tuple[NDArray[np.float32], NDArray[np.int32]] | None = None
    single_shot: NDArray[np.float64] | None = None

    def of_queries(self, items: Sequence[Any]) -> list[Any]:
        """Returns those items, one a query, that belong to the rows of `distmat`."""
        return list(items) if self.queries is None else [items[number] for number in self.queries]


@dataclasses.dataclass(frozen=True)
class RankOptions:
    """How distances are made on big sets, and what else is taken from them.

    Attributes:
        distances: "matrix" holds all of them, "blockwise" 64 MB at a time, which gives the same scores; "auto" takes
            blockwise above 100 million.
        neighbours: How re-ranking finds neighbours, see `reid.neighbour_search.find_neighbours`.
        device: Where it does that, see there.
        top_k: Keeps the so many nearest gallery items of each query, equal distances by index.
        single_shot: Draws for `reid.cuhk03_protocol.SingleShot`; None leaves it out.
        seed: Of these draws, and of which queries keep their distances.

    Raises:
        ValueError: When `distances` is unknown or a number is below 1.
    """

    distances: Distances = "auto"
    neighbours: Method = "exact"
    device: str = "cpu"
    top_k: int | None = None
    single_shot: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.distances not in ("auto", "matrix", "blockwise"):
            raise ValueError(f"distances: got {self.distances!r}, allowed: auto, matrix, blockwise")
        for name in ("top_k", "single_shot"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: got {value}, allowed: 1 or more")

    def blockwise(self, num_query: int, num_gallery: int) -> bool:
        """Returns whether so many distances are made block by block."""
        if self.distances == "auto":
            return num_query * num_gallery > _LARGEST_MATRIX
        return self.distances == "blockwise"


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
        ValueError: When there is no sample, or an image cannot be read; the message names the file.
    """
    if not samples:
        raise ValueError(f"{label}: got no image, allowed: one or more")
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
    options: RankOptions | None = None,
    say: Say = print,
) -> dict[str, Ranking]:
    """Scores features by Euclidean distance and, unless told otherwise, by Jaccard re-ranking.

    Args:
        query_features: float32 (Q, D), finite.
        gallery_features: float32 (G, D), finite.
        query: Q samples.
        gallery: G samples.
        rerank: Adds "Jaccard".
        k1: Neighbours of the k-reciprocal sets.
        k2: Neighbours of the local query expansion.
        lambda_value: Share of the original distance in the re-ranked one.
        max_rank: Length of the CMC curve.
        cameras_known: See `protocol_samples`.
        protocol: Of the features; "transductive" for a network that has learnt from test images
            (`Embedder.protocol`), and after steps in which other test images took part.
        options: For big sets and other protocols; None takes the defaults.
        say: Told the recall of an approximate search for neighbours.

    Returns:
        "Euclidean" and "Jaccard" to their rankings.

    Raises:
        ValueError: When a side is empty, shapes do not fit, a feature is not finite, an option is out of its range, or
            no query has a match.
    """
    options = options or RankOptions()
    _check_features("query_features", query_features, len(query))
    _check_features("gallery_features", gallery_features, len(gallery))
    query, gallery = protocol_samples(query, gallery, cameras_known)
    ids = _ids(query, gallery)
    features = (query_features, gallery_features)
    blockwise = options.blockwise(len(query), len(gallery))
    kept = _choose_queries(query, gallery, options.seed) if blockwise else None
    blocks: Blocks = distance_blocks(*features) if blockwise else [(0, euclidean_distances(*features))]
    rankings = {"Euclidean": _rank_blocks(protocol, blocks, ids, max_rank, options, kept)}
    if rerank:
        told: dict[str, Any] = {"k1": k1, "k2": k2, "lambda_value": lambda_value, "say": say}
        told |= {"neighbours": options.neighbours, "device": options.device}
        if blockwise:
            blocks = k_reciprocal_blocks(query_features, gallery_features, **told)
        else:
            blocks = [(0, k_reciprocal_rerank(query_features, gallery_features, top_k=None, **told))]
        rankings["Jaccard"] = _rank_blocks("transductive", blocks, ids, max_rank, options, kept)
    return rankings


def _ids(query: Sequence[Sample], gallery: Sequence[Sample]) -> _Ids:
    q_pids, q_camids = np.array([(sample.pid, sample.camid) for sample in query]).T
    g_pids, g_camids = np.array([(sample.pid, sample.camid) for sample in gallery]).T
    return q_pids, g_pids, q_camids, g_camids


def _rank_blocks(
    protocol: str,
    blocks: Blocks,
    ids: _Ids,
    max_rank: int,
    options: RankOptions,
    kept: NDArray[np.int64] | None,
) -> Ranking:
    """Scores distances that come in blocks, and takes from each block on its way what the options ask for."""
    sampled = None
    if options.single_shot is not None:
        sampled = SingleShot(*ids, repeats=options.single_shot, seed=options.seed, max_rank=max_rank)
    rows: list[NDArray[np.float32]] = []
    nearest: list[tuple[NDArray[np.float32], NDArray[np.int32]]] = []

    def watched() -> Iterator[tuple[int, NDArray[np.float32]]]:
        for start, block in blocks:
            yield start, block  # scored first: that finds what is wrong with it
            if kept is None:
                rows.append(block)
            else:
                rows.append(block[kept[(kept >= start) & (kept < start + len(block))] - start])
            if options.top_k is not None:
                indices, distances = smallest(block, min(options.top_k, block.shape[1]))
                nearest.append((distances, indices))
            if sampled is not None:
                sampled.add(start, block)

    result = evaluate_blocks(watched(), *ids, max_rank=max_rank)
    distmat = rows[0] if len(rows) == 1 else np.concatenate(rows)
    found = (np.concatenate([n[0] for n in nearest]), np.concatenate([n[1] for n in nearest])) if nearest else None
    return Ranking(protocol, distmat, result, kept, found, None if sampled is None else sampled.cmc())


def _choose_queries(query: Split, gallery: Split, seed: int) -> NDArray[np.int64]:
    """Returns the queries whose distances are kept: random ones among those with a match."""
    cameras: dict[int, set[int]] = {}
    for sample in gallery:
        cameras.setdefault(sample.pid, set()).add(sample.camid)
    valid = [number for number, sample in enumerate(query) if cameras.get(sample.pid, set()) - {sample.camid}]
    count = min(_KEPT_QUERIES, len(valid))
    return np.sort(np.random.default_rng(seed).choice(np.array(valid, np.int64), count, replace=False))


def _check_features(name: str, features: np.ndarray, count: int) -> None:
    array = np.asarray(features)
    if array.ndim != 2 or len(array) != count or 0 in array.shape:
        raise ValueError(f"{name}: got shape {array.shape} for {count} samples, allowed: (N, D) with N of 1 or more")
    broken = ~np.isfinite(array).all(axis=1)
    if broken.any():
        raise ValueError(f"{name}: got NaN or infinity in row {int(broken.argmax())}, allowed: finite numbers")


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


def check_cameras(embed: EmbedFunction, cameras_known: bool) -> None:
    """Refuses a network with camera vectors for images of unknown cameras.

    Raises:
        ValueError: When the network must be told the cameras and nobody knows them.
    """
    if getattr(embed, "needs_cameras", False) and not cameras_known:
        raise ValueError("cameras: got a dataset that does not say them, for a network that was trained with --sie")


def protocol_of(cameras_known: bool) -> dict[str, str]:
    """Returns what a score record says of the cameras."""
    known, unknown = "known: same identity and camera left out", "unknown: nothing left out but the query image itself"
    return {"cameras": known if cameras_known else unknown}


def scores_of(result: RankResult) -> dict[str, float | int]:
    """Returns the numbers of a record: ratios in 0..1, and how many queries they are over."""
    return result.scores() | {"num_valid": result.num_valid, "num_skipped": result.num_skipped}
