"""Where a training stands, on disk: what `--resume` goes on from after a crash."""

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid.files import atomic_path

KEPT = 2
_ARCHIVE = ("inline_container", "PytorchStreamWriter", "unexpected pos")  # in messages of torch's archive writer


class StateFolder:
    """The last two states of a training; a damaged one falls back to the one before.

    Files hold tensors and plain values only and are read without running code. They are written under another name and
    moved into place, so that a crash while writing leaves the states of before.

    Args:
        folder: Made when the first state is written.
        say: Told of damaged files.
        every_epochs: Epochs between two states; 0 writes none at the ends of epochs.
        every_steps: Batches between two states within an epoch; 0 writes none there.

    Raises:
        ValueError: When a number is negative.
    """

    def __init__(
        self, folder: Path, say: Callable[[str], None] = print, every_epochs: int = 1, every_steps: int = 0
    ) -> None:
        if every_epochs < 0 or every_steps < 0:
            raise ValueError(f"state every epochs, steps: got {every_epochs}, {every_steps}, allowed: 0 or more")
        self.folder = folder
        self.say = say
        self.every_epochs = every_epochs
        self.every_steps = every_steps

    def paths(self) -> list[Path]:
        """Returns the files, oldest first."""
        return sorted(self.folder.glob("epoch-*.pt"))

    def clear(self) -> None:
        """Removes all states, and what a crash left of one."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if "epoch-" in path.name:
                    path.unlink()

    def save(self, state: dict[str, Any], epoch: int, batches: int) -> None:
        """Writes a state that stands `batches` batches into the epoch after `epoch` whole ones.

        Raises:
            OSError: When it cannot be written; the states of before stay, and nothing of this one.
        """
        path = self.folder / f"epoch-{epoch:05d}-batch-{batches:07d}.pt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                torch.save(state, temporary)
        except (OSError, RuntimeError) as error:
            # What torch cannot write is a RuntimeError of its archive writer; others are none of the disk's.
            if isinstance(error, RuntimeError) and not any(word in str(error) for word in _ARCHIVE):
                raise
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
            raise OSError(
                f"{path}: could not be written ({reason}); is the disk full? With free space --resume goes on from "
                "the state before it"
            ) from error
        for old in self.paths()[:-KEPT]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """Returns the newest readable state, on the CPU, or None when there is none at all.

        Raises:
            ValueError: When there are files and none is readable.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except (RuntimeError, EOFError, pickle.UnpicklingError, OSError, ValueError, KeyError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                if isinstance(error, pickle.UnpicklingError):
                    reason = "no file of tensors and plain values"  # torch's own words advise to run its code
                self.say(f"WARNING: {path} is damaged ({reason}); going on from the state before it")
                continue
            self.say(f"going on from {path}")
            return state
        if paths:
            raise ValueError(f"{self.folder}: no state is readable; remove the folder, or leave --resume out")
        return None


def random_state(generator: torch.Generator | None) -> dict[str, Any]:
    """Returns the state of all random numbers of this process, and of `generator`, as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "generator": None if generator is None else generator.get_state(),
    }


def restore_random_state(state: dict[str, Any], generator: torch.Generator | None) -> None:
    """Takes what `random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if generator is not None:
        generator.set_state(state["generator"])
