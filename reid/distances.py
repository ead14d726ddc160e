"""Euclidean and cosine distance matrices, shared by losses (torch), metrics and re-ranking (NumPy).

torch is not imported here: who passes tensors has imported it already. The loop over blocks of rows in threads, which
scoring and re-ranking share, lives here too.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Float32Array = NDArray[np.float32]
Result = TypeVar("Result")

# Below it the root's gradient, 1 / (2 d), would blow up: 1e-12 keeps it at 5e5 at most, and the clamp makes it 0.
MIN_SQUARED = 1e-12
MAX_THREADS = 16


@overload
def euclidean_distances(x: Any, y: "torch.Tensor") -> "torch.Tensor": ...
@overload
def euclidean_distances(x: Any, y: NDArray[Any]) -> Float32Array: ...
def euclidean_distances(x: Any, y: Any) -> Any:
    """Returns all Euclidean (not squared) distances.

    Args:
        x: (N, D), array or tensor.
        y: (M, D), of the same kind.

    Returns:
        (N, M), values >= 0. Arrays give float32. Tensors give float32, or float64 when that comes in, are
        differentiable, and are computed at that precision inside autocast too, because the difference of large squares
        cancels in half precision. Tensor distances are at least 1e-6, with a gradient of zero there.

    Raises:
        ValueError: When x and y are not two-dimensional with the same D.
    """
    _check_pair(x, y)
    if not _is_tensor(x):
        return np.sqrt(_squared_arrays(_as_float32(x), _as_float32(y)))
    torch = sys.modules["torch"]
    with torch.autocast(x.device.type, enabled=False):
        x, y = _full_precision(x), _full_precision(y)
        squared = x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T  # (N, M)
        return squared.clamp(min=MIN_SQUARED).sqrt()


@overload
def cosine_distances(x: Any, y: "torch.Tensor") -> "torch.Tensor": ...
@overload
def cosine_distances(x: Any, y: NDArray[Any]) -> Float32Array: ...
def cosine_distances(x: Any, y: Any) -> Any:
    """Returns all cosine distances 1 - cos(x, y), in 0..2. Rows of zeros have distance 1 to everything.

    Args, types and errors are those of `euclidean_distances`.
    """
    _check_pair(x, y)
    if not _is_tensor(x):
        x, y = _unit_rows(_as_float32(x)), _unit_rows(_as_float32(y))
        similarity = x @ y.T
        np.subtract(1, similarity, out=similarity)
        return np.clip(similarity, 0, 2, out=similarity)
    torch = sys.modules["torch"]
    with torch.autocast(x.device.type, enabled=False):
        x, y = (torch.nn.functional.normalize(_full_precision(rows), dim=1) for rows in (x, y))
        return (1 - x @ y.T).clamp(0, 2)


def available_threads() -> int:
    """Returns how many threads are worth starting: the cores this process may use, at most `MAX_THREADS`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_THREADS)


def cpu_threads(threads: int | None) -> int:
    """Returns how many threads a network takes.

    Args:
        threads: What was asked for; None takes `available_threads`.

    Raises:
        ValueError: When it is below 1 or above the number of the machine's cores.
    """
    cores = os.cpu_count() or 1
    if threads is not None and not 1 <= threads <= cores:
        raise ValueError(f"threads: got {threads}, allowed: 1 to {cores}, the number of cores")
    return available_threads() if threads is None else threads


def map_row_blocks(
    function: Callable[[int, int], Result], num_rows: int, block_rows: int, threads: int | None = None
) -> list[Result]:
    """Calls function(start, stop) for each block of rows, in threads, and returns the results in order of the rows.

    The functions are compiled with nogil=True. Plain threads are used rather than numba's parallel loops, whose OpenMP
    layer kills processes that fork later (data loaders do) and must not be entered twice at the same time. The blocks
    do not depend on the number of threads, therefore neither do the results.
    """
    blocks = [(start, min(start + block_rows, num_rows)) for start in range(0, num_rows, block_rows)]
    workers = min(threads or available_threads(), len(blocks))
    if workers <= 1:
        return [function(*block) for block in blocks]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda block: function(*block), blocks))


def _is_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _check_pair(x: Any, y: Any) -> None:
    if _is_tensor(x) != _is_tensor(y):
        raise ValueError(f"x, y: got {type(x).__name__} and {type(y).__name__}, allowed: two arrays or two tensors")
    if not _is_tensor(x):
        x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"x, y: got shapes {tuple(x.shape)} and {tuple(y.shape)}, allowed: (N, D) and (M, D)")


def _as_float32(x: Any) -> Float32Array:
    return np.ascontiguousarray(x, dtype=np.float32)


def _full_precision(x: "torch.Tensor") -> "torch.Tensor":
    return x if x.dtype == sys.modules["torch"].float64 else x.float()


def _squared_arrays(x: Float32Array, y: Float32Array) -> Float32Array:
    squared = x @ y.T  # one (N, M) array, worked on in place
    squared *= -2
    squared += np.einsum("nd,nd->n", x, x)[:, None]
    squared += np.einsum("md,md->m", y, y)
    return np.maximum(squared, 0, out=squared)


def _unit_rows(x: Float32Array) -> Float32Array:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.maximum(norms, np.float32(1e-12))
