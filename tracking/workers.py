"""The same jobs in this process, in several processes, or on several machines through Ray."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

LOCAL_CLUSTER = "local"


class Workers(Protocol):
    """Where jobs are done."""

    @property
    def count(self) -> int:
        """How many jobs run at a time."""

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Yields the results in the order of the jobs, each as soon as it and those before it are there.

        Args:
            function: Of the top level of a module, so that other processes find it.
            jobs: One a call; they and the results travel between processes, so files that a job names must be where
                it is done.
        """


class SerialWorkers:
    """Does one job after the other, here."""

    count = 1

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """As `Workers.map`."""
        return (function(job) for job in jobs)


class ProcessWorkers:
    """Does jobs in processes of this machine."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self.count = count
        self._pool = pool

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """As `Workers.map`."""
        futures: list[Future[Result]] = [self._pool.submit(function, job) for job in jobs]
        return (future.result() for future in futures)


class RayWorkers:
    """Does jobs on the machines of a Ray cluster, one CPU a job."""

    def __init__(self, ray: Any, count: int) -> None:
        self.count = count
        self._ray = ray

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """As `Workers.map`; errors of a job are raised as they were there."""
        remote = self._ray.remote(function)
        references = [remote.remote(job) for job in jobs]
        for reference in references:
            try:
                yield self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error


@contextmanager
def open_workers(processes: int = 1, cluster: str | None = None) -> Iterator[Workers]:
    """Yields workers and ends them with the block.

    Args:
        processes: How many jobs at a time on this machine. New interpreters are started, so a script that calls this
            at its top level needs `if __name__ == "__main__":`.
        cluster: None stays without Ray; "local" is a Ray of this machine with `processes` CPUs; an address, or "auto",
            joins a cluster that runs, whose CPUs then set the number of jobs.

    Raises:
        ValueError: When `processes` is wrong or goes with the address of a cluster, or Ray is missing or not reached.
    """
    if isinstance(processes, bool) or processes < 1:
        raise ValueError(f"processes: got {processes}, allowed: 1 or more")
    if cluster is not None:
        with _ray_workers(processes, cluster) as workers:
            yield workers
    elif processes == 1:
        yield SerialWorkers()
    else:
        context = get_context("spawn")  # a forked process hangs where torch has had threads
        pool = ProcessPoolExecutor(processes, context, _share_cores, (processes,))
        try:
            yield ProcessWorkers(pool, processes)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _ray_workers(processes: int, cluster: str) -> Iterator[Workers]:
    if cluster != LOCAL_CLUSTER and processes != 1:
        raise ValueError(f"processes: got {processes} with cluster {cluster}, whose CPUs set the number of jobs")
    try:
        import ray
    except ImportError as error:
        raise ValueError(f"cluster: got {cluster!r}, but Ray is missing; `pip install ray`") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": None}
    # The modules of this project are found on other machines where they are installed, and here by this path.
    quiet["runtime_env"] = {"env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}}
    try:
        if cluster == LOCAL_CLUSTER:
            ray.init(address="local", num_cpus=processes, **quiet)
        else:
            del quiet["include_dashboard"]
            ray.init(address=cluster, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(f"cluster: got {cluster!r}, which cannot be reached ({error})") from error
    try:
        yield RayWorkers(ray, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        ray.shutdown()


def _share_cores(processes: int) -> None:
    """Gives each process its share of the cores: libraries would take all of them, each for itself."""
    from threadpoolctl import threadpool_limits

    share = max(1, (os.cpu_count() or 1) // processes)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # for what is loaded later
        os.environ[variable] = str(share)
    threadpool_limits(share)
