import numpy as np
import pytest

from reid.distances import euclidean_distances
from reid.histogram import STRIPES, ColourHistogram


def person(upper, lower, background=(90, 110, 90), size=(128, 64), noise=0):
    image = np.empty((*size, 3))
    image[:] = background
    middle = slice(size[1] // 4, -size[1] // 4)
    image[size[0] // 6 : size[0] // 2, middle] = upper
    image[size[0] // 2 :, middle] = lower
    image += np.random.default_rng(0).normal(scale=noise or 1e-9, size=image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def test_form_of_the_features():
    features = ColourHistogram()([person((200, 0, 0), (0, 0, 90)), person((10, 10, 10), (0, 99, 0), size=(300, 120))])
    assert features.shape == (2, ColourHistogram.dim) == (2, 2688)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    assert ColourHistogram()([]).shape == (0, 2688)


def test_hellinger_by_hand():
    # One colour a stripe, hence one bin a histogram. The colours average to grey, so they stay as they are.
    colours = np.eye(3, dtype=np.uint8) * 255
    stripe = np.arange(128) * STRIPES // 128
    first, second = (
        np.repeat(colours[order][stripe][:, None], 64, axis=1) for order in ([0, 0, 1, 1, 2, 2], [0, 0, 2, 2, 1, 1])
    )
    features = ColourHistogram()([first, second])
    assert np.count_nonzero(features[0]) == 2 * STRIPES
    assert features[0] @ features[1] == pytest.approx(1 / 3, abs=1e-6)  # two of six stripes agree


def test_tint_of_the_camera_is_taken_out():
    image = person((180, 60, 60), (60, 60, 140), background=(100, 100, 100), noise=10)
    tinted = (image * np.array([1.0, 0.8, 0.7])).astype(np.uint8)
    other = person((60, 180, 60), (60, 60, 140), background=(100, 100, 100), noise=10)
    distances = euclidean_distances(ColourHistogram()([image]), ColourHistogram()([tinted, other]))[0]
    assert distances[0] < 0.6 * distances[1]


def test_same_clothes_are_nearer_than_others():
    gallery = [
        person((200, 30, 30), (30, 30, 90)),
        person((30, 30, 200), (30, 30, 90)),
        person((30, 30, 90), (200, 30, 30)),
    ]
    query = person((200, 30, 30), (30, 30, 90), background=(140, 140, 150), size=(200, 80), noise=6)
    distances = euclidean_distances(ColourHistogram()([query]), ColourHistogram()(gallery))[0]
    assert distances.argmin() == 0
    assert distances[2] > distances[0]  # the same colours in other places


def test_same_input_same_bytes():
    image = person((1, 2, 3), (200, 100, 0), noise=30)
    assert np.array_equal(ColourHistogram()([image, image]), ColourHistogram()([image] * 2))


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_bad_images(image):
    with pytest.raises(ValueError, match=r"images\[1\]: got .* allowed: uint8 \(H, W, 3\)"):
        ColourHistogram()([np.zeros((4, 4, 3), np.uint8), image])
