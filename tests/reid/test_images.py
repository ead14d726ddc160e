from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.functional import normalize

from reid.data.images import Preprocessing, load_image
from reid.torch_backend import normalise_there


def test_image_is_read_as_rgb(tmp_path: Path) -> None:
    image = np.zeros((8, 4, 3), np.uint8)
    image[:, :, 2] = 255  # red, as OpenCV writes it
    cv2.imwrite(str(tmp_path / "red.png"), image)
    assert load_image(tmp_path / "red.png")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0 truncated"])
def test_corrupt_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0001_c1s1_000000_00.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"0001_c1s1_000000_00\.jpg: not a readable image"):
        load_image(tmp_path / "0001_c1s1_000000_00.jpg")


def test_normalise_equals_torchvision() -> None:
    size = Preprocessing(32, 16)
    batch = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 16), dtype=np.uint8)
    expected = normalize(torch.from_numpy(batch).float() / 255, list(size.mean), list(size.std))
    result = size.normalise(batch)
    assert result.dtype == np.float32 and np.allclose(result, expected.numpy(), atol=1e-5)


def test_batch_resizes_and_refuses_bad_images() -> None:
    size = Preprocessing(32, 16)
    assert size.batch([np.zeros((5, 7, 3), np.uint8), np.zeros((32, 16, 3), np.uint8)]).shape == (2, 3, 32, 16)
    for bad in (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match="image 1"):
            size.batch([np.zeros((4, 4, 3), np.uint8), bad])


def views() -> list[np.ndarray]:
    """Crops as they come: smaller, larger, of the very size, views of a frame, mirrored, BGR turned around."""
    frame = np.random.default_rng(1).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    parts = [frame[3:40, 5:17], frame, frame[10:42, 7:23], frame[:1, :1], frame[20:23], frame[:, 60:]]
    return [*parts, np.ascontiguousarray(frame[:32, :16]), frame[5:60, ::-1], frame[..., ::-1][:32, :16]]


def test_batch_and_normalise_equal_the_plain_formula() -> None:
    size = Preprocessing(32, 16, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    batch = size.batch(views())
    normal = size.normalise(batch)
    assert batch.dtype == np.uint8 and normal.dtype == np.float32
    for image, planes, values in zip(views(), batch, normal, strict=True):
        resized = cv2.resize(np.ascontiguousarray(image), (16, 32), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(planes, resized.transpose(2, 0, 1)) and np.array_equal(size.resize(image), resized)
        for channel in range(3):
            expected = (resized[..., channel] / 255 - size.mean[channel]) / size.std[channel]
            assert np.allclose(values[channel], expected, atol=1e-6)
    assert np.array_equal(size.normalise(batch[..., ::-1]), normal[..., ::-1])
    assert size.batch([]).shape == size.normalise(size.batch([])).shape == (0, 3, 32, 16)


def test_images_are_left_as_they_are_and_threads_do_not_meet() -> None:
    size = Preprocessing(32, 16)
    images = views()
    for image in images:
        image.flags.writeable = False
    kept = [image.copy() for image in images]
    expected = size.normalise(size.batch(images))
    turned = [images[turn % 9 :] + images[: turn % 9] for turn in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda own: size.normalise(size.batch(own)), turned))
    assert all(np.array_equal(np.roll(own, turn % 9, axis=0), expected) for turn, own in enumerate(found))
    assert all(np.array_equal(image, copy) for image, copy in zip(images, kept, strict=True))


def test_normalise_refuses_what_is_no_batch() -> None:
    for bad in (np.zeros((1, 3, 8, 8), np.float32), np.zeros((3, 8, 8), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="batch: got"):
            Preprocessing(32, 16).normalise(bad)


def test_bad_preprocessing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Preprocessing(8, 128)
    with pytest.raises(ValueError, match="std above 0"):
        Preprocessing(std=(0.1, 0.0, 0.1))


def test_a_device_normalises_as_the_processor_does() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), np.uint8)
    for preprocessing in (Preprocessing(16, 16), Preprocessing(16, 16, (0.5, 0.4, 0.3), (1.0, 0.5, 0.25))):
        there = normalise_there(torch.from_numpy(batch), preprocessing).numpy()
        np.testing.assert_allclose(there, preprocessing.normalise(batch), atol=1e-6)
