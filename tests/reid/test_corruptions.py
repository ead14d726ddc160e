import numpy as np
import pytest

from reid.corruptions import CORRUPTIONS, corrupt, corrupt_all


def picture(seed=0, height=128, width=64):
    random = np.random.default_rng(seed)
    ramp = np.linspace(40, 200, height)[:, None, None] + random.normal(0, 20, (height, width, 3))
    return ramp.clip(0, 255).astype(np.uint8)


def damaged(name, strength, image=None, seed=0, path="query/a.jpg", camid=0):
    return corrupt(picture() if image is None else image, name, strength, seed=seed, path=path, camid=camid)


def error(image, other):
    return float(np.abs(image.astype(float) - other).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_stronger_is_worse_on_average_and_nothing_is_nothing(name):
    strengths = CORRUPTIONS[name].strengths
    assert list(strengths) == sorted(strengths) and 0 < strengths[0] and strengths[-1] <= CORRUPTIONS[name].largest
    image = picture()
    untouched = image.copy()
    assert (damaged(name, 0, image) == image).all()
    errors = [
        np.mean([error(image, damaged(name, strength, image, path=f"{k}.jpg", camid=k)) for k in range(20)])
        for strength in strengths
    ]
    assert errors == sorted(errors) and errors[0] > 0.5
    result = damaged(name, strengths[-1], image)
    assert result.dtype == np.uint8 and result.shape == image.shape
    assert (image == untouched).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(1, 1), (17, 5), (300, 140)])
def test_any_size_and_the_largest_strength(name, shape):
    for strength in (CORRUPTIONS[name].strengths[0], CORRUPTIONS[name].largest):
        assert damaged(name, strength, picture(1, *shape)).shape == (*shape, 3)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_draws_follow_seed_file_and_camera_alone(name):
    strength = CORRUPTIONS[name].strengths[2]
    first = damaged(name, strength)
    assert (damaged(name, strength, path="/elsewhere/a.jpg") == first).all()
    draws = name not in ("blur", "low_resolution")
    assert (damaged(name, strength, seed=1) != first).any() == draws
    by_camera = CORRUPTIONS[name].by_camera
    assert (damaged(name, strength, path="query/b.jpg") != first).any() == (draws and not by_camera)
    assert (damaged(name, strength, camid=3) != first).any() == by_camera
    images = [picture(k) for k in range(3)]
    options = {"paths": ["a.jpg", "b.jpg", "c.jpg"], "camids": [0, 1, 0]}
    together = corrupt_all(images, name, strength, seed=0, **options)
    assert (together[0] == damaged(name, strength, images[0], path="a.jpg")).all()
    assert (together[1] == damaged(name, strength, images[1], path="b.jpg", camid=1)).all()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 1.0])
def test_occlusion_covers_the_share_in_one_rectangle(share):
    image = np.full((128, 64, 3), 7, np.uint8)
    places = set()
    for k in range(30):
        result = damaged("occlusion", share, image, path=f"{k}.jpg")
        rows, columns = np.nonzero((result != 7).any(axis=2))
        box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        places.add(box)
        area = (box[1] - box[0]) * (box[3] - box[2]) / (128 * 64)
        assert area == pytest.approx(share, abs=0.02)
    assert len(places) > 20 or share == 1


def test_an_occluder_grows_where_it_stands():
    """The same draws at every strength: a curve compares strengths, not luck."""
    image = np.full((128, 64, 3), 7, np.uint8)
    small, large = (damaged("occlusion", share, image) for share in (0.2, 0.4))
    covered = (small != 7).any(axis=2)
    assert (large != 7).any(axis=2)[covered].mean() > 0.6


def test_darkness_takes_light_not_only_numbers():
    image = np.full((200, 200, 3), 200, np.uint8)
    linear = [(damaged("darkness", loss, image) / 255.0) ** 2.2 for loss in (0.5, 0.9)]
    before = (200 / 255) ** 2.2
    assert linear[0].mean() / before == pytest.approx(0.5, rel=0.03)
    assert linear[1].mean() / before == pytest.approx(0.1, rel=0.03)
    # Signal falls with the light, noise only with its root.
    assert linear[1].std() / linear[1].mean() > 1.5 * linear[0].std() / linear[0].mean()


def test_low_resolution_keeps_blocks_and_blur_keeps_the_mean():
    image = picture()
    assert damaged("low_resolution", 63, image).std(axis=(0, 1)).max() < 60
    assert damaged("blur", 3, image).mean() == pytest.approx(image.mean(), abs=1)
    large = np.kron(picture(0, 32, 16), np.ones((4, 4, 1), np.uint8))
    assert error(large, damaged("low_resolution", 3, large)) < error(image, damaged("low_resolution", 3, image))


def test_camera_shift_is_the_same_for_every_image_of_a_camera():
    colours = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    first = damaged("camera_shift", 2, colours, camid=1, path="a.jpg")
    assert (first == damaged("camera_shift", 2, colours, camid=1, path="b.jpg")).all()
    assert (np.diff(first.astype(int), axis=0) >= 0).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="corruption: got 'snow', allowed: occlusion"):
        damaged("snow", 1)
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="strength of occlusion"):
            damaged("occlusion", strength)
    with pytest.raises(ValueError, match=r"query/a.jpg: got float32"):
        damaged("blur", 1, np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="as many each"):
        corrupt_all([picture()], "blur", 1, seed=0, paths=[], camids=[0])
