"""Trainings with generated images, as a user starts them."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from training_runs import equal, options, train

from reid import image_reid_train
from reid.checkpoint import Card, save_checkpoint
from reid.data.generated import GeneratedImage, training_fingerprint, write_manifest
from reid.data.images import Preprocessing
from reid.data.loader import ImageDataset
from reid.data.market1501 import read_market1501
from reid.distillation import Distillation
from reid.embedder import Embedder
from reid.losses import CombinedLoss
from reid.models import build_model
from reid.synthetic_images import read_generated
from reid.synthetic_labels import pseudo_targets
from reid.synthetic_options import SyntheticOptions
from reid.synthetic_training import GeneratedPart, build_generated
from reid.torch_backend import load_model
from reid.training_state import StateFolder

LIGHT = ("--backbone", "timm:test_resnet", "--center-weight", 0, "--warmup-epochs", 0)
PIDS = list(range(1, 9))


def write_generated(folder: Path, labels: Callable[[int], dict[int, float] | None], count: int = 12) -> Path:
    random = np.random.default_rng(1)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        name = f"images/{number:06d}.jpg"
        colours = random.integers(30, 226, (2, 3))
        image = np.repeat(colours, 32, axis=0)[:, None].repeat(32, axis=1) + random.normal(0, 12, (64, 32, 3))
        cv2.imwrite(str(folder / name), image.clip(0, 255).astype(np.uint8))
        given = labels(number)
        rows.append(GeneratedImage(name, "dcgan", None if given is None else number % 4, given, number))
    write_manifest(folder, rows)
    return folder


@pytest.fixture(scope="module")
def uniform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generated(tmp_path_factory.mktemp("generated") / "uniform", lambda number: None)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "grouped"
    return write_generated(folder, lambda number: {PIDS[2 * (number % 4)]: 0.5, PIDS[2 * (number % 4) + 1]: 0.5})


def test_ratio_zero_trains_as_without(tiny_market: Path, uniform: Path, tmp_path: Path) -> None:
    plain, rows = train(tiny_market, tmp_path / "plain", *LIGHT)
    off, off_rows = train(tiny_market, tmp_path / "off", *LIGHT, "--synthetic", uniform, "--synthetic-ratio", 0)
    assert equal(plain, off) and rows[0]["loss"] == off_rows[0]["loss"] and "loss/generated" not in off_rows[0]
    told = ("--synthetic", uniform, "--epochs", 2, "--synthetic-start", 1, "--lr", 1e-9)
    late, late_rows = train(tiny_market, tmp_path / "on", *LIGHT, *told)
    assert "loss/generated" not in late_rows[0] and not equal(plain, late)
    # An untrained classifier of 8 identities is nearly uniform.
    assert late_rows[1]["loss/generated"] == pytest.approx(math.log(8), rel=0.2)


def test_batch_statistics_may_stay_those_of_real_images(tiny_market: Path, uniform: Path, tmp_path: Path) -> None:
    told = (*LIGHT, "--synthetic", uniform, "--lr", 1e-9, "--flip", 0, "--erasing", 0, "--pad-crop", 0)
    real, _ = train(tiny_market, tmp_path / "real", *told, "--synthetic-ratio", 0)
    apart, _ = train(tiny_market, tmp_path / "apart", *told, "--synthetic-statistics", "apart")
    joint, _ = train(tiny_market, tmp_path / "joint", *told)
    names = [name for name in real if name.endswith("running_mean")]
    assert names and all(torch.allclose(real[name], apart[name], atol=1e-5) for name in names)
    assert not all(torch.allclose(real[name], joint[name], atol=1e-5) for name in names)


def part_of(root: Path, folder: Path, **told: Any) -> GeneratedPart:
    data = read_market1501(root)
    images = read_generated(folder, data.train, [], lambda line: None)
    loss = CombinedLoss({"cross_entropy": 1.0, "triplet": 1.0}, num_classes=8, feature_size=512)
    given = {"cross_entropy_weight": 0.5, "temperature": 2.0, "device": torch.device("cpu")}
    return build_generated(images, SyntheticOptions(folder, **told), loss, data.train, **given)  # type: ignore[arg-type]


def test_labels_and_weights_follow_the_options(
    tiny_market: Path, uniform: Path, grouped: Path, checkpoint: Path
) -> None:
    lsro = part_of(tiny_market, uniform, synthetic_ratio=0.25, synthetic_weight=0.5)
    assert torch.equal(lsro.loss.targets, torch.full((1, 8), 1 / 8)) and lsro.loss.weight == 0.25
    assert lsro.loss.cross_entropy.temperature == 2 and lsro.per_batch(16) == 4 and lsro.per_batch(64) == 16
    group = part_of(tiny_market, grouped, synthetic_labels="group")
    assert group.loss.targets.shape == (12, 8) and group.loss.targets[1].tolist() == [0, 0, 0.5, 0.5, 0, 0, 0, 0]
    told = {"synthetic_labels": "pseudo", "synthetic_ckpt": checkpoint}
    soft = part_of(tiny_market, uniform, **told).loss.targets
    warm = part_of(tiny_market, uniform, **told, synthetic_temperature=0.5).loss.targets
    nearest = part_of(tiny_market, uniform, **told, synthetic_pseudo="nearest").loss.targets
    assert (warm.max(dim=1).values < soft.max(dim=1).values).all() and set(nearest.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(soft.argmax(dim=1), nearest.argmax(dim=1))


def test_the_network_labels_the_images_at_the_start_of_an_epoch(
    tiny_market: Path, uniform: Path, checkpoint: Path
) -> None:
    told = {"synthetic_labels": "pseudo", "synthetic_start": 1}
    part = part_of(tiny_market, uniform, **told)
    train_split, size = read_market1501(tiny_market).train, Preprocessing(32, 16)
    labels = {pid: number for number, pid in enumerate(PIDS)} | part.images.labels()
    dataset = ImageDataset([*train_split, *part.images.samples], labels, size, cache=True, threads=1)
    before = part.loss.targets.clone()
    label = part.before_epoch(dataset, len(train_split), size, Accelerator(cpu=True))
    assert label is not None
    model = load_model(checkpoint, with_classifier=False)[0].train()
    label(1, model)
    assert torch.equal(part.loss.targets, before) and "targets" in part.loss.state_dict()
    label(2, model)
    pixels = dataset.__getitems__(list(range(len(dataset))))["images"].numpy().transpose(0, 2, 3, 1)
    rows = Embedder.from_model(load_model(checkpoint, with_classifier=False)[0], size)(list(pixels))
    real = len(train_split)
    expected = pseudo_targets(rows[real:], rows[:real], dataset.pids[:real].tolist(), 0.05)
    torch.testing.assert_close(part.loss.targets, expected, atol=1e-4, rtol=0)
    stored = part_of(tiny_market, uniform, synthetic_labels="pseudo", synthetic_ckpt=checkpoint)
    assert model.training and "targets" not in stored.loss.state_dict()
    assert stored.before_epoch(dataset, len(train_split), size, Accelerator(cpu=True)) is None


def test_generated_images_are_never_tested(
    tiny_market: Path, grouped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = image_reid_train.embed_samples

    def watched(embed: Any, samples: Any, label: str, quiet: bool = False) -> np.ndarray:
        seen.extend(sample.path for sample in samples)
        return real(embed, samples, label, quiet)

    monkeypatch.setattr(image_reid_train, "embed_samples", watched)
    train(tiny_market, tmp_path / "run", *LIGHT, "--synthetic", grouped, "--synthetic-labels", "pseudo")
    data = read_market1501(tiny_market)
    assert sorted(seen) == sorted(sample.path for sample in (*data.query, *data.gallery))
    records = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [record["protocol"] for record in records] == ["inductive"]


def test_labels_of_other_people_are_refused_before_anything_is_removed(tiny_market: Path, tmp_path: Path) -> None:
    others = write_generated(tmp_path / "others", lambda number: {99: 1.0})
    (tmp_path / "run").mkdir()
    earlier = tmp_path / "run" / "best.safetensors"
    earlier.touch()
    with pytest.raises(ValueError, match="got identity 99"):
        train(tiny_market, tmp_path / "run", *LIGHT, "--synthetic", others, "--synthetic-labels", "group")
    assert earlier.is_file()


def test_a_teacher_sees_real_images_alone(
    tiny_market: Path, uniform: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    forward = Distillation.forward

    def watched(self: Distillation, images: torch.Tensor, embeddings: torch.Tensor) -> Any:
        seen.append((len(images), len(embeddings)))
        return forward(self, images, embeddings)

    monkeypatch.setattr(Distillation, "forward", watched)
    _, rows = train(tiny_market, tmp_path / "run", *LIGHT, "--synthetic", uniform, "--teacher", checkpoint)
    assert set(seen) == {(16, 16)} and {"loss/generated", "loss/teacher_embedding"} <= rows[0].keys()


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_labels(
    tiny_market: Path, uniform: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (*LIGHT, "--synthetic", uniform, "--synthetic-labels", "pseudo", "--epochs", 2, "--state-steps", 2)
    whole, _ = train(tiny_market, tmp_path / "whole", *told)
    save, count = StateFolder.save, 0

    def save_and_fail(self: StateFolder, *given: Any) -> None:
        nonlocal count
        save(self, *given)
        count += 1
        if count == 2:  # in the middle of an epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(StateFolder, "save", save_and_fail)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_market, tmp_path / "part", *told)
    monkeypatch.setattr(StateFolder, "save", save)
    assert equal(whole, train(tiny_market, tmp_path / "part", *told, "--resume")[0])


@pytest.mark.slow
def test_continual_training_goes_on_without_them(tiny_market: Path, uniform: Path, tmp_path: Path) -> None:
    told = ("--synthetic", uniform, "--continual", "--continual-epochs", 1, "--eps", 0.9, "--min-samples", 2)
    _, rows = train(tiny_market, tmp_path / "run", *LIGHT, *told)
    assert "loss/generated" in rows[0] and "loss/generated" not in rows[1]


def test_folders_are_checked(tiny_market: Path, uniform: Path, grouped: Path, tmp_path: Path) -> None:
    data = read_market1501(tiny_market)
    said: list[str] = []
    folder = write_generated(tmp_path / "some", lambda number: {1: 0.5, 99: 0.5} if number else None)
    (folder / "images" / "000003.jpg").write_bytes(b"no image")
    found = read_generated(folder, data.train, [data.query, data.gallery], said.append)
    assert len(found.samples) == 11 and found.images[3].file == "images/000004.jpg" and "000003.jpg" in said[1]
    assert [sample.pid for sample in found.samples] == [-1 - number for number in range(11)]
    labels = {pid: number for number, pid in enumerate(PIDS)}
    with pytest.raises(ValueError, match=r"manifest.csv, line 2: got the labels 'uniform'"):
        found.group_targets(labels)
    unknown = read_generated(folder, data.train, [], said.append)
    with pytest.raises(ValueError, match=r"manifest.csv, line 3: got identity 99"):
        type(unknown)(folder, unknown.images[1:], unknown.samples[1:]).group_targets(labels)
    good = read_generated(grouped, data.train, [], said.append)
    assert good.group_targets(labels)[0].tolist() == [0.5, 0.5] + [0.0] * 6
    with pytest.raises(FileNotFoundError, match=r"manifest\.csv"):
        read_generated(tmp_path / "absent", data.train, [])
    with pytest.raises(ValueError, match="training images too"):
        read_generated(uniform, list(read_generated(uniform, [], [], said.append).samples), [])
    for path in (folder / "images").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="none of the 12 generated images can be read"):
        read_generated(folder, data.train, [])
    for card, message in (('{"split": "query"}', "split 'query'"), ("no JSON", "no card of generated images")):
        (folder / "card.json").write_text(card)
        with pytest.raises(ValueError, match=message):
            read_generated(folder, data.train, [])


def test_images_of_another_dataset_are_noticed(tiny_market: Path, tmp_path: Path) -> None:
    real, said = read_market1501(tiny_market).train, list[str]()
    labels = {pid: number for number, pid in enumerate(PIDS)}
    folder = write_generated(tmp_path / "images", lambda number: {1: 1.0})
    own, other = ({"data": "B", "training_sha256": training_fingerprint(part)} for part in (real, real[1:]))
    merged = [*real, *(dataclasses.replace(sample, source="another dataset") for sample in real[:3])]
    for card, train_on, fits in (({}, real, True), (own, real, True), (own, merged, True), (other, real, False)):
        (folder / "card.json").write_text(json.dumps(card))
        said.clear()
        images = read_generated(folder, train_on, [], said.append)
        assert not any("hardly differ" in line for line in said)
        assert any(line.startswith("WARNING") for line in said) != fits
        if fits:
            assert len(images.group_targets(labels)) == len(images.images)
            continue
        with pytest.raises(ValueError, match=r"card\.json: .* learnt from other training images \(B\) than these"):
            images.group_targets(labels)
    (folder / "card.json").write_text(json.dumps({"low_diversity": True}))
    read_generated(folder, real, [], said.append)
    assert said[-1].startswith("WARNING") and "the images hardly differ" in said[-1]


def test_networks_that_cannot_label_are_refused(tiny_market: Path, uniform: Path, tmp_path: Path) -> None:
    vectors = build_model("timm:test_resnet", num_cameras=3, cam_factor=1.0)
    card = Card("timm:test_resnet", {"num_cameras": 3, "cam_factor": 1.0}, 0, 64, Preprocessing(32, 16))
    save_checkpoint(tmp_path / "cameras.safetensors", vectors.state_dict(), card)
    with pytest.raises(ValueError, match="has camera vectors"):
        part_of(tiny_market, uniform, synthetic_labels="pseudo", synthetic_ckpt=tmp_path / "cameras.safetensors")
    seen = dataclasses.replace(card, options={}, scores=[{"protocol": "transductive"}])
    save_checkpoint(tmp_path / "seen.safetensors", build_model("timm:test_resnet").state_dict(), seen)
    with pytest.raises(ValueError, match="has learnt from test images"):
        part_of(tiny_market, uniform, synthetic_labels="pseudo", synthetic_ckpt=tmp_path / "seen.safetensors")
    with pytest.raises(ValueError, match="makes no generated image"):
        part_of(tiny_market, uniform, synthetic_ratio=0.01).per_batch(16)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"synthetic_ratio": 1.0}, "without --synthetic"),
        ({"synthetic_ckpt": Path("a.onnx")}, "without --synthetic"),
        ({"synthetic": Path("a"), "synthetic_labels": "nearest"}, "lsro, pseudo, group"),
        ({"synthetic": Path("a"), "synthetic_ckpt": Path("a.onnx")}, "not pseudo"),
        ({"synthetic": Path("a"), "synthetic_labels": "group", "synthetic_pseudo": "soft"}, "not pseudo"),
        ({"synthetic": Path("a"), "synthetic_ratio": -1.0}, "0 .off. or more"),
        ({"synthetic": Path("a"), "synthetic_weight": 0.0}, "above 0"),
        ({"synthetic": Path("a"), "synthetic_start": -1}, "0 or more"),
        ({"synthetic": Path("a"), "synthetic_statistics": "own"}, "joint, apart"),
        ({"synthetic": Path("a"), "synthetic_labels": "pseudo", "synthetic_temperature": 0.0}, "above 0"),
        (
            {"synthetic": Path("a"), "synthetic_labels": "pseudo", "synthetic_pseudo": "nearest"}
            | {"synthetic_temperature": 0.1},
            "nearest, which has none",
        ),
    ],
)
def test_options_without_effect_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticOptions(**given)


def test_trainings_that_they_do_not_fit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fits = {"epochs": 2, "cross_entropy": 1.0, "datasets": 1, "cameras": False, "renorm": False, "pk_layers": False}
    told = SyntheticOptions(tmp_path, synthetic_labels="group", synthetic_start=1, synthetic_statistics="apart")
    told.check_training(**fits)
    for name, value, message in (
        ("cross_entropy", 0.0, "cross_entropy_weight 0"),
        ("epochs", 1, "below the 1 epochs"),
        ("datasets", 2, "several datasets"),
        ("cameras", True, "no camera"),
        ("renorm", True, "apart with --renorm"),
        ("pk_layers", True, "--renorm-pk"),
    ):
        with pytest.raises(ValueError, match=message):
            told.check_training(**fits | {name: value})
        SyntheticOptions(tmp_path, synthetic_ratio=0.0).check_training(**fits | {name: value})
    for given in (("--cross-entropy-weight", 0), ("--synthetic-start", 1), ("--sie",), ("--renorm", "--renorm-pk")):
        with pytest.raises(SystemExit):
            options(tmp_path, tmp_path, "--synthetic", tmp_path, *given)
        assert "synthetic" in capsys.readouterr().err
