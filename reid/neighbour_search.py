"""Nearest neighbours by several means: exact on the CPU, exact through torch on a GPU, approximate through faiss."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reid.approximate_neighbours import approximate_neighbours, require_faiss
from reid.exact_rows import smallest as smallest
from reid.neighbours import ZERO_SHARE, Neighbours, nearest_neighbours

Method = Literal["exact", "hnsw", "ivf"]
METHODS = ("exact", "hnsw", "ivf")
Say = Callable[[str], None]

_DEVICE_ROWS, _DEVICE_COLUMNS = 2048, 16384  # a tile of keys on the GPU: 256 MB of int64


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
            million items and more. These miss some neighbours. The search makes twice the effort until it finds 0.9 of
            those of 256 random items; what it finds is then improved (`reid.neighbour_descent`) until that is 0.99, up
            to four times. The recall is measured against the exact neighbours of 1,000 random items and said. `row_max`
            is the largest distance to 4,096 random items; distances, `cross` and ties are as for "exact". faiss inserts
            into hnsw in several threads: it may differ from run to run.
        device: "cpu" runs compiled loops; a device of torch ("cuda", "cuda:1", "torch-cpu" for torch on the CPU)
            searches there, exactly. Products are rounded differently there, so near-ties may swap.
        threads: At most so many beside those of BLAS and faiss; None means one a core.
        seed: Of the samples.
        say: Told the recall.

    Raises:
        ValueError: When a method or device is unknown or they do not go together, squared norms overflow, or k < 1.
        ModuleNotFoundError: When faiss is asked for and missing.
    """
    check_search(method, device)
    if device == "cpu" and method == "exact":
        return nearest_neighbours(features, k, num_query, threads)
    if min(k, len(features)) < 1:
        raise ValueError(f"k: got {k} for {len(features)} items, allowed: 1 or more of each")
    norms = np.einsum("nd,nd->n", features, features)
    if not np.all(norms < np.finfo(np.float32).max / 4):
        raise ValueError("features: got values whose squares overflow float32, allowed: finite norms below 1e19")
    k = min(k, len(features))
    if method == "exact":
        return _on_device(features, k, num_query, _open_device(device))
    return approximate_neighbours(features, norms, k, num_query, method, threads, seed, say)


def check_search(method: str, device: str) -> None:
    """Refuses what `find_neighbours` cannot do on this machine, before there are features.

    Raises:
        ValueError: When a method or device is unknown or they do not go together.
        ModuleNotFoundError: When faiss is asked for and missing.
    """
    if method not in METHODS:
        raise ValueError(f"neighbours: got {method!r}, allowed: {', '.join(METHODS)}")
    if device != "cpu" and method != "exact":
        raise ValueError(f"device: got {device!r} with neighbours {method!r}, allowed: cpu, or neighbours exact")
    if method != "exact":
        require_faiss(method)
    elif device != "cpu":
        _open_device(device)


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
