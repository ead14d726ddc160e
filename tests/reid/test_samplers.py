import numpy as np
import pytest

from reid.data.samplers import PKBatchSampler

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
