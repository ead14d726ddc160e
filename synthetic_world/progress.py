"""Work units in one or several processes, with a progress bar."""

import multiprocessing
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import cv2

Task = TypeVar("Task")
Result = TypeVar("Result")


def _bar(label: str, done: int, total: int, rate: float) -> None:
    left = _time((total - done) / rate) if rate else "some time"
    filled = 30 * done // max(total, 1)
    bar = "#" * filled + "." * (30 - filled)
    text = f"\r{label} [{bar}] {done}/{total} {rate:.1f}/s, {left} left "
    sys.stderr.write(text)
    sys.stderr.flush()


def _time(seconds: float) -> str:
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _begin_worker() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the process that hands out work is killed; nobody else would end this one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run_all(
    function: Callable[[Task], Result], tasks: Iterable[Task], processes: int, label: str, total: int, before: int = 0
) -> Iterator[Result]:
    """Results in the order of the tasks, drawn on stderr as they come; neither tasks nor results are kept.

    Args:
        function: a function of a module, so that other processes can find it.
        tasks: its arguments; results must depend on nothing else.
        processes: 1 works in this process.
        label: what the bar is called.
        total: how many tasks there are, those done before included.
        before: how many of them an earlier run did; `tasks` are the others.
    """
    last = -1.0
    results = map(function, tasks) if processes == 1 else _spread(function, tasks, processes)
    for done, result in enumerate(results, before + 1):
        now = time.monotonic()
        if done == before + 1:
            started = now  # compiling and walking to the first one take time that says nothing about the rest
        if now - last > 0.2 or done == total:
            _bar(label, done, total, (done - before - 1) / max(now - started, 1e-9))
            last = now
        yield result
    sys.stderr.write("\n")


def _spread(function: Callable[[Task], Result], tasks: Iterable[Task], processes: int) -> Iterator[Result]:
    """Results in order, with no more tasks under way than keep the processes busy; fails when a process dies."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin_worker)
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, task))
            if len(waiting) >= 8 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
