"""Batches of training images: P identities with K images each, balanced over cameras, or random.

Every sampler draws a whole epoch from its seed and the epoch's number, so that all processes and a resumed run see the
same. Under several processes training draws global batches and gives each process an equal share of every one
(`reid.data.sharding.BatchShare`); accelerate's dealing in turn (BatchSamplerShard) works as well, with at most n - 1
batches of an epoch dropped for n processes.
"""

from collections.abc import Iterator, Sequence

import numpy as np


class PKBatchSampler:
    """Yields batches of `num_pids` identities x `num_instances` images (Hermans et al., arXiv 1703.07737).

    Each epoch deals the shuffled images of an identity out in groups of K; an identity whose last group is short
    repeats some of its images. Batches take groups of distinct identities, those with most groups left first, so that
    nearly every image is seen once an epoch. The order depends on the seed and the epoch alone.

    Args:
        labels: The identity of each image.
        num_pids: P, identities a batch.
        num_instances: K, images an identity in a batch.
        seed: Seed of the order.

    Raises:
        ValueError: When P or K is below 1 or there are fewer than P identities.
    """

    drop_last = True  # accelerate asks for it when it shards the batches over processes

    def __init__(self, labels: Sequence[int], num_pids: int, num_instances: int, seed: int) -> None:
        self.indices_by_label = [np.flatnonzero(np.asarray(labels) == label) for label in np.unique(labels)]
        if num_pids < 1 or num_instances < 1:
            raise ValueError(f"num_pids, num_instances: got {num_pids}, {num_instances}, allowed: 1 or more")
        if len(self.indices_by_label) < num_pids:
            raise ValueError(
                f"num_pids: got {num_pids} (batch size / images an identity), allowed: at most the "
                f"{len(self.indices_by_label)} identities of the training split; lower --batch-size to "
                f"{len(self.indices_by_label) * num_instances} or raise --num-instances"
            )
        self.num_pids = num_pids
        self.num_instances = num_instances
        self.batch_size = num_pids * num_instances
        self.seed = seed
        self.epoch = 0
        self._groups = np.array([-(-len(indices) // num_instances) for indices in self.indices_by_label])
        self._length = sum(1 for _ in self._choose(np.random.default_rng(0)))

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        # The number of batches follows from the group counts and is the same every epoch.
        return self._length

    def _choose(self, random: np.random.Generator) -> Iterator[np.ndarray]:
        """Yields the P identities of each batch."""
        left = self._groups.copy()
        while np.count_nonzero(left) >= self.num_pids:
            chosen = np.lexsort((random.random(len(left)), -left))[: self.num_pids]
            left[chosen] -= 1
            yield chosen

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        decks = [self._deal(indices, random) for indices in self.indices_by_label]
        batches = list(self._choose(random))
        # The greedy choice puts identities with many images first; the order of the batches shall not tell.
        for position in random.permutation(len(batches)):
            yield [int(index) for label in batches[position] for index in decks[label].pop()]

    def _deal(self, indices: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
        shuffled = random.permutation(indices)
        missing = -len(shuffled) % self.num_instances
        if missing:
            shuffled = np.concatenate([shuffled, random.choice(indices, missing, replace=missing > len(indices))])
        return list(shuffled.reshape(-1, self.num_instances))


class CameraBalancedPKBatchSampler(PKBatchSampler):
    """Yields P x K batches in which the K images of an identity come from as many cameras as it was seen by.

    The cameras of an identity take turns: within a group of K their counts differ by at most one, unless all images of
    the rarer camera are in the group already. Which camera comes first, and which image of a camera, is random; images
    that were used less come first. An identity has as many groups as without balancing, so that images of its frequent
    cameras may miss an epoch while those of its rare ones repeat. An identity with fewer than K images repeats some.

    Args:
        labels: The identity of each image.
        camids: The camera of each image.
        num_pids: P, identities a batch.
        num_instances: K, images an identity in a batch.
        seed: Seed of the order.

    Raises:
        ValueError: When the lengths differ, P or K is below 1, or there are fewer than P identities.
    """

    def __init__(
        self, labels: Sequence[int], camids: Sequence[int], num_pids: int, num_instances: int, seed: int
    ) -> None:
        if len(labels) != len(camids):
            raise ValueError(f"camids: got {len(camids)}, allowed: one a label ({len(labels)})")
        self.camids = np.asarray(camids)
        super().__init__(labels, num_pids, num_instances, seed)

    def _deal(self, indices: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
        count = -(-len(indices) // self.num_instances)
        _, camera = np.unique(self.camids[indices], return_inverse=True)
        used = np.zeros(len(indices), np.int64)
        groups = []
        for _ in range(count):
            # Each image's turn within its camera: the least used first, ties at random.
            order = np.lexsort((random.random(len(indices)), used, camera))
            turn = np.empty(len(indices), np.int64)
            starts = np.searchsorted(camera[order], camera[order])
            turn[order] = np.arange(len(indices)) - starts
            first = random.random(camera.max() + 1)[camera]
            chosen = np.lexsort((first, turn))[: self.num_instances]
            used[chosen] += 1
            missing = self.num_instances - len(chosen)
            if missing:
                again = random.choice(len(indices), missing, replace=missing > len(indices))
                chosen = np.concatenate([chosen, again])
            groups.append(indices[chosen])
        return groups


class RandomBatchSampler:
    """Yields batches of random images, each image once an epoch; a last incomplete batch is left out.

    Args:
        count: Images.
        batch_size: Images a batch.
        seed: Seed of the order, which depends on it and the epoch alone.

    Raises:
        ValueError: When the batch size is below 1 or above the number of images.
    """

    drop_last = True

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        if not 1 <= batch_size <= count:
            raise ValueError(f"batch_size: got {batch_size}, allowed: 1 to the {count} training images")
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size].tolist()
