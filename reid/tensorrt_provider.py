"""What onnxruntime's TensorRT is told of the engine that it builds of an ONNX file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reid.data.images import Preprocessing


@dataclasses.dataclass(frozen=True)
class Engine:
    """What an engine is built for.

    Attributes:
        input: Name of the images.
        shape: Of the images, (N, 3, H, W) with an int where the file says one.
        size: Of the images, where the file leaves it open.
        batch_size: The largest batch.
        fp16: Lets it compute in half precision.
    """

    input: str
    shape: Sequence[Any]
    size: Preprocessing
    batch_size: int
    fp16: bool = False


def engine_options(path: Path, engine: Engine) -> dict[str, Any]:
    """Returns the options of the provider beside the device.

    With a profile onnxruntime builds the engine when the file is opened, once for all batches of 1 to batch_size, tuned
    for the largest; without one it would build at the first batch, and again for each larger or smaller one. A file
    with a fixed shape needs none.

    Args:
        path: The .onnx file, beside which the engine is kept.
        engine: What it is built for.

    Raises:
        ValueError: When the batch size is below 1.
    """
    if engine.batch_size < 1:
        raise ValueError(f"batch_size: got {engine.batch_size}, allowed: 1 or more")
    options: dict[str, Any] = {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(path.parent),
        "trt_fp16_enable": engine.fp16,
    }
    if all(isinstance(length, int) for length in engine.shape):
        return options
    batch = engine.shape[0]
    image = f"3x{engine.size.height}x{engine.size.width}"
    for name, count in (("min", 1), ("opt", engine.batch_size), ("max", engine.batch_size)):
        options[f"trt_profile_{name}_shapes"] = f"{engine.input}:{batch if isinstance(batch, int) else count}x{image}"
    return options
