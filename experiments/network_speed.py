"""Crops a second of a checkpoint, by torch and by onnxruntime."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid.distances import available_threads
from reid.export import export_onnx
from reid.models.reparameterise import reparameterise
from reid.onnx_backend import open_session
from reid.torch_backend import load_model

BATCHES = (1, 32)
_LEAST_SECONDS, _LEAST_RUNS = 1.0, 3


def crops_per_second(run: Callable[[], Any], batch: int) -> float:
    """Returns the median speed of a function that embeds a batch, after one call that does not count."""
    run()
    seconds: list[float] = []
    while sum(seconds) < _LEAST_SECONDS or len(seconds) < _LEAST_RUNS:
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return batch / statistics.median(seconds)


def _by_torch(path: Path, threads: int) -> dict[str, float]:
    model, card = load_model(path, with_classifier=False)
    network = reparameterise(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    found = {}
    with torch.inference_mode():
        for batch in BATCHES:
            size = (batch, 3, card.preprocessing.height, card.preprocessing.width)
            images = torch.rand(size).contiguous(memory_format=torch.channels_last)
            found[f"torch {batch}"] = crops_per_second(lambda images=images: network(images, None), batch)  # type: ignore[misc]
    torch.set_num_threads(before)
    return found


def _by_onnxruntime(path: Path, threads: int) -> dict[str, float]:
    session = open_session(path, "cpu", threads)
    entry = session.get_inputs()[0]
    height, width = entry.shape[2:]
    kind = np.float32 if entry.type == "tensor(float)" else np.uint8
    found = {}
    for batch in BATCHES:
        if isinstance(entry.shape[0], int) and entry.shape[0] != batch:
            continue  # exported for batches of another size alone
        images = np.random.default_rng(0).integers(0, 256, (batch, 3, height, width)).astype(kind)
        found[f"onnxruntime {batch}"] = crops_per_second(
            lambda images=images: session.run(None, {entry.name: images}), batch
        )  # type: ignore[misc]
    return found


def network_speed(path: Path, threads: int | None = None) -> dict[str, Any]:
    """Measures the network alone, in float32, on the CPU: images that are resized and normalised already.

    Args:
        path: A .safetensors checkpoint, or an .onnx file, which torch does not run.
        threads: Of either library; None takes the cores that this process may use.

    Returns:
        Crops a second as "torch 1", "torch 32", "onnxruntime 1", "onnxruntime 32", where they could be measured, and
        the "threads".
    """
    threads = threads or available_threads()
    found: dict[str, Any] = {"threads": threads}
    if path.suffix == ".onnx":
        return found | _by_onnxruntime(path, threads)
    found |= _by_torch(path, threads)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(path, Path(folder) / "model.onnx")
        return found | _by_onnxruntime(Path(folder) / "model.onnx", threads)
