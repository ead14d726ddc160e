"""Generated images in batches, and their labels."""

from collections import Counter

import numpy as np
import pytest
import torch

from reid.data.generated_mix import GeneratedMix
from reid.data.samplers import PKBatchSampler
from reid.data.sharding import BatchShare
from reid.synthetic_labels import group_targets, lsro_targets, pseudo_targets

PIDS = [pid for pid in range(6) for _ in range(8)]


def mixed(rank: int = 0, count: int = 1, generated: int = 7, per_batch: int = 3, start: int = 0) -> GeneratedMix:
    share = BatchShare(PKBatchSampler(PIDS, 4, 4, seed=5), rank, count)
    return GeneratedMix(share, len(PIDS), generated, per_batch, 5, start)


def epoch(sampler: GeneratedMix | BatchShare, number: int) -> list[list[int]]:
    sampler.set_epoch(number)
    return list(sampler)


def test_real_batches_stay_as_they_are() -> None:
    alone = epoch(BatchShare(PKBatchSampler(PIDS, 4, 4, seed=5)), 3)
    batches = epoch(mixed(), 3)
    assert [batch[:16] for batch in batches] == alone and len(mixed()) == len(alone)
    assert all(len(batch) == mixed().batch_size == 19 for batch in batches)
    assert all(len(PIDS) <= index < len(PIDS) + 7 for batch in batches for index in batch[16:])


def test_generated_images_take_turns_and_epochs_differ() -> None:
    sampler = mixed(generated=4)
    counts = Counter(index for batch in epoch(sampler, 1) for index in batch[16:])
    assert len(counts) == 4 and max(counts.values()) - min(counts.values()) <= 1
    assert epoch(sampler, 1) == epoch(mixed(generated=4), 1) != epoch(sampler, 2)


def test_processes_share_what_one_would_see() -> None:
    alone = epoch(mixed(per_batch=4), 2)
    shares = [epoch(mixed(rank, 2, per_batch=2), 2) for rank in range(2)]
    for whole, first, second in zip(alone, *shares, strict=True):
        assert first[:8] + second[:8] == whole[:16] and first[8:] + second[8:] == whole[16:]


def test_an_epoch_goes_on_in_its_middle() -> None:
    whole, sampler = epoch(mixed(), 1), mixed()
    sampler.start = 2
    assert epoch(sampler, 1) == whole[2:] and sampler.start == 2


def test_first_epochs_may_be_real_alone() -> None:
    sampler = mixed(start=2)
    assert [{len(batch) for batch in epoch(sampler, number)} for number in (1, 2, 3)] == [{16}, {16}, {19}]


def test_a_mix_needs_images() -> None:
    for wrong in ({"generated": 0}, {"per_batch": 0}):
        with pytest.raises(ValueError, match="allowed: 1 or more"):
            mixed(**wrong)


def test_uniform_and_group_labels() -> None:
    assert torch.equal(lsro_targets(5), torch.full((1, 5), 0.2))
    rows = group_targets([{30: 0.25, 10: 0.75}, {20: 1.0}], {10: 0, 20: 1, 30: 2})
    assert rows.tolist() == [[0.75, 0, 0.25], [0, 1, 0]]
    with pytest.raises(KeyError):
        group_targets([{7: 1.0}], {10: 0})


def test_pseudo_labels_against_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    real, generated = (random.normal(size=(count, 5)) for count in (9, 4))
    real, generated = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (real, generated))
    labels = [0, 1, 2, 2, 1, 0, 0, 1, 2]
    soft, nearest = (pseudo_targets(generated, real, labels, temperature) for temperature in (0.3, None))
    for row, image in enumerate(generated):
        cosines = []
        for label in range(3):
            center = sum(other for other, own in zip(real, labels, strict=True) if own == label) / 3
            cosines.append(float(image @ center) / float(np.linalg.norm(center)))
        weights = np.exp(np.array(cosines) / 0.3)
        np.testing.assert_allclose(soft[row], weights / weights.sum(), rtol=1e-5)
        assert nearest[row].tolist() == [float(label == int(np.argmax(cosines))) for label in range(3)]
    with pytest.raises(ValueError, match="no image of class 1"):
        pseudo_targets(generated, real[:2], [0, 2], 0.3)
    with pytest.raises(ValueError, match="real: got shape"):
        pseudo_targets(generated, real[:, :3], labels, 0.3)
    with pytest.raises(ValueError, match="temperature: got 0"):
        pseudo_targets(generated, real, labels, 0)
