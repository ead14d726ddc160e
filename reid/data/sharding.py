"""What each process sees of a global batch, and where in an epoch it begins."""

import itertools
from collections.abc import Iterator
from typing import Protocol


class BatchSampler(Protocol):
    """Yields the indices of global batches, in an order that depends on the epoch."""

    batch_size: int

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[int]]: ...


class BatchShare:
    """Gives process `rank` of `count` its share of each batch: the rank-th of `count` equal parts, in order.

    Together the processes see each batch of the sampler, so that a training depends on the global batch alone and not
    on how many processes share it.

    Args:
        sampler: Yields global batches, each a multiple of `count` long.
        rank: This process, from 0.
        count: All processes.

    Attributes:
        start: Batches that the next iteration leaves out, for going on in the middle of an epoch.

    Raises:
        ValueError: When the batch size is no multiple of `count`.
    """

    drop_last = True

    def __init__(self, sampler: BatchSampler, rank: int = 0, count: int = 1) -> None:
        if sampler.batch_size % count:
            raise ValueError(f"batch_size: got {sampler.batch_size}, allowed: a multiple of the {count} processes")
        if not 0 <= rank < count:
            raise ValueError(f"rank: got {rank}, allowed: 0 to {count - 1}")
        self.sampler = sampler
        self.rank = rank
        self.count = count
        self.batch_size = sampler.batch_size // count
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""
        self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in itertools.islice(self.sampler, self.start, None):
            share, rest = divmod(len(batch), self.count)
            if rest:
                raise ValueError(f"batch: got {len(batch)} images, allowed: a multiple of the {self.count} processes")
            yield batch[self.rank * share : (self.rank + 1) * share]
