"""The pixels of tracklets, and batches of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from reid.data.base import Sample, relabel
from reid.data.crops import image_fault
from reid.data.images import Preprocessing
from reid.data.mot_tracklets import read_mot_tracklets
from reid.data.samplers import PKBatchSampler
from reid.data.sharding import BatchShare
from reid.data.tracklet_images import check_crop_factor, cut, drop_unreadable_frames, load_frames
from reid.data.tracklet_loader import TrackletDataset, TrackletSampler, tracklet_loader
from reid.data.tracklet_transform import TrackletTransform
from reid.data.tracklets import Tracklet, choose_frames
from reid.data.transforms import Augmentation, TrainTransform

SIZE = Preprocessing(16, 16)
Videos = Callable[..., Path]


def test_crop_factor_scales_around_the_centre() -> None:
    image = np.arange(40 * 60 * 3, dtype=np.int64).reshape(40, 60, 3)
    box = (20.0, 10.0, 30.0, 30.0)
    assert np.array_equal(cut(image, box, 1.0), image[10:30, 20:30])
    assert np.array_equal(cut(image, box, 0.5), image[15:25, 22:28])  # 22.5 and 27.5 are rounded outwards
    assert np.array_equal(cut(image, box, 1.4), image[6:34, 18:32])
    assert np.array_equal(cut(image, box, 3.0), image[0:40, 10:40])  # clipped above and below
    assert np.array_equal(cut(image, None, 0.5), image[10:30, 15:45])
    assert np.array_equal(cut(image, (-10.0, -5.0, 10.0, 5.0), 1.0), image[0:5, 0:10])
    for factor in (1.0, 1.1, 0.9):
        for left in np.arange(2, 12, 0.1):
            rows, columns = cut(image, (left, left, left + 20, left + 20), factor).shape[:2]
            assert rows == columns and 20 * factor - 1e-6 <= columns <= 20 * factor + 2
    with pytest.raises(ValueError, match="lies outside the 60 x 40 pixels"):
        cut(image, (70.0, 0.0, 80.0, 10.0), 1.0)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_crop_factors_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="allowed: above 0"):
        check_crop_factor(factor, cropped=False)


def test_nothing_lies_around_images_that_are_cut_out() -> None:
    check_crop_factor(1.2, cropped=False)
    check_crop_factor(1.0, cropped=True)
    with pytest.raises(ValueError, match=r"crop_factor: got 1\.2, allowed: at most 1"):
        check_crop_factor(1.2, cropped=True)


def test_frames_are_the_boxes_of_their_files(tiny_videos: Videos) -> None:
    samples = [frame for one in read_mot_tracklets(tiny_videos()).train[:3] for frame in one.frames][::-1]
    images = load_frames(samples, SIZE, 1.2)
    assert images.shape == (len(samples), 3, 16, 16) and images.dtype == np.uint8
    for sample, image in zip(samples, images, strict=True):
        frame = cv2.cvtColor(cv2.imread(sample.path), cv2.COLOR_BGR2RGB)
        assert np.array_equal(image, SIZE.batch([cut(frame, sample.box, 1.2)])[0])
    with pytest.raises(ValueError, match=r"\.jpg: box .* lies outside"):
        load_frames([Sample(samples[0].path, 1, 0, 1, "", (900.0, 0.0, 910.0, 9.0))], SIZE, 1.0)


def test_corrupt_frames_are_left_out_and_counted(tiny_videos: Videos, tmp_path: Path) -> None:
    shutil.copytree(tiny_videos(), tmp_path / "mot")
    images = tmp_path / "mot" / "train" / "VIEW-01-c1" / "img1"
    (images / "000003.jpg").write_bytes((images / "000003.jpg").read_bytes()[:300])
    (images / "000004.jpg").unlink()
    data = read_mot_tracklets(tmp_path / "mot")
    (train, query, gallery), faults = drop_unreadable_frames([data.train, data.query, data.gallery], image_fault)
    assert len(faults) == 2 and "000003.jpg" in faults[0] and "000004.jpg" in faults[1]
    for before, after in ((data.train, train), (data.query, query), (data.gallery, gallery)):
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            assert new.frames == tuple(one for one in old.frames if old.camid == 1 or one.frame not in (3, 4))
    assert set(query) <= set(gallery)
    lost, _ = drop_unreadable_frames([[Tracklet.of([Sample("absent", 1, 0, 0, "test")])]], image_fault)
    assert lost == [[]]


# Batches


def test_batches_depend_on_seed_and_epoch_alone(tiny_videos: Videos) -> None:
    train = read_mot_tracklets(tiny_videos()).train
    labels = relabel(train)  # type: ignore[arg-type]

    def batches(seed: int = 0, epoch: int = 1, cache: int = 100, count: int = 1) -> list[torch.Tensor]:
        shares = []
        for rank in range(count):
            sampler = PKBatchSampler([labels[one.pid] for one in train], 2, 2, seed=0)
            share = BatchShare(TrackletSampler(sampler, seed), rank, count)
            options = {"frames": 3, "crop_factor": 1.0, "workers": 1, "cache_megabytes": cache}
            loader = tracklet_loader(train, labels, SIZE, share, **options)  # type: ignore[arg-type]
            assert loader.num_workers == (0 if cache else 1)
            share.set_epoch(epoch)
            shares.append([batch["images"] for batch in loader])
        return [torch.cat(parts) for parts in zip(*shares, strict=True)]

    first = batches()
    assert first[0].shape == (4, 3, 3, 16, 16) and first[0].dtype == torch.uint8
    for same in (batches(), batches(cache=0), batches(count=2)):
        assert all(torch.equal(one, other) for one, other in zip(first, same, strict=True))
    for other in (batches(seed=1), batches(epoch=2)):
        assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_items_hold_the_drawn_frames(tiny_videos: Videos) -> None:
    train = read_mot_tracklets(tiny_videos()).train
    dataset = TrackletDataset(train, relabel(train), SIZE, 4, 0.8, cache=True)  # type: ignore[arg-type]
    item = dataset[(2, 99)]
    chosen = choose_frames(len(train[2].frames), 4, np.random.default_rng(99))
    assert np.array_equal(item["images"], load_frames([train[2].frames[i] for i in chosen], SIZE, 0.8))
    assert item["camid"] == train[2].camid and len(dataset) == len(train)


def test_augmentation_is_the_same_for_all_frames_of_a_tracklet() -> None:
    size = Preprocessing(32, 16)
    image = torch.randint(0, 256, (6, 1, 3, 32, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    augmentation = Augmentation(flip=0.5, pad_crop=4, jitter=0.3, erasing=0.5)
    transform = TrackletTransform(TrainTransform(size, augmentation, generator), generator)
    first, second = transform(image.expand(-1, 4, -1, -1, -1)), transform(image.expand(-1, 4, -1, -1, -1))
    assert first.shape == (6, 4, 3, 32, 16) and first.dtype == torch.float32
    assert all(torch.equal(first[:, 0], first[:, time]) for time in range(4))
    assert not torch.equal(first, second)
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(TrainTransform(size, augmentation, generator)(image[:, 0]), first[:, 0])
