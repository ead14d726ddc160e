"""Batches of real images with generated ones behind them."""

from collections.abc import Iterator

import numpy as np

from reid.data.sharding import BatchShare


class GeneratedMix:
    """Adds generated images to each batch of a process; the real ones, and their order, stay as they are.

    Generated images are dealt out in random order, each once before one comes again; over an epoch every one of them
    comes as often as any other, give or take one. The order depends on the seed and the epoch alone, and together the
    processes see the batches of one process that has them all.

    Args:
        share: This process's batches of real images.
        first: Index of the first generated image in the loader's dataset, where real ones come before.
        count: Generated images.
        per_batch: Of them in a batch of one process, 1 or more.
        seed: Seed of the order.
        start_epoch: First epochs, counted from 1, that get none.

    Raises:
        ValueError: When `count` or `per_batch` is below 1.
    """

    drop_last = True

    def __init__(
        self, share: BatchShare, first: int, count: int, per_batch: int, seed: int, start_epoch: int = 0
    ) -> None:
        if count < 1 or per_batch < 1:
            raise ValueError(f"count, per_batch: got {count}, {per_batch}, allowed: 1 or more")
        self.share = share
        self.first = first
        self.num_generated = count
        self.per_batch = per_batch
        self.seed = seed
        self.start_epoch = start_epoch
        self.batch_size = share.batch_size + per_batch
        self.epoch = 0

    @property
    def start(self) -> int:
        """Batches that the next iteration leaves out, for going on in the middle of an epoch."""
        return self.share.start

    @start.setter
    def start(self, batches: int) -> None:
        self.share.start = batches

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""
        self.epoch = epoch
        self.share.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.share)

    def _order(self) -> np.ndarray:
        """Returns the generated images of the epoch, those of all processes."""
        # The third number keeps it apart from the order of the real images.
        random = np.random.default_rng([self.seed, self.epoch, 1])
        rounds = -(-len(self) * self.per_batch * self.share.count // self.num_generated)
        return np.concatenate([random.permutation(self.num_generated) for _ in range(rounds)])

    def __iter__(self) -> Iterator[list[int]]:
        if self.epoch <= self.start_epoch:
            yield from self.share
            return
        order = self.first + self._order()
        for number, batch in enumerate(self.share, self.start):
            begin = (number * self.share.count + self.share.rank) * self.per_batch
            yield batch + order[begin : begin + self.per_batch].tolist()
