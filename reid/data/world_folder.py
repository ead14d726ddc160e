"""Folders of the procedural world: written when they are missing, once however many processes ask."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

_REPOSITORY = Path(__file__).resolve().parents[2]
_WAIT_SECONDS = 6 * 3600  # a large world takes hours on one core


def ensure_world(folder: Path, kind: Literal["reid", "mot"], options: Mapping[str, str | int]) -> bool:
    """Writes a world with `python -m synthetic_world KIND` when its folder does not exist.

    Of several processes on one machine the first one writes and the others wait.

    Args:
        folder: It appears when the world is complete.
        kind: "reid" is Market-1501's layout, "mot" MOT16's.
        options: Of that command.

    Returns:
        Whether the folder was missing.

    Raises:
        ValueError: When the world cannot be written.
    """
    if folder.exists():
        return False
    if os.environ.get("LOCAL_RANK", "0") == "0":
        _write(folder, kind, options)
    else:
        _wait(folder)
    return True


def _write(folder: Path, kind: str, options: Mapping[str, str | int]) -> None:
    print(f"{folder} does not exist: writing a world of people there (python -m synthetic_world {kind})", flush=True)
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "synthetic_world", kind, "--out", str(folder.resolve()), *words]
    # The caller's terminal shows the progress; only the reason of a failure is wanted here.
    done = subprocess.run(
        [*command, "--processes", str(os.cpu_count() or 1)], cwd=_REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ValueError(f"{folder}: the world could not be written: {reason[0]}")


def _wait(folder: Path) -> None:
    stop = time.monotonic() + _WAIT_SECONDS
    while not folder.exists():
        if time.monotonic() > stop:
            raise ValueError(f"{folder}: the first process has not written the world in {_WAIT_SECONDS // 3600} hours")
        time.sleep(0.5)
