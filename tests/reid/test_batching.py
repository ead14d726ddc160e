"""Callers that share an embedder: batches form, order holds, full queues and bad crops harm nobody else."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from reid.batching import Batcher, BatcherClosed, QueueFull


class Gated:
    """Embeds a crop as its first pixel; waits for the gate, and notes how many crops came at once."""

    def __init__(self, open_now: bool = True) -> None:
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.inside = threading.Event()
        if open_now:
            self.gate.set()

    def __call__(self, crops) -> np.ndarray:
        self.calls.append(len(crops))
        self.inside.set()
        assert self.gate.wait(10)
        if any(crop.size == 0 for crop in crops):
            raise ValueError("an empty crop")
        return np.stack([crop[0, 0] for crop in crops]).astype(np.float32)


def crop(value: int) -> np.ndarray:
    return np.full((4, 2, 3), value, np.uint8)


def test_what_waits_together_is_embedded_together_and_in_order() -> None:
    embed = Gated(open_now=False)
    told: list[int] = []
    with Batcher(embed, batch_size=4, max_wait=0, on_batch=lambda count, seconds: told.append(count)) as batcher:
        first = batcher.submit([crop(1)])
        assert embed.inside.wait(10)
        others = [batcher.submit([crop(value), crop(value + 1)]) for value in (2, 4, 6)]
        large = batcher.submit([crop(value) for value in range(8, 14)])  # more than a batch, never cut
        assert batcher.waiting == 12
        embed.gate.set()
        assert first.result(10).tolist() == [[1, 1, 1]]
        assert [other.result(10)[:, 0].tolist() for other in others] == [[2, 3], [4, 5], [6, 7]]
        assert large.result(10)[:, 0].tolist() == [8, 9, 10, 11, 12, 13]
    assert embed.calls == told == [1, 4, 2, 6] and batcher.waiting == 0


def test_threads_get_what_a_plain_loop_gives() -> None:
    crops = [[crop(10 * caller + number) for number in range(1 + caller % 4)] for caller in range(24)]
    embed = Gated()
    with Batcher(embed, batch_size=8) as batcher, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(batcher, crops))
    for own, expected in zip(found, crops, strict=True):
        assert np.array_equal(own, Gated()(expected))


def test_max_wait_fills_batches_of_callers_that_come_one_after_another() -> None:
    for max_wait, calls in ((0.0, [1, 1]), (5.0, [2])):
        embed = Gated()
        with Batcher(embed, batch_size=2, max_wait=max_wait) as batcher:
            first = batcher.submit([crop(1)])
            if not max_wait:
                first.result(10)
            batcher.submit([crop(2)]).result(10)
            assert first.result(10)[0, 0] == 1
        assert embed.calls == calls


def test_a_full_queue_refuses_at_once_and_recovers() -> None:
    embed = Gated(open_now=False)
    with Batcher(embed, batch_size=2, queue_size=3, max_wait=0) as batcher:
        running = batcher.submit([crop(1)])
        assert embed.inside.wait(10)
        waiting = batcher.submit([crop(2), crop(3)])
        with pytest.raises(QueueFull, match="2 crops wait, no room for 2 of 3"):
            batcher.submit([crop(4), crop(5)])
        embed.gate.set()
        assert len(running.result(10)) == 1 and len(waiting.result(10)) == 2
        assert batcher([crop(4), crop(5)], timeout=10)[1, 0] == 5


def test_a_bad_request_fails_alone() -> None:
    embed = Gated(open_now=False)
    with Batcher(embed, batch_size=8, max_wait=0) as batcher:
        batcher.submit([crop(0)])
        assert embed.inside.wait(10)
        good, bad, later = batcher.submit([crop(1)]), batcher.submit([np.zeros((0, 2, 3))]), batcher.submit([crop(3)])
        embed.gate.set()
        assert good.result(10)[0, 0] == 1 and later.result(10)[0, 0] == 3
        with pytest.raises(ValueError, match="an empty crop"):
            bad.result(10)
        assert batcher.alive
    with Batcher(lambda crops: np.zeros((1, 2))) as batcher, pytest.raises(ValueError, match="embed: got 1 rows"):
        batcher([crop(1), crop(2)], timeout=10)


def test_who_gives_up_costs_nothing() -> None:
    embed = Gated(open_now=False)
    with Batcher(embed, batch_size=2, max_wait=0) as batcher:
        batcher.submit([crop(0)])
        assert embed.inside.wait(10)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            batcher([crop(1)], timeout=0.05)
        assert time.monotonic() - began < 5
        after = batcher.submit([crop(2)])
        embed.gate.set()
        assert after.result(10)[0, 0] == 2
    assert embed.calls == [1, 1]


def test_closing_answers_those_who_wait() -> None:
    embed = Gated(open_now=False)
    batcher = Batcher(embed, batch_size=1, max_wait=0)
    running = batcher.submit([crop(1)])
    assert embed.inside.wait(10)
    waiting = batcher.submit([crop(2)])
    threading.Timer(0.05, embed.gate.set).start()
    batcher.close()
    assert running.result(10)[0, 0] == 1 and not batcher.alive
    with pytest.raises(BatcherClosed):
        waiting.result(10)
    with pytest.raises(BatcherClosed):
        batcher.submit([crop(3)])


def test_bad_numbers_are_refused() -> None:
    for options, name in (
        ({"batch_size": 0}, "batch_size"),
        ({"queue_size": 3}, "queue_size"),
        ({"max_wait": -1}, "max_wait"),
    ):
        with pytest.raises(ValueError, match=f"{name}: got"):
            Batcher(Gated(), **options)


def test_it_stands_in_front_of_an_embedder(checkpoint: Path) -> None:
    from reid.embedder import Embedder

    embedder = Embedder(checkpoint, device="cpu")
    random = np.random.default_rng(0)
    crops = [random.integers(0, 256, (20 + i, 12, 3), dtype=np.uint8) for i in range(6)]
    with Batcher(embedder, batch_size=4) as batcher, ThreadPoolExecutor(3) as pool:
        found = np.concatenate(list(pool.map(batcher, [crops[:1], crops[1:3], crops[3:]])))
    assert np.allclose(found, embedder(crops), atol=1e-5)
