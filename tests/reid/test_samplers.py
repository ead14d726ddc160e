import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard

from reid.data.samplers import CameraBalancedPKBatchSampler, PKBatchSampler, RandomBatchSampler

LABELS = [0] * 9 + [1] * 4 + [2] * 3 + [3] * 5 + [4] * 1 + [5] * 4


def test_batches_hold_p_identities_with_k_images_each() -> None:
    sampler = PKBatchSampler(LABELS, num_pids=3, num_instances=4, seed=0)
    batches = list(sampler)
    assert len(batches) == len(sampler) > 0
    for batch in batches:
        labels, counts = np.unique(np.array(LABELS)[batch], return_counts=True)
        assert len(labels) == 3 and (counts == 4).all()


def test_an_epoch_sees_nearly_every_image() -> None:
    # 3 + 1 + 1 + 2 + 1 + 1 = 9 groups make 3 batches of 3 identities.
    sampler = PKBatchSampler(LABELS, 3, 4, seed=1)
    assert len(sampler) == 3
    assert {index for batch in sampler for index in batch} == set(range(len(LABELS)))


def test_images_repeat_only_where_an_identity_is_short() -> None:
    batches = list(PKBatchSampler([0] * 4 + [1] * 8 + [2] * 2, 2, 4, seed=0))
    for label, images in ((0, 4), (1, 8)):
        seen = [i for batch in batches for i in batch if ([0] * 4 + [1] * 8 + [2] * 2)[i] == label]
        assert len(seen) == len(set(seen)) <= images


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first, second = (PKBatchSampler(LABELS, 3, 4, seed=0) for _ in range(2))
    assert list(first) == list(first) == list(second)
    second.set_epoch(1)
    assert list(first) != list(second)
    assert list(first) != list(PKBatchSampler(LABELS, 3, 4, seed=1))


def test_too_few_identities_are_refused() -> None:
    with pytest.raises(ValueError, match="at most the 6 identities"):
        PKBatchSampler(LABELS, 7, 4, seed=0)
    with pytest.raises(ValueError, match="allowed: 1 or more"):
        PKBatchSampler(LABELS, 3, 0, seed=0)


CAMIDS = [0] * 6 + [1] * 2 + [2] + [0, 0, 1, 1] + [0, 1, 2] + [0] * 5 + [1] + [0, 0, 0, 1]
SAMPLERS = {
    "pk": lambda seed=0: PKBatchSampler(LABELS * 4, 3, 4, seed),
    "balanced": lambda seed=0: CameraBalancedPKBatchSampler(LABELS * 4, CAMIDS * 4, 3, 4, seed),
    "random": lambda seed=0: RandomBatchSampler(len(LABELS) * 4, 8, seed),
}


def test_cameras_take_turns() -> None:
    sampler = CameraBalancedPKBatchSampler(LABELS, CAMIDS, 3, 4, seed=0)
    labels, camids = np.array(LABELS), np.array(CAMIDS)
    for epoch in range(10):
        sampler.set_epoch(epoch)
        for batch in sampler:
            assert all((labels[batch] == label).sum() == 4 for label in set(labels[batch].tolist()))
            for label in np.unique(labels[batch]):
                group = [index for index in batch if labels[index] == label]
                available = np.bincount(camids[labels == label])
                taken = np.bincount(camids[sorted(set(group))], minlength=len(available))
                # A camera may be behind the fullest one only when it has nothing left.
                assert (taken[available > 0] >= np.minimum(available[available > 0], taken.max() - 1)).all()
                assert len(set(group)) == min(4, (labels == label).sum())


def test_balancing_favours_rare_cameras() -> None:
    labels, camids = [0] * 12 + [1] * 12, [0] * 10 + [1] * 2 + [0] * 10 + [1] * 2

    def share(sampler: PKBatchSampler) -> float:
        return float(np.mean([camids[index] for batch in sampler for index in batch]))

    assert share(CameraBalancedPKBatchSampler(labels, camids, 2, 4, seed=0)) == 0.5
    assert share(PKBatchSampler(labels, 2, 4, seed=0)) == 2 / 12
    seen = {index for batch in CameraBalancedPKBatchSampler(labels, camids, 2, 4, seed=0) for index in batch}
    assert len(seen) == 2 * (6 + 2)  # no image of the frequent camera repeats


def test_random_batches_hold_each_image_once() -> None:
    sampler = RandomBatchSampler(21, 5, seed=0)
    seen = [index for batch in sampler for index in batch]
    assert len(sampler) == 4 and len(seen) == len(set(seen)) == 20 and set(seen) < set(range(21))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_shards_are_disjoint_and_together_the_epoch(name: str, processes: int) -> None:
    for epoch in (0, 1):
        samplers = [SAMPLERS[name]() for _ in range(processes)]
        shards = [_shard(index, sampler, processes, epoch) for index, sampler in enumerate(samplers)]
        whole = SAMPLERS[name]()
        whole.set_epoch(epoch)
        batches = list(whole)
        rounds = len(batches) // processes
        assert rounds >= 1 and all(len(shard) == rounds for shard in shards)
        # Together they are the epoch in its order, without a last incomplete round.
        assert [batch for turn in zip(*shards, strict=True) for batch in turn] == batches[: rounds * processes]


def _shard(index: int, sampler: PKBatchSampler, processes: int, epoch: int) -> list[list[int]]:
    shard = BatchSamplerShard(sampler, processes, index)
    sampler.set_epoch(epoch)
    batches = list(shard)
    assert len(batches) == len(shard)
    return batches


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_depends_on_seed_and_epoch_alone(name: str) -> None:
    first, second = SAMPLERS[name](), SAMPLERS[name]()
    np.random.seed(5)
    assert list(first) == list(first) == list(second) and first.drop_last
    assert len(list(first)) == len(first) and {len(batch) for batch in first} == {first.batch_size}
    second.set_epoch(1)
    assert list(first) != list(second) and list(first) != list(SAMPLERS[name](seed=1))


def test_bad_options_of_the_other_samplers() -> None:
    with pytest.raises(ValueError, match="camids: got 2, allowed: one a label"):
        CameraBalancedPKBatchSampler([0, 0, 1], [0, 1], 1, 1, seed=0)
    for size in (0, 4):
        with pytest.raises(ValueError, match="allowed: 1 to the 3 training images"):
            RandomBatchSampler(3, size, seed=0)
