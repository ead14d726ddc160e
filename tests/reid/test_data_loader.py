"""Decoding: at the needed size, once, in any number of threads and workers, whatever file is broken."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from reid.data import read_dataset
from reid.data.base import Sample, Split, relabel
from reid.data.crops import drop_unreadable, file_fault, image_fault, load_crop, unreadable_files
from reid.data.images import Preprocessing, jpeg_size, load_image
from reid.data.loader import ImageDataset, training_loader
from reid.data.samplers import PKBatchSampler

SIZE = Preprocessing(64, 32)


@pytest.fixture
def train(tiny_market: Path, tmp_path: Path) -> Split:
    shutil.copytree(tiny_market, tmp_path / "market")
    return read_dataset("market1501", tmp_path / "market").train


def batches(samples: Split, workers: int = 0, megabytes: int = 0, epoch: int = 0) -> list[dict[str, torch.Tensor]]:
    labels = relabel(samples)
    sampler = PKBatchSampler([labels[item.pid] for item in samples], 4, 4, seed=0)
    sampler.set_epoch(epoch)
    return list(training_loader(samples, labels, SIZE, sampler, workers, megabytes))


def equal(first: list[dict[str, torch.Tensor]], second: list[dict[str, torch.Tensor]]) -> bool:
    return all(torch.equal(one[key], two[key]) for one, two in zip(first, second, strict=True) for key in one)


def test_batches_are_the_same_with_workers_threads_and_cache(train: Split) -> None:
    expected = batches(train)
    assert expected[0]["images"].shape == (16, 3, 64, 32) and expected[0]["images"].dtype == torch.uint8
    assert expected[0]["pids"].dtype == expected[0]["camids"].dtype == torch.int64
    assert equal(batches(train, workers=2), expected) and equal(batches(train, megabytes=100), expected)
    assert not equal(batches(train, epoch=1), expected)


def test_pixels_are_those_of_the_files_in_order(train: Split) -> None:
    for threads in (1, 3):
        dataset = ImageDataset(train, relabel(train), SIZE, cache=threads == 1, threads=threads)
        order = [5, 3, 3, 70, 0]
        batch = dataset.__getitems__(order)
        for position, index in enumerate(order):
            assert (batch["images"][position].numpy() == SIZE.batch([load_image(train[index].path)])[0]).all()
            assert batch["camids"][position] == train[index].camid


def test_cache_is_used_only_when_everything_fits(train: Split) -> None:
    labels = relabel(train)
    sampler = PKBatchSampler([labels[item.pid] for item in train], 4, 4, seed=0)
    need = len(train) * 3 * 64 * 32 / 2**20
    loaders = [training_loader(train, labels, SIZE, sampler, 2, limit) for limit in (int(need), int(need) + 1)]
    assert [loader.dataset.cache for loader in loaders] == [False, True]
    assert [loader.num_workers for loader in loaders] == [2, 0]
    next(iter(loaders[1]))
    for sample in train:
        Path(sample.path).unlink()
    assert len(list(loaders[1])) == len(sampler)  # from memory


def test_boxes_of_one_frame_are_cut_in_threads(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 300, 3), dtype=np.uint8)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    samples = [
        Sample(str(tmp_path / f"{'ab'[number % 2]}.png"), number % 3, 0, 0, "t", (number, 2.5, number + 40, 90))
        for number in range(200)
    ]
    dataset = ImageDataset(samples, relabel(samples), SIZE, cache=False, threads=2)
    batch = dataset.__getitems__(range(200))
    expected = SIZE.batch([load_crop(sample) for sample in samples])
    assert (batch["images"].numpy() == expected).all()


@pytest.mark.parametrize("cache", [True, False])
def test_a_file_that_breaks_is_replaced_by_one_of_its_identity(train: Split, cache: bool) -> None:
    dataset = ImageDataset(train, relabel(train), SIZE, cache)
    Path(train[1].path).write_bytes(b"broken")
    Path(train[2].path).unlink()
    with pytest.warns(UserWarning, match=r"not a readable image .* stands in for it"):
        batch = dataset.__getitems__([0, 1, 2])
    assert dataset.replaced == {1: 3, 2: 3} and batch["pids"].tolist() == [0, 0, 0]
    assert batch["camids"].tolist() == [train[0].camid, train[3].camid, train[3].camid]
    assert (batch["images"][1].numpy() == SIZE.batch([load_image(train[3].path)])[0]).all()
    for sample in train[:9]:
        Path(sample.path).unlink(missing_ok=True)
    with pytest.raises(ValueError, match="identity 1 has no other readable image"):
        ImageDataset(train, relabel(train), SIZE, cache=False).__getitems__([0])


def test_unreadable_images_are_dropped_ahead_and_named(train: Split) -> None:
    whole = Path(train[0].path).read_bytes()
    Path(train[0].path).write_bytes(whole[:-30])
    Path(train[4].path).write_bytes(b"")
    Path(train[7].path).unlink()
    assert all(train[number].path in fault for number, fault in zip((4, 7), unreadable_files(train)[-2:], strict=True))
    kept, problems = drop_unreadable(train)
    assert kept == [sample for index, sample in enumerate(train) if index not in (0, 4, 7)]
    assert len(problems) == 3
    assert train[0].path in problems[0]  # some versions of OpenCV refuse it, others show gray where pixels are missing
    assert file_fault(train[0].path) == f"{train[0].path}: the file ends in the middle of the image"
    assert f"{train[4].path}: not a readable image (0 bytes)" in problems[1] and train[7].path in problems[2]
    assert drop_unreadable(kept) == (kept, ()) and unreadable_files(kept) == ()


def test_cut_off_png_is_noticed(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    assert image_fault(tmp_path / "a.png") is None
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:-300])
    assert "a.png" in str(image_fault(tmp_path / "a.png"))


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth shapes with some noise, as cameras see them."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 24, width // 24, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (smooth + random.normal(0, 3, smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width", "decoded"), [(512, 256, 256), (1100, 600, 275), (500, 256, 500)])
def test_reduced_decoding_is_nearly_area_resizing(tmp_path: Path, height: int, width: int, decoded: int) -> None:
    path = tmp_path / "large.jpg"
    cv2.imwrite(str(path), photograph(height, width), [cv2.IMWRITE_JPEG_QUALITY, 90])
    reduced = load_image(path, (256, 128))
    assert reduced.shape[0] == decoded and load_image(path).shape[0] == height
    size = Preprocessing(256, 128)
    ours = size.resize(reduced).astype(int)
    area = cv2.resize(load_image(path), (128, 256), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(ours - area).mean() < 2.0


def test_reduced_decoding_never_falls_below_what_is_needed(tmp_path: Path) -> None:
    for height, width in ((511, 600), (300, 700), (256, 128), (40, 20)):
        path = tmp_path / f"{height}.jpg"
        cv2.imwrite(str(path), photograph(max(height, 48), max(width, 48))[:height, :width])
        assert load_image(path, (256, 128)).shape == (height, width, 3)
    cv2.imwrite(str(tmp_path / "a.png"), photograph(600, 600))
    assert load_image(tmp_path / "a.png", (64, 32)).shape == (600, 600, 3)


def test_jpeg_size_is_read_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.zeros((37, 91, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    content = path.read_bytes()
    assert jpeg_size(content) == (37, 91)
    assert jpeg_size(b"\x89PNG") is None and jpeg_size(content[:20]) is None and jpeg_size(b"\xff\xd8\x00") is None


def test_box_outside_the_frame_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 20, 3), np.uint8))
    sample = Sample(str(tmp_path / "a.png"), 1, 0, 0, "t", (-5.0, -5.0, 30.0, 10.0))
    assert load_crop(sample).shape == (10, 20, 3)
    with pytest.raises(ValueError, match=r"a.png: the box \(30, 0, 40, 10\) lies outside its 20 x 20 pixels"):
        load_crop(dataclasses.replace(sample, box=(30, 0, 40, 10)))
