import numpy as np
import pytest

from reid.histogram import ColourHistogram
from reid.views import AveragedViews, five_crops, flipped


def images(num=3):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (40 + 3 * n, 20 + n, 3), dtype=np.uint8) for n in range(num)]


class Corners:
    """Embeds an image as its size and its corner's colours; notes the cameras that it is told."""

    def __init__(self, needs_cameras=False):
        self.needs_cameras = needs_cameras
        self.told = []

    def __call__(self, crops, camids=None):
        self.told.append(camids)
        return np.array([[*crop.shape[:2], *crop[0, 0], *crop[-1, -1]] for crop in crops], np.float32)


def unit(row):
    return row / np.linalg.norm(row)


def test_mirror_images_and_cuts():
    image = images()[0]
    assert (flipped(image)[:, 3] == image[:, -4]).all() and (flipped(flipped(image)) == image).all()
    centre, *corners = five_crops(image, 0.75)
    assert {cut.shape for cut in (centre, *corners)} == {(30, 15, 3)}
    assert (centre == image[5:35, 2:17]).all()
    assert [cut[0, 0].tolist() for cut in corners] == [image[y, x].tolist() for y in (0, 10) for x in (0, 5)]
    assert five_crops(image[:1, :1], 0.1)[0].shape == (1, 1, 3)


@pytest.mark.parametrize(("flip", "share", "count"), [(True, None, 2), (False, 0.8, 6), (True, 0.8, 12)])
def test_views_are_averaged(flip, share, count):
    embed = Corners()
    found = AveragedViews(embed, flip=flip, multi_crop=share)(images())
    assert len(embed.told) == count
    for row, image in zip(found, images(), strict=True):
        views = [image, *(five_crops(image, share) if share else [])]
        views += [view[:, ::-1] for view in views] if flip else []
        expected = unit(np.mean([unit(Corners()([view])[0]) for view in views], axis=0))
        np.testing.assert_allclose(row, expected, atol=1e-6)


def test_with_flip_an_image_and_its_mirror_image_are_one():
    both = AveragedViews(Corners(), flip=True)
    np.testing.assert_allclose(both(images()), both([flipped(image) for image in images()]), atol=1e-6)


def test_cameras_are_handed_on():
    assert not AveragedViews(Corners(), flip=True).needs_cameras
    embed = Corners(needs_cameras=True)
    views = AveragedViews(embed, flip=True)
    views(images(), camids=[1, 0, 2])
    assert views.needs_cameras and embed.told == [[1, 0, 2]] * 2


def test_a_colour_histogram_knows_no_left_and_right():
    embed = ColourHistogram()
    np.testing.assert_allclose(embed([flipped(image) for image in images()]), embed(images()), atol=1e-5)


def test_bad_options_are_named():
    for options, message in (({}, "flip, multi_crop or both"), ({"multi_crop": 1.0}, "multi_crop: got 1.0")):
        with pytest.raises(ValueError, match=message):
            AveragedViews(Corners(), **options)
