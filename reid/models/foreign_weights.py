"""Weights of other libraries: read without running code, renamed, loaded, and everything that did not fit named."""

import dataclasses
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

# Under these names training programs put the weights into their checkpoints: torchreid, fast-reid, timm, DINO.
CONTAINERS = ("state_dict", "model", "state_dict_ema", "model_state_dict", "teacher", "net")
# Wrappers (DataParallel, torch.compile) put these before each name.
PREFIXES = ("module.", "_orig_mod.")
# torchreid keeps its scores in the checkpoint as numbers of NumPy.
SAFE: list[Any] = [
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What of a file went into a model. Names are the model's, but those of `unexpected`, which are the file's.

    Attributes:
        path: The file.
        loaded: Parameters and buffers that come from the file now.
        missing: Those that the file lacks; they stay as they were.
        mismatched: Those whose shape differs, with both shapes; they stay as they were.
        unexpected: Names in the file for which the model has no place.
        prefix: What was taken off each name of the file, empty for nothing.
    """

    path: Path
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: Mapping[str, str]
    unexpected: tuple[str, ...]
    prefix: str

    def __str__(self) -> str:
        """Returns a line a fact, with every name."""
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        lines = [f"{self.path}: {len(self.loaded)} of {total} tensors loaded"]
        if self.prefix:
            lines.append(f"  taken off each name: {self.prefix}")
        if self.mismatched:
            lines.append("  of another shape, left as they were: " + ", ".join(map(" ".join, self.mismatched.items())))
        if self.missing:
            lines.append("  missing in the file, left as they were: " + ", ".join(self.missing))
        if self.unexpected:
            lines.append("  in the file, without a place in the model: " + ", ".join(self.unexpected))
        return "\n".join(lines)


def read_state(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], str]:
    """Reads the named tensors of a .safetensors file or of a pickle (.pth, .pt, .tar, ...), on the CPU.

    Returns:
        The tensors, and the prefix that was taken off each name.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When reading the file would run code, or it is damaged or holds no named tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for name in CONTAINERS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
            break
    tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        raise ValueError(f"{path}: no named tensors inside, neither at the top nor under {', '.join(CONTAINERS)}")
    taken = ""
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        taken += prefix
    return tensors, taken


def load_foreign(model: nn.Module, path: str | os.PathLike[str]) -> LoadReport:
    """Loads what fits of a file into a model, in place.

    A model may have a method `foreign_state(state) -> state`, which knows the names that other libraries give to its
    parts. A tensor of one value fits in any shape of one value.

    Args:
        model: Any network of `reid.models`.
        path: See `read_state`; checkpoints of this project are such files too.

    Returns:
        What was loaded and what was not; the caller shall show it.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When the file cannot be read safely, when nothing but the head of the model fits, or when a part
            outside the head has another shape: these are the weights of another network. The model stays as it was.
    """
    state, prefix = read_state(path)
    rename = getattr(model, "foreign_state", None)
    try:
        renamed: dict[str, torch.Tensor] = rename(state) if callable(rename) else state
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    own = model.state_dict()
    mismatched = {
        name: f"(file {tuple(tensor.shape)}, model {tuple(own[name].shape)})"
        for name, tensor in renamed.items()
        if name in own and not _fits(tensor, own[name])
    }
    fitting = {
        name: tensor.reshape(own[name].shape)
        for name, tensor in renamed.items()
        if name in own and name not in mismatched
    }
    wrong = {name: shapes for name, shapes in mismatched.items() if not _in_head(name)}
    if wrong:
        raise ValueError(
            f"{path}: weights of another network: {len(wrong)} tensors differ in shape, e.g. "
            f"{' '.join(next(iter(wrong.items())))}"
        )
    if all(_in_head(name) for name in fitting):
        raise ValueError(
            f"{path}: weights of another network: it begins with {', '.join(list(state)[:3])}, the model with "
            f"{', '.join(list(own)[:3])}"
        )
    model.load_state_dict(fitting, strict=False)
    return LoadReport(
        path=Path(path),
        loaded=tuple(fitting),
        missing=tuple(name for name in own if name not in renamed),
        mismatched=mismatched,
        unexpected=tuple(name for name in renamed if name not in own),
        prefix=prefix,
    )


def _fits(tensor: torch.Tensor, own: torch.Tensor) -> bool:
    return tensor.shape == own.shape or (tensor.numel() == own.numel() == 1)


def _in_head(name: str) -> bool:
    return name.startswith("head.") or "classifier" in name


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from error


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(SAFE):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message advises to switch the check off.
        call = re.search(r"GLOBAL (\S+)", str(error))
        if call:
            raise ValueError(f"{path}: refused, reading it would run code: it calls {call[1]}") from error
        raise ValueError(f"{path}: no file of weights, or damaged") from error
    except (RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).split(". ")[0]
        raise ValueError(f"{path}: no file of weights, or damaged ({reason or 'it ends too early'})") from error
