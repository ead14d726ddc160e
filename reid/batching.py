"""Crops of many callers embedded in common batches: a bounded queue in front of one embedder."""

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future
from types import TracebackType

import numpy as np

Embed = Callable[[Sequence[np.ndarray]], np.ndarray]


class QueueFull(RuntimeError):
    """The queue has no room for the crops; try later."""


class BatcherClosed(RuntimeError):
    """The batcher was closed before the crops were embedded."""


@dataclasses.dataclass
class _Request:
    crops: Sequence[np.ndarray]
    answer: "Future[np.ndarray]"
    since: float


class Batcher:
    """Lets many threads share an embedder; what waits together is embedded together.

    A single thread takes requests in the order of their coming, as many as fit into `batch_size` crops, and never a
    part of one. While it embeds, others queue up, so that batches grow with the load by themselves; `max_wait` is only
    for callers that come at nearly the same time to an idle batcher.

    Args:
        embed: An `Embedder`, or anything that maps uint8 RGB (H, W, 3) to (N, D); called by one thread only.
        batch_size: Crops of one call of `embed`; a request of more has a call of its own.
        queue_size: Crops that may wait; a request that does not fit is refused with `QueueFull` at once. An empty
            queue takes a request of any size up to it.
        max_wait: Seconds that a first request waits for others while the batch is not full.
        on_batch: Told the crops and the seconds of each call of `embed`, in the batcher's thread.

    Raises:
        ValueError: When a number is out of its range.
    """

    def __init__(
        self,
        embed: Embed,
        *,
        batch_size: int = 32,
        queue_size: int = 256,
        max_wait: float = 0.0,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: got {batch_size}, allowed: 1 or more")
        if queue_size < batch_size:
            raise ValueError(f"queue_size: got {queue_size}, allowed: batch_size ({batch_size}) or more")
        if not 0 <= max_wait < 60:
            raise ValueError(f"max_wait: got {max_wait}, allowed: 0 to 60 seconds")
        self.batch_size = batch_size
        self.queue_size = queue_size
        self.max_wait = max_wait
        self._embed = embed
        self._on_batch = on_batch
        self._queue: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Crops in the queue, without those that are being embedded."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether requests are taken."""
        return self._thread.is_alive() and not self._closed

    def submit(self, crops: Sequence[np.ndarray]) -> "Future[np.ndarray]":
        """Queues crops and returns at once.

        Args:
            crops: uint8 RGB (H, W, 3). They are kept, not copied, until the answer is there.

        Returns:
            The future embeddings, as `embed` gives them. A future that is cancelled while its crops wait frees their
            place when its turn comes, and nothing is computed for it.

        Raises:
            BatcherClosed: After `close`.
            QueueFull: When they do not fit into the queue.
        """
        answer: Future[np.ndarray] = Future()
        with self._changed:
            if self._closed:
                raise BatcherClosed("the batcher is closed")
            if self._waiting + len(crops) > self.queue_size:
                raise QueueFull(f"queue: {self._waiting} crops wait, no room for {len(crops)} of {self.queue_size}")
            self._queue.append(_Request(crops, answer, time.monotonic()))
            self._waiting += len(crops)
            self._changed.notify()
        return answer

    def __call__(self, crops: Sequence[np.ndarray], timeout: float | None = None) -> np.ndarray:
        """Embeds crops as `embed` does, together with those of other threads.

        Raises:
            TimeoutError: When the answer is not there after `timeout` seconds; the crops leave the queue.
            QueueFull: When they do not fit into the queue.
        """
        answer = self.submit(crops)
        try:
            return answer.result(timeout)
        except futures.TimeoutError as error:  # another class than the built-in one before Python 3.11
            raise error if answer.done() else TimeoutError(f"no answer within {timeout} seconds") from error
        finally:
            answer.cancel()  # without effect on what is done

    def close(self) -> None:
        """Ends the thread after its present batch; what still waits fails with `BatcherClosed`."""
        with self._changed:
            self._closed = True
            left, self._waiting = list(self._queue), 0
            self._queue.clear()
            self._changed.notify()
        for request in left:
            if request.answer.set_running_or_notify_cancel():
                request.answer.set_exception(BatcherClosed("the batcher was closed"))
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> "Batcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        while requests := self._take():
            self._answer(requests)

    def _take(self) -> list[_Request]:
        """Waits for requests and returns those of one batch; none when the batcher was closed."""
        with self._changed:
            while True:
                while not self._queue and not self._closed:
                    self._changed.wait()
                # Closing empties the queue.
                while self._queue and self._waiting < self.batch_size:
                    left = self._queue[0].since + self.max_wait - time.monotonic()
                    if left <= 0 or self._closed:
                        break
                    self._changed.wait(left)
                if self._closed:
                    return []
                taken: list[_Request] = []
                count = 0
                while self._queue and (not taken or count + len(self._queue[0].crops) <= self.batch_size):
                    request = self._queue.popleft()
                    self._waiting -= len(request.crops)
                    if request.answer.set_running_or_notify_cancel():
                        taken.append(request)
                        count += len(request.crops)
                if taken:
                    return taken

    def _answer(self, requests: list[_Request]) -> None:
        try:
            rows = self._run([crop for request in requests for crop in request.crops])
        except Exception as error:  # whatever it is, it belongs to callers and must not end the thread
            if len(requests) == 1:
                requests[0].answer.set_exception(error)
                return
            # One bad request must not fail the others of its batch.
            for request in requests:
                self._answer([request])
            return
        start = 0
        for request in requests:
            end = start + len(request.crops)
            # Copied, or one caller's rows would keep those of all in memory.
            request.answer.set_result(rows[start:end].copy())
            start = end

    def _run(self, crops: list[np.ndarray]) -> np.ndarray:
        began = time.perf_counter()
        rows = np.asarray(self._embed(crops))
        if len(rows) != len(crops):
            raise ValueError(f"embed: got {len(rows)} rows, allowed: {len(crops)}, one a crop")
        if self._on_batch is not None:
            self._on_batch(len(crops), time.perf_counter() - began)
        return rows
