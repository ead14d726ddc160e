"""Work units in one or several processes, with a progress bar."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import cv2

Task = TypeVar("Task")
Result = TypeVar("Result")


def _bar(label: str, done: int, total: int, started: float) -> None:
    elapsed = time.monotonic() - started
    left = elapsed / done * (total - done) if done else 0.0
    filled = 30 * done // max(total, 1)
    rate = done / max(elapsed, 1e-9)
    bar = "#" * filled + "." * (30 - filled)
    text = f"\r{label} [{bar}] {done}/{total} {rate:.1f}/s, {left:.0f} s left "
    sys.stderr.write(text)
    sys.stderr.flush()


def _single_thread() -> None:
    cv2.setNumThreads(1)


def run_all(function: Callable[[Task], Result], tasks: Sequence[Task], processes: int, label: str) -> Iterator[Result]:
    """Results in the order of the tasks, drawn on stderr as they come.

    Args:
        function: a function of a module, so that other processes can find it.
        tasks: its arguments; results must depend on nothing else.
        processes: 1 works in this process.
        label: what the bar is called.
    """
    started = last = time.monotonic()
    pool: Any = None
    if processes > 1:
        pool = multiprocessing.get_context("spawn").Pool(processes, initializer=_single_thread)
    try:
        results = map(function, tasks) if pool is None else pool.imap(function, tasks, chunksize=4)
        for done, result in enumerate(results, 1):
            now = time.monotonic()
            if now - last > 0.2 or done == len(tasks):
                _bar(label, done, len(tasks), started)
                last = now
            yield result
        sys.stderr.write("\n")
    finally:
        if pool is not None:
            pool.terminate()
            pool.join()
