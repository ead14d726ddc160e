"""A line on the error stream that tells how far a video is and how many frames a second are done just now."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

RECENT = 30  # frames over which the rate is taken
QUIET_SECONDS = 10.0  # between two lines where there is no terminal


class FrameRateLine(Protocol):
    """Takes what is shown; called once a frame."""

    def __call__(self, people: int) -> None:
        """Advances by a frame in which so many people are tracked."""


class RecentRate:
    """Frames a second over the last frames."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=RECENT + 1)

    def tick(self, now: float) -> float:
        """Returns the rate after a frame that ended at `now`, in seconds; 0 at the first."""
        self._times.append(now)
        span = now - self._times[0]
        return (len(self._times) - 1) / span if span > 0 else 0.0


@contextmanager
def frame_rate_line(total: int | None) -> Iterator[FrameRateLine]:
    """Yields the function that advances the line: a bar on a terminal, elsewhere a line of text now and then.

    Args:
        total: Frames to come, None where that is not known.
    """
    console = Console(stderr=True)
    rate = RecentRate()
    rate.tick(time.perf_counter())
    of = "" if total is None else f" of {total}"
    done, told = 0, time.perf_counter()
    counter = TextColumn("{task.completed} frames") if total is None else MofNCompleteColumn()
    columns = (BarColumn(), counter, TextColumn("{task.fields[state]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, state="")

        def advance(people: int) -> None:
            nonlocal done, told
            now = time.perf_counter()
            done += 1
            state = f"{rate.tick(now):.1f} frames/s, {people} people"
            progress.update(task, advance=1, state=state)
            if not console.is_terminal and now - told >= QUIET_SECONDS:
                told = now
                print(f"frame {done}{of}: {state}", file=sys.stderr)

        yield advance
