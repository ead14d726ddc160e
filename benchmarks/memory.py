"""Time and memory of one piece of work, in a process of its own."""

import gc
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Cost:
    """What a piece of work took; filled in when it ends.

    Attributes:
        seconds: Of the clock.
        cpu_seconds: Of all threads of the process together, which others on the machine disturb less.
        beyond: GB of resident memory at its peak above those at its start.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    beyond: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measures what its block costs.

    Linux lets the peak of a process start anew; elsewhere work that stays below an earlier peak counts as 0.
    """
    cost = Cost()
    gc.collect()
    if _CLEAR.exists():
        _CLEAR.write_text("5")
    before = _resident("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        cost.seconds, cost.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        cost.beyond = max(0.0, _resident("VmHWM") - before)


def peak_gigabytes() -> float:
    """Returns the largest resident memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform != "darwin" else 1) / 1e9


def _resident(name: str) -> float:
    """Returns the resident memory now (VmRSS) or at its peak (VmHWM), in GB; the peak for both elsewhere."""
    if not _CLEAR.exists():
        return peak_gigabytes()
    lines = _STATUS.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e9
