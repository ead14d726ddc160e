"""Trainings that an experiment starts as commands, and goes on with where it was interrupted."""

import dataclasses
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reid.config import option_values, parse_config, unless_told
from reid.train_options import TrainConfig

# What makes no difference to a result.
_FREE = ("resume", "threads", "workers", "cache_megabytes", "log", "accelerate", "out")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: In messages.
        folder: Where it goes.
        command: After the interpreter.
    """

    name: str
    folder: Path
    command: list[str]


def is_done(run: Run) -> bool:
    """Returns whether the run has its result.

    Raises:
        ValueError: When it is the result of other options.
    """
    if not (run.folder / "result.json").is_file():
        return False
    path = run.folder / "config.yaml"
    # Read as options, so that one that was left out is the same as one that is told its default.
    wanted, found = _values(run.command[1:]), _values(["--config", str(path)])
    other = [name for name, value in wanted.items() if name not in _FREE and found[name] != value]
    if other:
        changes = ", ".join(f"{name} {found[name]!r} (now {wanted[name]!r})" for name in other)
        raise ValueError(f"{path}: its result was made with {changes}; delete {run.folder} or give another --out")
    return True


def _values(arguments: list[str]) -> dict[str, Any]:
    values, meant = option_values(parse_config(TrainConfig, arguments)), unless_told(TrainConfig)
    return {name: meant.get(name) if value is None else value for name, value in values.items()}


def run_command(command: Sequence[str], what: str) -> None:
    """Runs a command of Python in the current folder, after saying which.

    Args:
        command: After the interpreter.
        what: In messages.

    Raises:
        ValueError: When it fails; its own message stands above.
    """
    print(f"\n{what}\n{shlex.join(['python', *command])}", flush=True)
    done = subprocess.run([sys.executable, *command])
    if done.returncode != 0:
        raise ValueError(f"{what}: failed with status {done.returncode}; see above")
