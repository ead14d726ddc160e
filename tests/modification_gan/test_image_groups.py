"""Groups of training images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from generation_runs import TINY, generate, small, without_pictures

from modification_gan.groups import build_groups
from modification_gan.sampling import draw_groups
from modification_gan.weights import load_source
from reid.checkpoint import Card, save_checkpoint
from reid.data import read_dataset
from reid.data.base import Split
from reid.data.images import Preprocessing
from reid.models import build_model


@pytest.fixture(scope="module")
def samples(tiny_market: Path) -> Split:
    return read_dataset("market1501", tiny_market).train


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = build_model("seres18").state_dict()
    save_checkpoint(path, state, Card("seres18", {}, 0, 512, Preprocessing(32, 16)))
    return path


def test_identities_and_cameras_are_groups(samples: Split) -> None:
    by_person = build_groups(samples, "identities", 0, None, 0)
    assert by_person.count == 8 and by_person.labels[0] == {1: 1.0} and by_person.of_image is not None
    assert by_person.of_image.tolist() == [sample.pid - 1 for sample in samples]
    by_camera = build_groups(samples, "cameras", 0, None, 0)
    assert by_camera.count == 3 and by_camera.labels[1] == pytest.approx({pid: 1 / 8 for pid in range(1, 9)})
    none = build_groups(samples, "none", 0, None, 0)
    assert none.count == 0 and none.of_image is None and none.shares == ()


@pytest.mark.parametrize("kind", ["colours", "embeddings"])
def test_k_means_is_seeded_and_counts_its_people(kind: str, samples: Split, network: Path) -> None:
    ckpt = network if kind == "embeddings" else None
    groups = build_groups(samples, kind, 4, ckpt, 3)  # type: ignore[arg-type]
    again = build_groups(samples, kind, 4, ckpt, 3)  # type: ignore[arg-type]
    assert groups.of_image is not None and again.of_image is not None and groups.count == 4
    assert np.array_equal(groups.of_image, again.of_image) and sum(groups.shares) == pytest.approx(1)
    for group in range(4):
        own = [sample.pid for sample, number in zip(samples, groups.of_image) if number == group]
        assert groups.labels[group] == pytest.approx({pid: own.count(pid) / len(own) for pid in set(own)})
        assert groups.shares[group] == pytest.approx(len(own) / len(samples))
    if kind == "colours":  # people have two colours each here: none is in two groups
        assert all(weight > 0 for labels in groups.labels for weight in labels.values())
        assert sum(len(labels) for labels in groups.labels) == 8


def test_more_groups_than_images_are_refused(samples: Split) -> None:
    with pytest.raises(ValueError, match="groups: got 9, allowed: 2 to 5"):
        build_groups(samples[:5], "colours", 9, None, 0)
    with pytest.raises(ValueError, match="groups: got 2, but all 4 training images look the same; allowed: no groups"):
        build_groups([samples[0]] * 4, "colours", 2, None, 0)


def test_networks_that_have_learnt_from_test_images_make_no_groups(samples: Split, tmp_path: Path) -> None:
    card = Card("timm:test_resnet", {}, 0, 64, Preprocessing(32, 16), scores=[{"protocol": "transductive"}])
    save_checkpoint(tmp_path / "seen.safetensors", build_model("timm:test_resnet").state_dict(), card)
    with pytest.raises(ValueError, match=r"ckpt: .*has learnt from test images"):
        build_groups(samples, "embeddings", 4, tmp_path / "seen.safetensors", 0)


def test_a_networks_groups_reach_the_images(
    tiny_market: Path, network: Path, samples: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pictures(monkeypatch)
    assert TINY
    options = [*small("dcgan"), "--steps", 1, "--num-images", 0, "--groups", 4, "--ckpt", network]
    generate(tiny_market, tmp_path, *options)
    card = load_source(tmp_path / "model.safetensors")[1]
    wanted = build_groups(samples, "embeddings", 4, network, 0)
    assert card.condition == "embeddings" and card.labels == wanted.labels and card.shares == wanted.shares
    assert card.config["ckpt"] == network.name


def test_groups_are_drawn_as_often_as_the_images_have_them() -> None:
    drawn = draw_groups((0.7, 0.2, 0.1), 5000, 1)
    assert [drawn.count(group) / 5000 for group in range(3)] == pytest.approx([0.7, 0.2, 0.1], abs=0.02)
    assert draw_groups((0.7, 0.2, 0.1), 50, 1) == drawn[:50] and draw_groups((), 2, 1) == [None, None]
