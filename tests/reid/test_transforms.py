from typing import Any

import pytest
import torch
from torchvision.transforms.functional import rgb_to_grayscale

from reid.data.images import Preprocessing
from reid.data.transforms import Augmentation, TrainTransform

SIZE = Preprocessing(32, 16)
OFF: dict[str, Any] = {"flip": 0.0, "pad_crop": 0, "jitter": 0.0, "erasing": 0.0}


def images(count: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(60, 200, (count, 3, 32, 16), generator=generator, dtype=torch.uint8)


def apply(seed: int = 0, **options: Any) -> torch.Tensor:
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


def gray_mask(transformed: torch.Tensor) -> torch.Tensor:
    restored = transformed * torch.tensor(SIZE.std).view(3, 1, 1) + torch.tensor(SIZE.mean).view(3, 1, 1)
    return (restored.amax(1) - restored.amin(1)) < 1e-5


def test_gray_patch_is_one_rectangle_of_the_images_brightness() -> None:
    gray = gray_mask(apply(gray_patch=1.0)) & ~gray_mask(apply())
    shares = gray.flatten(1).float().mean(1)
    assert (shares > 0.005).all() and (shares < 0.5).all()
    plain, patched = apply(), apply(gray_patch=1.0)
    assert torch.equal(
        plain[~gray.unsqueeze(1).expand(-1, 3, -1, -1)], patched[~gray.unsqueeze(1).expand(-1, 3, -1, -1)]
    )
    expected = rgb_to_grayscale(images().float() / 255)
    restored = patched * torch.tensor(SIZE.std).view(3, 1, 1) + torch.tensor(SIZE.mean).view(3, 1, 1)
    assert torch.allclose(restored[:, :1][gray.unsqueeze(1)], expected[gray.unsqueeze(1)], atol=1e-3)
    assert 8 < gray_mask(apply(gray_patch=0.35)).flatten(1).float().mean(1).gt(0.004).sum() < 36


def test_gray_image_turns_whole_images() -> None:
    gray = gray_mask(apply(gray_image=0.5)).flatten(1)
    whole = gray.all(1)
    assert 16 < whole.sum() < 48 and not gray[~whole].float().mean(1).gt(0.1).any()


@pytest.mark.parametrize("policy", ["autoaugment", "augmix"])
def test_policies_change_images_one_by_one_and_leave_the_global_generator_alone(policy: str) -> None:
    plain, state = apply(), torch.get_rng_state()
    first = apply(policy=policy)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(first, apply(policy=policy)) and not torch.equal(first, apply(seed=1, policy=policy))
    changed = (first != plain).flatten(1).any(1)
    assert changed.sum() > 40
    # The generator moves on: the next batch is changed in another way.
    transform = TrainTransform(SIZE, Augmentation(**(OFF | {"policy": policy})), torch.Generator().manual_seed(0))
    assert not torch.equal(transform(images()), transform(images()))


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "trivial"},
        {"gray_patch": 2.0},
        {"gray_image": -1.0},
        {"flip": 1.5},
        {"erasing": -0.1},
        {"jitter": 1.0},
        {"pad_crop": -1},
    ],
)
def test_bad_strengths_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Augmentation(**options)
