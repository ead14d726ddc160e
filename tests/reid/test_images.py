from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.functional import normalize

from reid.data.images import Preprocessing, load_image


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


def test_bad_preprocessing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Preprocessing(8, 128)
    with pytest.raises(ValueError, match="std above 0"):
        Preprocessing(std=(0.1, 0.0, 0.1))
