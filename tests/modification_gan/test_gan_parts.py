"""Networks and losses of the generative models, against plain loops and formulas."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from modification_gan.adversarial_losses import critic_loss, discriminator_loss, generator_loss
from modification_gan.blocks import normalise_spectrum
from modification_gan.conditional_norm import ConditionalBatchNorm
from modification_gan.diff_augment import diff_augment, parse_augmentation
from modification_gan.discriminator import Discriminator
from modification_gan.encoder import Encoder
from modification_gan.generator import Generator
from modification_gan.gradient_penalty import gradient_penalty
from modification_gan.self_attention import SelfAttention


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("height", "width", "first"), [(128, 64, (4, 2)), (64, 32, (2, 1)), (32, 16, (2, 1))])
def test_shapes_and_ranges(height: int, width: int, first: tuple[int, int]) -> None:
    groups = torch.tensor([0, 2])
    make = Generator(height, width, 5, 2, 3, height // 4, False, seeded())
    assert make._first == (16, *first)
    images = make(torch.randn(2, 5), groups)
    assert images.shape == (2, 3, height, width) and images.abs().max() <= 1
    judge = Discriminator(height, width, 2, 3, height // 4, True, "none", seeded())
    assert judge(images, groups).shape == (2,)
    mean, log_variance = Encoder(height, width, 5, 2, 3, False, seeded())(images, groups)
    assert mean.shape == log_variance.shape == (2, 5)


def test_other_sizes_are_refused() -> None:
    for height, width in ((48, 16), (32, 24), (16, 16)):
        with pytest.raises(ValueError, match=f"got {height}, {width}, allowed: multiples of 32 and 16"):
            Generator(height, width, 5, 2, 0, 0, False, seeded())
    with pytest.raises(ValueError, match="attention: got 7 rows, allowed: 0"):
        Generator(32, 16, 5, 2, 0, 7, False, seeded())
    with pytest.raises(ValueError, match="channels: got 0"):
        Discriminator(32, 16, 0, 0, 0, False, "none", seeded())
    with pytest.raises(ValueError, match="noise_size: got 0"):
        Generator(32, 16, 0, 2, 0, 0, False, seeded())


def test_first_weights_are_those_of_dcgan() -> None:
    make, judge = (
        Generator(64, 32, 16, 32, 0, 0, False, seeded()),
        Discriminator(64, 32, 32, 3, 0, False, "none", seeded()),
    )
    for network in (make, judge):
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
                assert layer.bias is None or not layer.bias.any()
    again = Generator(64, 32, 16, 32, 0, 0, False, seeded()).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in make.state_dict().items())
    other = Generator(64, 32, 16, 32, 0, 0, False, seeded(1)).state_dict()
    assert not torch.equal(other["project.weight"], again["project.weight"])


def test_conditional_norm_is_a_norm_with_each_images_own_scale() -> None:
    norm = ConditionalBatchNorm(3, 4)
    nn.init.normal_(norm.scale)
    nn.init.normal_(norm.shift)
    maps, groups = torch.randn(5, 3, 4, 2), torch.tensor([0, 3, 1, 3, 0])
    plain = nn.functional.batch_norm(maps, None, None, training=True)
    found = norm(maps, groups)
    for image, group in enumerate(groups.tolist()):
        for channel in range(3):
            wanted = plain[image, channel] * norm.scale[group, channel] + norm.shift[group, channel]
            torch.testing.assert_close(found[image, channel], wanted)
    torch.testing.assert_close(ConditionalBatchNorm(3, 0)(maps, None), nn.BatchNorm2d(3)(maps))
    with pytest.raises(ValueError, match=r"groups: got none, allowed: a tensor of B numbers in 0\.\.3"):
        norm(maps, None)


def test_self_attention_is_the_weighted_sum_of_all_places() -> None:
    attention, maps = SelfAttention(8).requires_grad_(False), torch.randn(2, 8, 3, 2)
    torch.testing.assert_close(attention(maps), maps)  # its factor starts at 0
    nn.init.constant_(attention.factor, 0.5)
    found = attention(maps)
    query, key, value = (layer(maps).flatten(2) for layer in (attention.query, attention.key, attention.value))
    for image in range(2):
        for place in range(6):
            likeness = [float((query[image, :, place] * key[image, :, other]).sum()) for other in range(6)]
            shares = np.exp(likeness) / np.exp(likeness).sum()  # one channel: divided by sqrt(1)
            gathered = sum(share * value[image, :, other] for other, share in enumerate(shares))
            wanted = maps[image].flatten(1)[:, place] + 0.5 * attention.out.weight[:, :, 0, 0] @ gathered
            torch.testing.assert_close(found[image].flatten(1)[:, place], wanted, rtol=1e-4, atol=1e-5)
    assert attention(torch.randn(1, 8, 4, 2)).shape == (1, 8, 4, 2)  # pooled keys


def test_projection_adds_the_product_with_the_groups_vector() -> None:
    judge = Discriminator(32, 16, 2, 3, 0, False, "batch", seeded()).eval()
    images, groups = torch.randn(4, 3, 32, 16), torch.tensor([0, 1, 2, 1])
    last = judge.features(images)[1]
    assert judge.groups is not None
    for image, group in enumerate(groups.tolist()):
        wanted = judge.score(last[image].flatten()) + judge.groups.weight[group] @ last[image].mean((1, 2))
        torch.testing.assert_close(judge(images, groups)[image], wanted[0])


def test_spectral_normalisation_makes_the_largest_singular_value_one() -> None:
    judge = Discriminator(32, 16, 4, 2, 16, True, "none", seeded())
    for _ in range(40):
        judge(torch.randn(2, 3, 32, 16), torch.tensor([0, 1]))
    layers = [module for module in judge.modules() if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding))]
    assert len(layers) == 4 + 4 + 2
    for layer in layers:
        assert np.linalg.svd(layer.weight.detach().flatten(1).numpy())[1][0] == pytest.approx(1, abs=0.02)
    raise_up = nn.ConvTranspose2d(4, 5, 4)
    normalise_spectrum(raise_up, seeded())
    for _ in range(60):
        raise_up(torch.randn(1, 4, 2, 2))
    largest = np.linalg.svd(raise_up.weight.detach().transpose(0, 1).flatten(1).numpy())[1][0]
    assert largest == pytest.approx(1, abs=0.02)  # output channels x the rest


def test_layer_norm_keeps_images_apart() -> None:
    images = torch.randn(3, 3, 32, 16)
    scores = {
        norm: Discriminator(32, 16, 4, 0, 0, False, norm, seeded())(images) for norm in ("batch", "layer", "none")
    }
    alone = Discriminator(32, 16, 4, 0, 0, False, "layer", seeded())(images[:1])
    torch.testing.assert_close(scores["layer"][:1], alone)
    assert not torch.allclose(scores["batch"], scores["layer"]) and not torch.allclose(scores["none"], scores["layer"])


def test_adversarial_losses_are_the_papers_formulas() -> None:
    real, fake = torch.tensor([0.5, -2.0, 3.0]), torch.tensor([1.5, -0.3])

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    def cross_entropy(scores: torch.Tensor, label: float) -> float:
        rows = [label * math.log(sigmoid(s)) + (1 - label) * math.log(1 - sigmoid(s)) for s in scores.tolist()]
        return -sum(rows) / len(rows)

    for smoothing, sides, low in ((0.0, "one", 0.0), (0.1, "one", 0.0), (0.1, "two", 0.1)):
        wanted = cross_entropy(real, 1 - smoothing) + cross_entropy(fake, low)
        found = discriminator_loss(real, fake, "non-saturating", smoothing, sides)  # type: ignore[arg-type]
        assert float(found) == pytest.approx(wanted, rel=1e-5)
    assert float(generator_loss(fake, "non-saturating")) == pytest.approx(cross_entropy(fake, 1.0), rel=1e-5)
    assert float(discriminator_loss(real, fake, "hinge")) == pytest.approx((0.5 + 3) / 3 + (2.5 + 0.7) / 2)
    assert float(generator_loss(fake, "hinge")) == pytest.approx(-0.6)
    assert float(critic_loss(real, fake)) == pytest.approx(0.6 - 0.5)
    with pytest.raises(ValueError, match=r"label_smoothing: got 0\.1 with the hinge loss"):
        discriminator_loss(real, fake, "hinge", 0.1)
    with pytest.raises(ValueError, match=r"label_smoothing: got 0\.5"):
        discriminator_loss(real, fake, "non-saturating", 0.5)


def test_gradient_penalty_of_known_slopes() -> None:
    real, fake = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    slope = torch.randn(3, 2, 2)
    found = gradient_penalty(lambda images: (images * slope).sum((1, 2, 3)), real, fake, seeded())
    assert float(found) == pytest.approx((float(slope.norm()) - 1) ** 2, rel=1e-4)
    # Of half the squared norm the slope is the image itself: the draw shows between which images it lies.
    share = torch.rand(4, 1, 1, 1, generator=seeded(3))
    wanted = ((real + share * (fake - real)).flatten(1).norm(dim=1) - 1).square().mean()
    found = gradient_penalty(lambda images: images.square().sum((1, 2, 3)) / 2, real, fake, seeded(3))
    torch.testing.assert_close(found, wanted)
    weight = torch.ones((), requires_grad=True)
    gradient_penalty(lambda images: (images * weight).sum((1, 2, 3)), real, fake, seeded()).backward()
    assert weight.grad is not None and weight.grad != 0


def test_shifted_images_are_the_originals_with_zeros_coming_in() -> None:
    images = torch.randn(6, 3, 16, 8)
    found = diff_augment(images, ("translation",), seeded(5))
    random = seeded(5)
    down = torch.randint(-2, 3, (6, 1), generator=random)
    right = torch.randint(-1, 2, (6, 1), generator=random)
    wanted = torch.zeros_like(images)
    for image in range(6):
        for row in range(16):
            for column in range(8):
                y, x = row - int(down[image]), column - int(right[image])
                if 0 <= y < 16 and 0 <= x < 8:
                    wanted[image, :, row, column] = images[image, :, y, x]
    assert torch.equal(found, wanted) and not torch.equal(found, images)


def test_holes_have_half_of_each_side() -> None:
    found = diff_augment(torch.ones(64, 3, 16, 8), ("cutout",), seeded())
    cut = (found == 0).all(1).sum((1, 2))
    assert cut.max() == 8 * 4 and cut.min() >= 4 * 2 and ((found == 0) | (found == 1)).all()
    assert ((found == 0).any(1).any(2).sum(1) <= 8).all() and ((found == 0).any(1).any(1).sum(1) <= 4).all()


def test_colours_change_in_brightness_saturation_and_contrast() -> None:
    images = torch.rand(200, 3, 4, 2) * 2 - 1
    found = diff_augment(images, ("color",), seeded())
    moved = found.mean((1, 2, 3)) - images.mean((1, 2, 3))
    assert -0.5 <= moved.min() < -0.4 and 0.4 < moved.max() <= 0.5  # saturation and contrast keep the mean
    grey_before, grey_after = images.mean(1), found.mean(1)
    contrast = grey_after.std((1, 2)) / grey_before.std((1, 2))
    assert 0.5 <= contrast.min() < 0.6 and 1.4 < contrast.max() <= 1.5001
    colour = (found - found.mean(1, keepdim=True)).std((1, 2, 3)) / (images - images.mean(1, keepdim=True)).std(
        (1, 2, 3)
    )
    assert 0 <= (colour / contrast).min() < 0.1 and 1.9 < (colour / contrast).max() <= 2.001


def test_gradients_pass_the_augmentation() -> None:
    images = torch.rand(2, 3, 16, 8, requires_grad=True)
    diff_augment(images, ("color", "translation", "cutout"), seeded()).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert diff_augment(images, (), seeded()) is images


def test_kinds_of_augmentation() -> None:
    assert parse_augmentation("none") == () and parse_augmentation("cutout,color") == ("cutout", "color")
    for text in ("", "color,blur", "color,color"):
        with pytest.raises(ValueError, match="diff_augment"):
            parse_augmentation(text)
