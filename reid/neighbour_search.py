"""Nearest neighbours by several means: exact on the CPU, exact through torch on a GPU, approximate through faiss."""

import importlib.util
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reid.distances import map_row_blocks
from reid.neighbours import ZERO_SHARE, Neighbours, dot, nearest_neighbours, squared_distance

Method = Literal["exact", "hnsw", "ivf"]
METHODS = ("exact", "hnsw", "ivf")
Say = Callable[[str], None]

_DEVICE_ROWS, _DEVICE_COLUMNS = 2048, 16384  # a tile of keys on the GPU: 256 MB of int64
_SAMPLE = 1000  # items whose neighbours are also searched exactly, to measure the recall
_FAR_SAMPLE = 4096  # items among which the farthest is looked for when the search is approximate
_BLOCK = 512


def find_neighbours(
    features: NDArray[np.float32],
    k: int,
    num_query: int = 0,
    *,
    method: Method = "exact",
    device: str = "cpu",
    threads: int | None = None,
    seed: int = 0,
    say: Say = print,
) -> Neighbours:
    """Returns the k nearest of every item, and the distances between the first num_query items and the rest.

    Args:
        features: float32 (N, D), C-contiguous, finite.
        k: Neighbours an item, itself included, 1 or more.
        num_query: How many of the leading items are queries, 0..N.
        method: "exact"; or "hnsw" (Malkov and Yashunin, arXiv 1603.09320) and "ivf" (inverted lists) of faiss for a
            million items and more. These miss some neighbours: the share that they find is measured against the exact
            ones on 1,000 items and said. Their `row_max` is the largest distance to 4,096 random items; distances,
            `cross` and ties are as for "exact". faiss inserts into hnsw in several threads: it may differ from run to
            run.
        device: "cpu" runs compiled loops; a device of torch ("cuda", "cuda:1", "torch-cpu" for torch on the CPU)
            searches there, exactly. Products are rounded differently there, so near-ties may swap.
        threads: At most so many beside those of BLAS and faiss; None means one a core.
        seed: Of the samples.
        say: Told the recall.

    Raises:
        ValueError: When a method or device is unknown or they do not go together, squared norms overflow, or k < 1.
        ModuleNotFoundError: When faiss is asked for and missing.
    """
    if method not in METHODS:
        raise ValueError(f"neighbours: got {method!r}, allowed: {', '.join(METHODS)}")
    if device == "cpu" and method == "exact":
        return nearest_neighbours(features, k, num_query, threads)
    if device != "cpu" and method != "exact":
        raise ValueError(f"device: got {device!r} with neighbours {method!r}, allowed: cpu, or neighbours exact")
    if min(k, len(features)) < 1:
        raise ValueError(f"k: got {k} for {len(features)} items, allowed: 1 or more of each")
    norms = np.einsum("nd,nd->n", features, features)
    if not np.all(norms < np.finfo(np.float32).max / 4):
        raise ValueError("features: got values whose squares overflow float32, allowed: finite norms below 1e19")
    k = min(k, len(features))
    if method == "exact":
        return _on_device(features, k, num_query, _open_device(device))
    return _approximate(features, norms, k, num_query, method, threads, seed, say)


def _open_device(name: str) -> Any:
    import torch

    if name == "torch-cpu":
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device: got {name!r}, allowed: cpu, torch-cpu, cuda, cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: got {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices here")
    return device


def _on_device(features: NDArray[np.float32], k: int, num_query: int, device: Any) -> Neighbours:
    """Multiplies tile by tile on the device and keeps the k smallest keys (distance, index) of each row.

    Non-negative floats order like their bits, so that a distance and an index make one integer: equal distances then
    rank by index, which topk by itself does not promise.
    """
    import torch

    num = len(features)
    x = torch.from_numpy(features).to(device)
    norms = x.square().sum(dim=1)
    numbers = torch.arange(num, device=device)
    indices, distances = np.empty((num, k), np.int32), np.empty((num, k), np.float32)
    row_max, cross = np.empty(num, np.float32), np.empty((num_query, num - num_query), np.float32)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # TF32 keeps three digits only
    try:
        for top in range(0, num, _DEVICE_ROWS):
            rows = x[top : top + _DEVICE_ROWS]
            stop = top + len(rows)
            best = torch.empty((len(rows), 0), dtype=torch.int64, device=device)
            largest = torch.zeros(len(rows), device=device)
            for left in range(0, num, _DEVICE_COLUMNS):
                right = min(left + _DEVICE_COLUMNS, num)
                total = norms[top:stop, None] + norms[left:right]
                squared = total - 2 * rows @ x[left:right].T
                squared = torch.where(squared > float(ZERO_SHARE) * total, squared, 0.0)
                largest = torch.maximum(largest, squared.amax(dim=1))
                if top < num_query and right > num_query:
                    begin = max(left, num_query)
                    part = squared[: num_query - top, begin - left :]
                    cross[top : min(stop, num_query), begin - num_query : right - num_query] = part.cpu().numpy()
                keys = (squared.view(torch.int32).to(torch.int64) << 32) | numbers[left:right]
                keys = torch.cat([best, keys.topk(min(k, right - left), largest=False, sorted=False).values], dim=1)
                best = keys.topk(min(k, keys.shape[1]), largest=False, sorted=True).values
            found = best.cpu().numpy()
            indices[top:stop] = found & 0xFFFFFFFF
            distances[top:stop] = (found >> 32).astype(np.int32).view(np.float32)
            row_max[top:stop] = largest.cpu().numpy()
    finally:
        torch.set_float32_matmul_precision(precision)
    return Neighbours(indices, distances, row_max, cross)


def _approximate(
    features: NDArray[np.float32],
    norms: NDArray[np.float32],
    k: int,
    num_query: int,
    method: Method,
    threads: int | None,
    seed: int,
    say: Say,
) -> Neighbours:
    num = len(features)
    random = np.random.default_rng(seed)
    found = _search_faiss(features, k, method, seed)
    indices, distances = np.empty((num, k), np.int32), np.empty((num, k), np.float32)

    def order(start: int, stop: int) -> int:
        return _order_rows(features, norms, found, indices, distances, start, stop)

    map_row_blocks(order, num, _BLOCK, threads)
    # Inverted lists may hold fewer than k items: those are searched exactly.
    short = np.flatnonzero((indices < 0).any(axis=1))
    for start in range(0, len(short), _BLOCK):
        rows = short[start : start + _BLOCK]
        indices[rows], distances[rows] = _exact_rows(features, norms, rows, k)
    sample = np.sort(random.choice(num, min(_SAMPLE, num), replace=False))
    exact = np.concatenate(
        [_exact_rows(features, norms, sample[start : start + 64], k)[1] for start in range(0, len(sample), 64)]
    )
    # By distance, not by name: which of several equally near items is found does not matter.
    hits = (distances[sample] <= exact[:, -1:] * np.float32(1 + 1e-5)).mean()
    say(f"{method}: recall {hits:.4f} of the {k} nearest, measured on {len(sample)} of {num} items")
    row_max = _farthest(features, norms, np.sort(random.choice(num, min(_FAR_SAMPLE, num), replace=False)))
    cross = np.empty((num_query, num - num_query), np.float32)
    for start in range(0, num_query, _BLOCK):
        stop = min(start + _BLOCK, num_query)
        cross[start:stop] = squared_block(features, norms, np.arange(start, stop), slice(num_query, None))
        row_max[start:stop] = np.maximum(row_max[start:stop], cross[start:stop].max(axis=1, initial=0))
    return Neighbours(indices, distances, row_max, cross)


def _search_faiss(features: NDArray[np.float32], k: int, method: Method, seed: int) -> NDArray[np.int64]:
    if importlib.util.find_spec("faiss") is None:
        raise ModuleNotFoundError(f"neighbours: {method} needs faiss; install faiss-cpu, or take exact")
    import faiss

    num, size = features.shape
    index: Any
    if method == "hnsw":
        index = faiss.IndexHNSWFlat(size, 32)
        index.hnsw.efConstruction = 80
        index.hnsw.efSearch = max(128, 4 * k)
    else:
        lists = max(1, min(4 * round(num**0.5), num // 39))  # faiss wants 39 items a list for its k-means
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(size), size, lists)
        index.cp.seed = seed + 1
        index.nprobe = max(1, min(lists, 16 + lists // 16))
        index.train(features)
    index.add(features)
    return index.search(features, k)[1]


def squared_block(
    features: NDArray[np.float32], norms: NDArray[np.float32], rows: NDArray[np.int64], columns: slice
) -> NDArray[np.float32]:
    """Returns the squared distances of some rows to some columns, noise around zero cut off; not kept symmetric."""
    total = norms[rows, None] + norms[columns]
    squared = features[rows] @ features[columns].T
    squared *= -2
    squared += total
    total *= ZERO_SHARE
    squared[squared <= total] = 0
    return squared


def _exact_rows(
    features: NDArray[np.float32], norms: NDArray[np.float32], rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    squared = squared_block(features, norms, rows, slice(None))
    return smallest(squared, k)


def _farthest(
    features: NDArray[np.float32], norms: NDArray[np.float32], sample: NDArray[np.int64]
) -> NDArray[np.float32]:
    others, other_norms = features[sample], norms[sample]
    result = np.empty(len(features), np.float32)
    for start in range(0, len(features), _BLOCK):
        block = slice(start, start + _BLOCK)
        squared = norms[block, None] + other_norms - 2 * (features[block] @ others.T)
        result[block] = np.maximum(squared.max(axis=1), 0)
    return result


@njit(cache=True, nogil=True)
def smallest(rows, k):  # type: ignore[no-untyped-def]
    """Returns indices int32 and values (B, k) of the k smallest of each row, sorted; equal values rank by index."""
    indices = np.empty((len(rows), k), np.int32)
    values = np.empty((len(rows), k), np.float32)
    for i in range(len(rows)):
        row = rows[i]
        count = 0
        worst = np.float32(np.inf)
        for j in range(len(row)):
            if count < k or row[j] < worst:
                place = min(count, k - 1)
                while place > 0 and values[i, place - 1] > row[j]:
                    values[i, place] = values[i, place - 1]
                    indices[i, place] = indices[i, place - 1]
                    place -= 1
                values[i, place] = row[j]
                indices[i, place] = j
                count = min(count + 1, k)
                if count == k:
                    worst = values[i, k - 1]
    return indices, values


@njit(cache=True, nogil=True)
def _order_rows(features, norms, found, indices, distances, start, stop):  # type: ignore[no-untyped-def]
    """Sorts what faiss found by (distance, index), the item itself among it; -1 marks rows that are not full."""
    k = found.shape[1]
    for i in range(start, stop):
        present = False
        for p in range(k):
            present |= found[i, p] == i
        if not present:
            found[i, k - 1] = i
        for p in range(k):
            j = found[i, p]
            if j < 0:
                indices[i, 0] = -1
                break
            distance = squared_distance(dot(features[i], features[j]), norms[i], norms[j])
            place = p
            while place > 0 and (
                distances[i, place - 1] > distance
                or (distances[i, place - 1] == distance and indices[i, place - 1] > j)
            ):
                distances[i, place] = distances[i, place - 1]
                indices[i, place] = indices[i, place - 1]
                place -= 1
            distances[i, place] = distance
            indices[i, place] = j
    return 0
