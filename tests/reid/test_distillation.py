"""A teacher's embeddings as a loss."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from training_runs import equal, options, train

from reid.checkpoint import Card, save_checkpoint
from reid.data.images import Preprocessing
from reid.distillation import DistillationOptions, Teacher
from reid.losses.distillation import DistillationLoss, angle_gap, cosine_gap, distance_gap
from reid.models import build_model
from reid.models.reparameterise import BranchedConv
from reid.reid_model import ReIDModel
from reid.torch_backend import load_model
from reid.training_state import StateFolder

LIGHT = ("--backbone", "timm:test_resnet", "--center-weight", 0)


def unit(x: torch.Tensor) -> list[np.ndarray]:
    return [row / np.linalg.norm(row) for row in x.double().numpy()]


def huber(x: float) -> float:
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, generator=generator), torch.randn(6, 7, generator=generator)


def test_cosines_follow_their_formula() -> None:
    student, teacher = torch.randn(2, 4, 5)
    expected = sum(1 - a @ b for a, b in zip(unit(student), unit(teacher), strict=True)) / 4
    assert cosine_gap(student, teacher).item() == pytest.approx(expected, abs=1e-6)
    assert cosine_gap(student, 3 * student).item() == pytest.approx(0, abs=1e-6)


def test_distances_follow_their_formula() -> None:
    def relative(rows: list[np.ndarray]) -> list[float]:
        found = [float(np.linalg.norm(rows[i] - rows[j])) for i in range(6) for j in range(i)]
        return [value / (sum(found) / len(found)) for value in found]

    student, teacher = pair()
    first, second = relative(unit(student)), relative(unit(teacher))
    expected = sum(huber(a - b) for a, b in zip(first, second, strict=True)) / 15
    assert distance_gap(student, teacher).item() == pytest.approx(expected, abs=1e-6)
    assert distance_gap(student, 2 * student).item() == pytest.approx(0, abs=1e-6)


def test_angles_follow_their_formula() -> None:
    def cosine(rows: list[np.ndarray], i: int, j: int, k: int) -> float:
        one, other = rows[i] - rows[j], rows[k] - rows[j]
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    student, teacher = pair()
    first, second = unit(student), unit(teacher)
    triples = [(i, j, k) for i in range(6) for j in range(6) for k in range(6) if len({i, j, k}) == 3]
    expected = sum(huber(cosine(first, *t) - cosine(second, *t)) for t in triples) / len(triples)
    assert angle_gap(student, teacher).item() == pytest.approx(expected, abs=1e-5)
    assert angle_gap(student, 2 * student).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("gap", [distance_gap, angle_gap])
def test_small_and_equal_batches_give_finite_gradients(gap: Any, count: int) -> None:
    student = torch.ones(count, 4, requires_grad=True)
    value = gap(student, torch.randn(count, 3))
    value.backward()
    assert math.isfinite(value.item()) and student.grad is not None and bool(torch.isfinite(student.grad).all())


def test_terms_are_weighted_and_sizes_may_differ() -> None:
    student, teacher = (x.requires_grad_() for x in pair())
    loss = DistillationLoss({"embedding": 2.0, "relation": 3.0, "angle": 0.5}, 5, 7, torch.Generator().manual_seed(0))
    total, terms = loss(student, teacher)
    assert loss.projection is not None
    expected = {
        "teacher_embedding": cosine_gap(loss.projection(student), teacher),
        "teacher_relation": distance_gap(student, teacher),
        "teacher_angle": angle_gap(student, teacher),
    }
    assert terms.keys() == expected.keys()
    assert all(terms[name].item() == pytest.approx(value.item()) for name, value in expected.items())
    summed = sum(w * value.item() for w, value in zip((2.0, 3.0, 0.5), expected.values(), strict=True))
    assert total.item() == pytest.approx(summed)
    total.backward()
    assert student.grad is not None and loss.projection.weight.grad is not None and teacher.grad is None
    # Where nothing has to be projected, nothing is learnt.
    assert not list(DistillationLoss({"embedding": 1.0}, 5, 5).parameters())
    assert not list(DistillationLoss({"relation": 1.0}, 5, 7).parameters())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"logits": 1.0}, "distillation term: got 'logits', allowed: embedding, relation, angle"),
        ({"angle": -1.0}, "weight of angle: got -1.0, allowed: 0 or more"),
        ({"angle": 0.0}, "every term is 0"),
    ],
)
def test_wrong_weights_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistillationLoss(weights, 5, 7)


def saved(path: Path, name: str = "osnet_x0_25", size: Preprocessing | None = None, **told: Any) -> Path:
    """Writes an untrained checkpoint."""
    torch.manual_seed(1)
    options, scores = told.get("options", {}), told.get("scores", [])
    model = build_model(name, 3, **options)
    card = Card(name, options, 3, int(model.embedding_size), size or Preprocessing(32, 16), scores=scores)  # type: ignore[arg-type]
    save_checkpoint(path, model.state_dict(), card)
    return path


def test_the_teacher_sees_the_same_images_in_its_own_way(tmp_path: Path) -> None:
    own = Preprocessing(48, 24, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    path = saved(tmp_path / "teacher.safetensors", "reidlite", own)
    model, card = load_model(path, with_classifier=False)
    student = Preprocessing(32, 16)
    teacher = Teacher(model.train(), card, student, Accelerator(cpu=True), "it")
    assert not any(isinstance(module, BranchedConv) for module in teacher.model.modules())
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 16, 3), dtype=np.uint8)
    seen = teacher(torch.from_numpy(student.normalise(crops.transpose(0, 3, 1, 2))).requires_grad_())
    resized = np.stack([cv2.resize(crop.astype(np.float32) / 255, (24, 48)) for crop in crops]).transpose(0, 3, 1, 2)
    statistics = (np.float32(values).reshape(3, 1, 1) for values in (own.mean, own.std))
    mean, std = statistics
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy((resized - mean) / std)).embeddings
    assert not seen.requires_grad and seen.dtype == torch.float32
    assert torch.allclose(F.normalize(seen), F.normalize(expected), atol=1e-4)


TRANSDUCTIVE = [{"protocol": "transductive", "scores": {"mAP": 0.5}}]


@pytest.mark.parametrize(
    ("told", "precision", "message"),
    [
        ({"options": {"num_cameras": 2, "cam_factor": 1.0}}, "no", "has camera vectors"),
        ({"scores": TRANSDUCTIVE}, "no", "has learnt from test images"),
        ({}, "bf16", "got bf16 on the CPU with images 16 pixels wide"),
    ],
    ids=["cameras", "transductive", "bf16"],
)
def test_teachers_that_cannot_teach_are_refused(
    tmp_path: Path, told: dict[str, Any], precision: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "teacher.safetensors", **told)
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(type(accelerator), "mixed_precision", precision)
    with pytest.raises(ValueError, match=message):
        DistillationOptions(path).build(8, Preprocessing(64, 64), accelerator, 0)


def test_options_without_effect_are_refused(tiny_market: Path, tmp_path: Path) -> None:
    for name in ("embedding", "relation", "angle"):
        with pytest.raises(ValueError, match=f"teacher_{name}_weight: got 1.0 without --teacher, which it needs"):
            DistillationOptions(**{f"teacher_{name}_weight": 1.0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="teacher_angle_weight: got -1, allowed: 0 or more"):
        DistillationOptions(Path("x.safetensors"), teacher_angle_weight=-1)
    with pytest.raises(ValueError, match="every weight of it is 0"):
        DistillationOptions(Path("x.safetensors"), 0, 0)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        train(tiny_market, tmp_path, *LIGHT, "--teacher", "nowhere.safetensors")


def test_every_option_changes_the_weights(tiny_market: Path, tmp_path: Path) -> None:
    taught = (*LIGHT, "--teacher", saved(tmp_path / "teacher.safetensors"))
    runs = [train(tiny_market, tmp_path / "run", *LIGHT)[0]]
    for change in (
        (),
        ("--teacher-embedding-weight", 0),
        ("--teacher-relation-weight", 20),
        ("--teacher_angle_weight", 1),
    ):
        weights, rows = train(tiny_market, tmp_path / "run", *taught, *change)
        assert not any(equal(weights, other) for other in runs)
        assert not any("teacher" in name or "distillation" in name for name in weights)
        runs.append(weights)
    assert {name for name in rows[0] if "teacher" in name} == {
        "loss/teacher_embedding",
        "loss/teacher_relation",
        "loss/teacher_angle",
    }
    other = saved(tmp_path / "other.safetensors", "seres18")
    assert not equal(runs[1], train(tiny_market, tmp_path / "run", *LIGHT, "--teacher", other)[0])


def test_a_taught_training_goes_on_bit_for_bit(tiny_market: Path, tmp_path: Path) -> None:
    # The embeddings differ in size: the layer between them and what Adam knows of it are in the state.
    teacher = saved(tmp_path / "teacher.safetensors")
    command = (*LIGHT, "--teacher", teacher, "--epochs", 3, "--state-every", 1)
    whole, rows = train(tiny_market, tmp_path / "whole", *command)
    train(tiny_market, tmp_path / "cut", *command)
    newest = StateFolder(tmp_path / "cut" / "states" / "source").paths()[-1]
    newest.unlink()
    again, more = train(tiny_market, tmp_path / "cut", *command, "--resume")
    assert equal(whole, again) and newest.exists()
    assert [row["loss"] for row in rows] == [row["loss"] for row in more]
    assert torch.load(newest, weights_only=True)["distillation"].keys() == {"loss.projection.weight"}
    assert options(tiny_market, tmp_path, *command).distillation.teacher == teacher


def test_fit_takes_a_teacher_and_comes_nearer_to_it(tiny_market: Path, tmp_path: Path) -> None:
    teacher = DistillationOptions(saved(tmp_path / "teacher.safetensors"), 10.0, 10.0)
    model = ReIDModel("timm:test_resnet", preprocessing=Preprocessing(32, 16), device="cpu")
    model.fit(tiny_market, epochs=8, batch_size=16, learning_rate=3e-3, teacher=teacher)
    first, last = model.history[0], model.history[-1]
    for term in ("loss/teacher_embedding", "loss/teacher_relation"):
        assert last[term] < 0.95 * first[term], term
    assert model.config["teacher"] == str(teacher.teacher) and model.config["teacher_relation_weight"] == 10.0
