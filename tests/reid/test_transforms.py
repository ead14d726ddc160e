import pytest
import torch

from reid.data.images import Preprocessing
from reid.data.transforms import Augmentation, TrainTransform

SIZE = Preprocessing(32, 16)
OFF = {"flip": 0.0, "pad_crop": 0, "jitter": 0.0, "erasing": 0.0}


def images(count: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(60, 200, (count, 3, 32, 16), generator=generator, dtype=torch.uint8)


def apply(seed: int = 0, **options: float) -> torch.Tensor:
    transform = TrainTransform(SIZE, Augmentation(**(OFF | options)), torch.Generator().manual_seed(seed))
    return transform(images())


def test_with_everything_off_it_only_normalises() -> None:
    expected = torch.from_numpy(SIZE.normalise(images().numpy()))
    assert torch.allclose(apply(), expected, atol=1e-5)


def test_flip_mirrors_about_half_of_the_images() -> None:
    plain, flipped = apply(), apply(flip=0.5)
    kept = (flipped == plain).flatten(1).all(1)
    mirrored = (flipped == plain.flip(3)).flatten(1).all(1)
    assert (kept ^ mirrored).all() and 16 < mirrored.sum() < 48


def test_pad_crop_shifts_and_fills_with_black() -> None:
    plain, cropped = apply(), apply(pad_crop=3)
    black = (-torch.tensor(SIZE.mean) / torch.tensor(SIZE.std)).view(3, 1, 1)
    padded = black.expand(64, 3, 38, 22).clone()
    padded[:, :, 3:35, 3:19] = plain
    for item, window in zip(padded, cropped):
        assert any(
            torch.allclose(item[:, top : top + 32, left : left + 16], window, atol=1e-5)
            for top in range(7)
            for left in range(7)
        )
    assert not torch.allclose(plain, cropped)


def test_erasing_blanks_one_rectangle_of_the_right_size() -> None:
    blank = (apply(erasing=1.0) == 0.0).all(dim=1)
    shares = blank.flatten(1).float().mean(1)
    assert (shares > 0.005).all() and (shares < 0.5).all()
    for mask in blank:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None, :])
    assert 16 < (apply(erasing=0.5) == 0.0).all(dim=1).flatten(1).any(1).sum() < 48


def test_jitter_changes_colours_within_bounds() -> None:
    plain, jittered = apply(), apply(jitter=0.3)
    assert (jittered != plain).flatten(1).any(1).all()
    restored = jittered * torch.tensor(SIZE.std).view(3, 1, 1) + torch.tensor(SIZE.mean).view(3, 1, 1)
    assert restored.min() >= -1e-5 and restored.max() <= 1 + 1e-5


def test_same_generator_seed_gives_the_same_batch() -> None:
    options = {"flip": 0.5, "pad_crop": 2, "jitter": 0.2, "erasing": 0.5}
    assert torch.equal(apply(**options), apply(**options))
    assert not torch.equal(apply(**options), apply(seed=1, **options))


@pytest.mark.parametrize("options", [{"flip": 1.5}, {"erasing": -0.1}, {"jitter": 1.0}, {"pad_crop": -1}])
def test_bad_strengths_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Augmentation(**options)
