"""The re-identification networks of a benchmark, each known by its content and loaded when crops must be embedded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from reid.zoo_entries import resolve_source
from tracking.detectors.base import weights_digest


@dataclass(frozen=True)
class Checkpoint:
    """A network that embeds crops; it is loaded by the first call, once a process, so that a cache can do without.

    Attributes:
        path: A .safetensors or .onnx file.
        label: A short name, different from those of the other checkpoints.
        device: As `reid.embedder.Embedder`.
        precision: As there.
        identity: Changes with the content of the file and with the precision.
    """

    path: Path
    label: str
    device: str
    precision: str
    identity: str

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns float32 (N, D) for uint8 RGB crops (H, W, 3)."""
        embeddings: np.ndarray = _embedder(self)(crops)
        return embeddings


@lru_cache(maxsize=2)
def _embedder(checkpoint: Checkpoint) -> Any:
    from reid.embedder import Embedder  # torch is loaded only where a network runs

    return Embedder(checkpoint.path, device=checkpoint.device, precision=checkpoint.precision)


def open_checkpoints(sources: Sequence[Path], device: str, precision: str) -> list[Checkpoint]:
    """Returns the checkpoints, each under a name of its own: the file's, with its folder's where files share one.

    Args:
        sources: Files, or "zoo:NAME" for networks of the zoo.
        device: As `reid.embedder.Embedder`.
        precision: As there.

    Raises:
        FileNotFoundError: When the file of a network of the zoo is not on this machine.
        ValueError: When another file is missing, the zoo has no such network, or one is given twice.
    """
    paths = [resolve_source(source) for source in sources]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(f"--reid: got {' '.join(map(str, paths))}, allowed: each checkpoint once")
    stems = Counter(path.stem for path in paths)
    names = [path.stem if stems[path.stem] == 1 else f"{path.resolve().parent.name}-{path.stem}" for path in paths]
    checkpoints = []
    for number, (path, name) in enumerate(zip(paths, names), start=1):
        if not path.is_file():
            raise ValueError(f"--reid: {path} is no file; give a .safetensors or .onnx checkpoint")
        label = name if names.count(name) == 1 else f"{name}-{number}"
        checkpoints.append(Checkpoint(path, label, device, precision, f"{weights_digest(path)} {precision}"))
    return checkpoints
