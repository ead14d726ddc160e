from pathlib import Path

import pytest
import torch

from reid.data.base import Sample
from reid.data.images import Preprocessing
from reid.data.triplets import TripletDataset, get_market1501_dataset

SIZE = Preprocessing(64, 32)


def test_market_is_divided_by_identity(tiny_market: Path) -> None:
    train, validation = get_market1501_dataset(tiny_market, split_ratio=0.75, preprocessing=SIZE)
    people = [{sample.pid for sample in part.samples} for part in (train, validation)]
    assert [len(part) for part in people] == [6, 2] and not people[0] & people[1]
    assert len(train) == 54 and len(validation) == 18
    assert len(get_market1501_dataset(tiny_market, 0.5)[0]) == 36
    others = [get_market1501_dataset(tiny_market, 0.5, seed=seed)[0].samples for seed in range(3)]
    assert any(part != others[0] for part in others)


def test_triplets_hold_what_they_promise(tiny_market: Path) -> None:
    dataset, _ = get_market1501_dataset(tiny_market, 0.75, preprocessing=SIZE)
    for index in range(len(dataset)):
        anchor, positive, negative = (dataset.samples[position] for position in dataset.choose(index))
        assert anchor.pid == positive.pid != negative.pid and anchor.camid != positive.camid
    images = dataset[0]
    assert [tuple(image.shape) for image in images] == [(3, 64, 32)] * 3 and images[0].dtype == torch.uint8
    chosen = [dataset.choose(index) for index in range(len(dataset))]
    assert chosen == [dataset.choose(index) for index in range(len(dataset))]
    dataset.set_epoch(1)
    assert chosen != [dataset.choose(index) for index in range(len(dataset))]
    loader = torch.utils.data.DataLoader(dataset, batch_size=8, num_workers=0)
    assert [tuple(part.shape) for part in next(iter(loader))] == [(8, 3, 64, 32)] * 3


def test_transform_is_applied(tiny_market: Path) -> None:
    dataset, _ = get_market1501_dataset(
        tiny_market, 0.75, preprocessing=SIZE, transform=lambda image: image.float() / 255
    )
    assert all(image.dtype == torch.float32 and image.max() <= 1 for image in dataset[3])


def test_single_images_are_negatives_only() -> None:
    samples = [Sample("a", 1, 0, 0, "t"), Sample("b", 1, 0, 1, "t"), Sample("c", 2, 0, 0, "t")]
    dataset = TripletDataset(samples)
    assert [dataset.choose(index) for index in range(len(dataset))] == [(0, 1, 2), (1, 0, 2)]
    with pytest.raises(IndexError):
        dataset.choose(2)


@pytest.mark.parametrize("pids", [[], [1, 1], [1, 2]])
def test_too_few_images_are_refused(pids: list[int]) -> None:
    with pytest.raises(ValueError, match="allowed: 2 or more identities"):
        TripletDataset([Sample(str(number), pid, 0, 0, "t") for number, pid in enumerate(pids)])


def test_bad_ratio_is_refused(tiny_market: Path) -> None:
    with pytest.raises(ValueError, match=r"split_ratio: got 1.0"):
        get_market1501_dataset(tiny_market, 1.0)
