"""Tiny trainings of every generative model."""

import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from generation_runs import ALL_MODELS, WATCHED, generate, interrupt_at, same, small, weights, without_pictures
from torch import nn

from modification_gan.dcgan import DCGAN
from modification_gan.diversity import (
    CollapseError,
    DiversityWatch,
    fixed_groups,
    spread,
    training_spread,
    written_spread,
)
from modification_gan.interruption import stop_requests
from modification_gan.options import GenerateConfig
from modification_gan.pictures import to_pixels
from modification_gan.randomness import generator_for, image_seeds, noise_of
from modification_gan.sampling import noise_shape_of
from modification_gan.training_images import TrainingBatches
from modification_gan.weights import load_source
from reid.data.generated import read_manifest
from reid.data.images import load_image


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)


@pytest.mark.parametrize("model", ALL_MODELS)
def test_each_model_trains_goes_on_bit_for_bit_and_makes_images(
    model: str, tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*small(model), "--steps", 6, "--state-every", 6, "--ema", "--group-by", "cameras", "--num-images", 8]
    options += ["--generator-lr", 0.05]  # the first weights make grey images
    whole = generate(tiny_market, tmp_path / "whole", *options)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    losses = [value for row in rows for name, value in row.items() if name.startswith("loss/")]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6] and len(losses) >= 6
    assert all(abs(value) < float("inf") for value in losses) and rows[-1]["diversity"] > 0.05
    # 6 steps = 3, Ctrl-C, and 3 more.
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        interrupt_at(patch, 3)
        generate(tiny_market, tmp_path / "cut", *options)
    assert stopped.value.code == 130 and "interrupted at step 3; --resume" in capsys.readouterr().err
    assert not (tmp_path / "cut" / "manifest.csv").exists()
    assert same(whole, generate(tiny_market, tmp_path / "cut", *options, "--resume"))
    first, second = read_manifest(tmp_path / "whole"), read_manifest(tmp_path / "cut")
    assert first == second and {image.model for image in first} == {model} and len(first) == 8
    images = [load_image(tmp_path / "whole" / image.file) for image in first]
    assert images[0].shape == (32, 16, 3)
    for image, own in zip(second, images, strict=True):
        assert (load_image(tmp_path / "cut" / image.file) == own).all()
    assert torch.from_numpy(abs(images[0].astype(int) - images[1])).float().mean() > 2
    # The average differs from the weights of the last step.
    assert not same(whole, generate(tiny_market, tmp_path / "last", *(word for word in options if word != "--ema")))


def test_another_seed_is_another_training(tiny_market: Path, tmp_path: Path) -> None:
    options = [*small("dcgan"), "--steps", 3, "--generator-lr", 0.05, "--num-images", 4]
    first = generate(tiny_market, tmp_path / "a", *options)
    assert same(first, generate(tiny_market, tmp_path / "b", *options))
    assert not same(first, generate(tiny_market, tmp_path / "c", *options, "--seed", 1))
    files = [(tmp_path / run / "images" / "000000.jpg").read_bytes() for run in "abc"]
    assert files[0] == files[1] != files[2]
    assert {image.seed for image in read_manifest(tmp_path / "a")}.isdisjoint(
        image.seed for image in read_manifest(tmp_path / "c")
    )


def test_a_crash_goes_on_from_the_last_state(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*small("dcgan"), "--steps", 4, "--state-every", 2, "--num-images", 0]
    whole = generate(tiny_market, tmp_path / "whole", *options)
    losses, seen = DCGAN.losses, []

    def fail(self, turn, batch, random):  # type: ignore[no-untyped-def]
        seen.append(turn)
        if len(seen) == 7:
            raise RuntimeError("out of memory")
        return losses(self, turn, batch, random)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(DCGAN, "losses", fail)
        generate(tiny_market, tmp_path / "cut", *options)
    assert [path.name for path in (tmp_path / "cut" / "states").iterdir()] == ["epoch-00000-batch-0000002.pt"]
    assert same(whole, generate(tiny_market, tmp_path / "cut", *options, "--resume"))
    rows = [json.loads(line)["step"] for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert rows == [1, 2, 3, 4]


def test_losses_that_are_not_finite_end_the_training(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*small("dcgan"), "--steps", 8, "--state-every", 2, "--log-every", 8]
    losses, count = DCGAN.losses, []

    def spoil(self, turn, batch, random):  # type: ignore[no-untyped-def]
        loss, terms = losses(self, turn, batch, random)
        count.append(turn)
        if len(count) == 6:  # the generator's third turn
            return loss * float("nan"), {"generator": loss.detach() * float("nan")}
        return loss, terms

    monkeypatch.setattr(DCGAN, "losses", spoil)
    with pytest.raises(FloatingPointError, match=r"step 3: the loss 'generator' is nan; the last good state is .* 2"):
        generate(tiny_market, tmp_path, *options)
    source, card = load_source(tmp_path / "model.safetensors")
    assert card.step == 2 and all(value.isfinite().all() for value in source.state_dict().values())
    assert not (tmp_path / "manifest.csv").exists()


def test_a_collapse_is_said_and_ends_the_training(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*small("dcgan"), *WATCHED, "--steps", 9, "--state-every", 1, "--num-images", 0]
    with (
        monkeypatch.context() as patch,
        pytest.raises(CollapseError, match=r"step 4: .*has collapsed; .* step 2: --resume"),
    ):
        patch.setattr(DCGAN, "losses", collapsing(3))
        generate(tiny_market, tmp_path, *options, "--generator-lr", 0)
    assert "WARNING: step 3" in capsys.readouterr().out
    assert load_source(tmp_path / "model.safetensors")[1].step == 2
    monkeypatch.setattr(DCGAN, "losses", collapsing(3))
    generate(tiny_market, tmp_path, *options, "--generator-lr", 0, "--collapse-below", 0)
    assert load_source(tmp_path / "model.safetensors")[1].step == 9


def collapsing(step: int):  # type: ignore[no-untyped-def]
    """Returns DC-GAN's losses of a generator that varies, and forgets its noise in a step."""
    losses, count = DCGAN.losses, []

    def collapse(self, turn, batch, random):  # type: ignore[no-untyped-def]
        count.append(turn)
        if len(count) == 1:  # the first weights make grey images
            for parameter in self.source.parameters():
                torch.nn.init.normal_(parameter, 0, 0.5, generator=generator_for(0))
        if len(count) == 2 * step:
            torch.nn.init.zeros_(self.source.project.weight)
        return losses(self, turn, batch, random)

    return collapse


def test_a_collapse_in_the_end_leaves_the_images_of_before(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*small("dcgan"), *WATCHED, "--steps", 3, "--state-every", 1, "--num-images", 2, "--generator-lr", 0]
    with monkeypatch.context() as patch:
        patch.setattr(DCGAN, "losses", collapsing(3))
        generate(tiny_market, tmp_path / "late", *options)
    assert "note: the images are of step 2 of 3" in capsys.readouterr().out
    assert json.loads((tmp_path / "late" / "card.json").read_text())["step"] == 2
    monkeypatch.setattr(DCGAN, "losses", collapsing(1))
    with pytest.raises(CollapseError, match="the images of no step were found to differ"):
        generate(tiny_market, tmp_path / "early", *options, "--steps", 1, "--collapse-after", 0)


def test_short_trainings_are_watched_too(tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [GenerateConfig().run.patience(steps) for steps in (1, 30, 1500, 9000)] == [0, 15, 750, 1000]
    hot = [*small("dcgan"), "--steps", 8, "--num-images", 4, "--generator-lr", 1e6, "--discriminator-lr", 1e6]
    with pytest.raises(CollapseError, match="the images of no step were found to differ: none are made; more --steps"):
        generate(tiny_market, tmp_path, *hot, *WATCHED)
    assert "WARNING: step 8: images of different noise hardly differ" in capsys.readouterr().out
    assert not (tmp_path / "manifest.csv").exists() and not (tmp_path / "model.safetensors").exists()
    generate(tiny_market, tmp_path, *hot, "--resume")  # whoever wants them all the same
    said, card = capsys.readouterr().out, json.loads((tmp_path / "card.json").read_text())
    assert "WARNING" not in said and (card["low_diversity"], card["images"]) == (False, 4)
    generate(tiny_market, tmp_path, *hot, *WATCHED, "--resume")
    assert "WARNING: the images hardly differ (diversity 0.0" in capsys.readouterr().out
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["low_diversity"] and 0 <= card["diversity"] < 0.02


def test_a_training_goes_on_longer_and_at_other_rates(tiny_market: Path, tmp_path: Path) -> None:
    options = [*small("dcgan"), "--num-images", 0, "--group-by", "cameras"]
    whole = generate(tiny_market, tmp_path / "whole", *options, "--steps", 4)
    out = tmp_path / "more"
    generate(tiny_market, out, *options, "--steps", 2)
    shutil.copytree(out, tmp_path / "slow")
    market = tiny_market / ".." / tiny_market.name  # the same folder
    more = ["--steps", 4, "--state-every", 1, "--resume", "--root", market]
    assert same(whole, generate(tiny_market, out, *options, *more))
    with pytest.raises(ValueError, match="steps: got 3, but 4 are done, allowed: these or more"):
        generate(tiny_market, out, *options, "--steps", 3, "--resume")
    rates = ["--generator-lr", 0, "--discriminator-lr", 0]
    before = load_source(tmp_path / "slow" / "model.safetensors")[0]
    after = generate(tiny_market, tmp_path / "slow", *options, *more, *rates)
    assert not same(whole, after)
    for name, value in before.named_parameters():
        assert torch.equal(value, after[name])


def test_diversity_of_written_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 4, 2, 3)).astype(np.uint8)
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert written_spread(pixels, [None] * 6) == pytest.approx(spread(scaled, None))
    groups = [0, 0, 1, 1, 1, 2]
    assert written_spread(pixels, groups) == pytest.approx(spread(scaled, torch.tensor(groups)))
    assert written_spread(pixels, list(range(6))) is None and written_spread(pixels[:0], []) is None


def test_an_interruption_keeps_the_weights_of_before_a_suspected_collapse(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DCGAN, "losses", collapsing(4))
    interrupt_at(monkeypatch, 5)
    with pytest.raises(SystemExit):
        options = [*small("dcgan"), *WATCHED, "--steps", 8, "--state-every", 2, "--generator-lr", 0]
        generate(tiny_market, tmp_path, *options)
    assert load_source(tmp_path / "model.safetensors")[1].step == 2
    assert sorted(path.name[-10:-3] for path in (tmp_path / "states").iterdir()) == ["0000002", "0000005"]


def test_weights_that_are_not_finite_are_never_stored(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, count = DCGAN.losses, []

    def spoil(self, turn, batch, random):  # type: ignore[no-untyped-def]
        loss, terms = losses(self, turn, batch, random)
        count.append(turn)
        if len(count) == 8:  # the generator's fourth turn: its loss is finite, but not its gradient
            loss = loss + (self.source.project.weight * 0).abs().sqrt().sum()
        return loss, terms

    monkeypatch.setattr(DCGAN, "losses", spoil)
    with pytest.raises(FloatingPointError, match=r"step 4: the weights 'source\..* no longer finite; .* of step 2"):
        generate(tiny_market, tmp_path, *small("dcgan"), "--steps", 8, "--state-every", 2)
    assert load_source(tmp_path / "model.safetensors")[1].step == 2
    assert [path.name[-10:-3] for path in (tmp_path / "states").iterdir()] == ["0000002"]


def test_the_average_of_normalised_weights_is_normalised(tiny_market: Path, tmp_path: Path) -> None:
    options = [*small("dcgan"), "--steps", 12, "--spectral-norm", "both", "--ema", "--ema-decay", 0.9]
    generate(tiny_market, tmp_path, *options, "--generator-lr", 0.02, "--num-images", 0)
    source = load_source(tmp_path / "model.safetensors")[0]
    layers = [module for module in source.modules() if isinstance(module, (nn.Linear, nn.ConvTranspose2d))]
    assert len(layers) == 5
    for layer in layers:
        weight = layer.weight if isinstance(layer, nn.Linear) else layer.weight.transpose(0, 1)
        assert float(torch.linalg.svdvals(weight.detach().flatten(1))[0]) == pytest.approx(1, abs=0.02)


def test_who_has_never_varied_is_given_time(tmp_path: Path) -> None:
    said: list[str] = []
    watch = DiversityWatch(1.0, 0.1, 5, said.append)
    assert watch.judge(1, 0.0) and watch.judge(4, 0.0) and not said
    assert not watch.judge(5, 0.0) and len(said) == 1
    assert watch.judge(6, 0.2) and not watch.judge(7, 0.05)  # a healthy one in between
    with pytest.raises(CollapseError):
        watch.judge(8, 0.05)


def test_spread_is_that_within_groups() -> None:
    images, groups = torch.randn(7, 3, 4, 2), torch.tensor([0, 0, 0, 1, 1, 2, 1])
    parts = []
    for group in (0, 1):
        own = [images[i] for i in range(7) if groups[i] == group]
        mean = sum(own) / len(own)
        parts.append(float((sum((image - mean) ** 2 for image in own) / len(own)).sqrt().mean()))
    assert spread(images, groups) == pytest.approx(sum(parts) / 2, rel=1e-5)
    same_image = images[:1].repeat(3, 1, 1, 1)
    assert spread(same_image, None) == 0 and spread(images, torch.arange(7)) == 0
    with pytest.raises(ValueError, match="same image only"):
        training_spread((same_image * 20).clamp(0, 255).to(torch.uint8), None)
    asked = fixed_groups(torch.tensor([0, 1, 1, 2, 2, 2, 3, 4, 4]).numpy(), 6)
    assert asked is not None and asked.tolist() == [2, 1, 4, 0, 2, 1] and fixed_groups(None, 6) is None


def test_batches_share_each_pass() -> None:
    images = torch.zeros(11, 3, 1, 1, dtype=torch.uint8)
    batches = TrainingBatches(images, torch.arange(11), 2, seed=4)
    for start in (0, 5):
        chosen = torch.cat([batches.indices(start + number) for number in range(5)])
        assert len(set(chosen.tolist())) == 10
    first = batches.indices(0)
    assert torch.equal(first, TrainingBatches(images, None, 2, seed=4).indices(0))
    shares = [TrainingBatches(images, None, 2, 4, process, 2).indices(1) for process in range(2)]
    assert torch.equal(torch.cat(shares), TrainingBatches(images, None, 4, 4).indices(1))
    batch = batches.batch(3, torch.device("cpu"))
    assert batch.images.min() == batch.images.max() == -1 and torch.equal(batch.groups, batches.indices(3))  # type: ignore[arg-type]


def test_random_numbers_depend_on_their_numbers_alone() -> None:
    draws = {float(torch.rand((), generator=generator_for(*key))) for key in ((0, 1), (1, 0), (0, 2), (0, 1, 0))}
    assert len(draws) >= 3 and torch.rand((), generator=generator_for(7)) == torch.rand((), generator=generator_for(7))
    assert image_seeds(3, 5) == image_seeds(3, 9)[:5] and len(set(image_seeds(3, 2000))) == 2000
    noise = noise_of([5, 6], (4,))
    assert torch.equal(noise_of([6], (4,))[0], noise[1]) and noise.shape == (2, 4) and len(noise_of([], (4,))) == 0


@pytest.fixture
def keyboard_interrupts() -> Iterator[None]:
    """Ctrl-C raises, also where the tests run in the background of a shell, which ignores it there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("keyboard_interrupts")
def test_a_second_signal_is_as_always() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_requests() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)
        assert asked() and signal.getsignal(signal.SIGINT) is before
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with stop_requests():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_states_of_other_trainings_are_refused(tiny_market: Path, tmp_path: Path) -> None:
    options = [*small("dcgan"), "--steps", 1, "--num-images", 0]
    generate(tiny_market, tmp_path, *options)
    with pytest.raises(ValueError, match=r"batch_size 6 \(now 4\)"):
        generate(tiny_market, tmp_path, *options, "--bs", 4, "--resume")
    copy = tmp_path / "market"
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (copy / folder).mkdir(parents=True)
        for path in (tiny_market / folder).iterdir():
            (copy / folder / path.name).symlink_to(path)
    out = tmp_path / "other"
    generate(copy, out, *options)
    next((copy / "bounding_box_train").iterdir()).unlink()
    with pytest.raises(ValueError, match="other training images"):
        generate(copy, out, *options, "--resume")


def test_half_precision_of_sixteen_bits_with_scaling_is_refused(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "mixed_precision", property(lambda self: "fp16"))
    with pytest.raises(ValueError, match="precision: got fp16"):
        generate(tiny_market, tmp_path)


def test_stored_weights_make_the_stored_images(tiny_market: Path, tmp_path: Path) -> None:
    options = [*small("vae-gan"), "--steps", 6, "--generator-lr", 0.05, "--num-images", 3, "--groups", 2]
    generate(tiny_market, tmp_path, *options)
    source, card = load_source(tmp_path / "model.safetensors")
    for image in read_manifest(tmp_path):
        noise = noise_of([image.seed], noise_shape_of(card))
        with torch.no_grad():
            made = to_pixels(source(noise, torch.tensor([image.group])))[0]
        encoded = cv2.imencode(".jpg", made[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        wanted = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].astype(int)
        assert abs(wanted - load_image(tmp_path / image.file)).mean() < 1
    assert weights(tmp_path).keys() == source.state_dict().keys()
