"""The inference entry point: options, records, pictures."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.compare import CompareConfig
from reid.compare import main as compare
from reid.data.images import Preprocessing
from reid.export import export_onnx
from reid.image_reid_inference import InferenceConfig, main
from reid.models import build_model
from reid.records import file_sha256


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inference") / "model.safetensors"
    save_checkpoint(path, build_model("seres18").state_dict(), Card("seres18", {}, 0, 512, Preprocessing(64, 32)))
    return path


@pytest.fixture(scope="module")
def noisy_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where colours tell little: 10 identities under strong noise."""
    root = tmp_path_factory.mktemp("noisy-market")
    random = np.random.default_rng(0)
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (root / name).mkdir()
        for pid in range(1, 11):
            colour = np.random.default_rng(pid).uniform(100, 156, 3)
            for camera in (1, 2, 3):
                blocks = colour + random.normal(0, 60, (8, 4, 3))
                image = cv2.resize(blocks.clip(0, 255).astype(np.uint8), (32, 64))
                cv2.imwrite(str(root / name / f"{pid:04d}_c{camera}s1_000000_00.png"), image)
    return root


def score(root: Path, out: Path, **options: Any) -> list[dict[str, Any]]:
    main(InferenceConfig(root=root, out=out, **({"device": "cpu", "pictures": False} | options)))
    return json.loads((out / "result.json").read_text())


def test_records_carry_protocol_and_checkpoint(tiny_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    records = score(tiny_market, tmp_path, ckpt=checkpoint)
    assert [(r["distance"], r["protocol"]) for r in records] == [
        ("Euclidean", "inductive"),
        ("Jaccard", "transductive"),
    ]
    for record in records:
        assert record["checkpoint_sha256"] == file_sha256(checkpoint)
        assert {"dataset", "split", "commit", "seed", "command", "hardware", "date"} <= record.keys()
        assert 0 <= record["scores"]["mAP"] <= 1 and record["scores"]["num_valid"] == 18
        assert record["cmc"][0] == record["scores"]["Rank-1"]


def test_scores_of_a_network_that_learnt_from_test_images_are_transductive(
    tiny_market: Path, tmp_path: Path, checkpoint: Path
) -> None:
    state, card = load_checkpoint(checkpoint)
    adapted = tmp_path / "adapted.safetensors"
    told = dataclasses.replace(card, scores=[{"protocol": "transductive", "distance": "Euclidean"}])
    save_checkpoint(adapted, state, told)
    export_onnx(adapted, tmp_path / "adapted.onnx")
    for path in (adapted, tmp_path / "adapted.onnx"):
        assert {record["protocol"] for record in score(tiny_market, tmp_path, ckpt=path)} == {"transductive"}
    with pytest.raises(ValueError, match="no rival"):
        compare(CompareConfig(first=checkpoint, second=adapted, root=tiny_market))


def test_onnx_scores_as_its_checkpoint_does(tiny_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    export_onnx(checkpoint, tmp_path / "model.onnx")
    ours, theirs = (
        score(tiny_market, tmp_path / source.suffix[1:], ckpt=source)[0]["scores"]
        for source in (checkpoint, tmp_path / "model.onnx")
    )
    assert ours == pytest.approx(theirs, abs=0.02)


def test_colours_tell_these_people_apart(tiny_market: Path, tmp_path: Path) -> None:
    records = score(tiny_market, tmp_path, baseline="colour-histogram", device="auto")
    assert records[0]["scores"]["mAP"] > 0.9 and records[0]["checkpoint_sha256"] is None


def test_rerank_options_act(noisy_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    assert len(score(noisy_market, tmp_path, ckpt=checkpoint, rerank=False)) == 1
    original = score(noisy_market, tmp_path, ckpt=checkpoint)
    only_original = score(noisy_market, tmp_path, ckpt=checkpoint, lambda_value=1.0)
    assert only_original[1]["scores"]["Rank-1"] == only_original[0]["scores"]["Rank-1"]
    for options in ({"k1": 3}, {"k2": 1}, {"lambda_value": 1.0}):
        changed = score(noisy_market, tmp_path, ckpt=checkpoint, **options)
        assert changed[0]["scores"] == original[0]["scores"] and changed[1]["scores"] != original[1]["scores"]


def test_pictures_are_drawn_when_asked_for(tiny_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    pictures = {"cmc.png", "ranked_lists_euclidean.jpg", "ranked_lists_jaccard.jpg"}
    score(tiny_market, tmp_path / "with", ckpt=checkpoint, pictures=True, top=3, seed=1)
    assert {path.name for path in (tmp_path / "with").iterdir()} == pictures | {"result.json"}
    score(tiny_market, tmp_path / "without", ckpt=checkpoint)
    assert [path.name for path in (tmp_path / "without").iterdir()] == ["result.json"]
    few = (tmp_path / "with" / "ranked_lists_euclidean.jpg").stat().st_size
    score(tiny_market, tmp_path / "with", ckpt=checkpoint, pictures=True, top=8, seed=1)
    assert (tmp_path / "with" / "ranked_lists_euclidean.jpg").stat().st_size > few


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either --ckpt FILE or --baseline"),
        ({"ckpt": Path("a.onnx"), "baseline": "colour-histogram"}, "either --ckpt FILE or --baseline"),
        ({"ckpt": Path("a.onnx"), "height": 64}, "--height and --width together"),
        ({"ckpt": Path("a.onnx"), "k1": 0}, "no such model file"),
        ({"baseline": "colour-histogram", "precision": "bf16"}, "precision: a baseline has no network"),
        ({"baseline": "colour-histogram", "height": 64, "width": 32}, "height, width: a baseline"),
    ],
)
def test_contradictions_are_refused(tiny_market: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main(InferenceConfig(root=tiny_market, out=tmp_path, **options))


def test_files_with_other_names_are_reported(
    tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    shutil.copy(next((tiny_market / "query").iterdir()), tmp_path / "market" / "query" / "person_1.jpg")
    score(tmp_path / "market", tmp_path / "out", baseline="colour-histogram", device="auto", rerank=False)
    assert "note: 1 images with other names are left out, e.g. query/person_1.jpg" in capsys.readouterr().out


def test_input_size_and_precision_act(noisy_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    plain = score(noisy_market, tmp_path, ckpt=checkpoint)[0]["scores"]["mAP"]
    assert score(noisy_market, tmp_path, ckpt=checkpoint, height=48, width=24)[0]["scores"]["mAP"] != plain
    half = score(noisy_market, tmp_path, ckpt=checkpoint, precision="bf16")[0]["scores"]["mAP"]
    assert half != plain and np.isclose(half, plain, atol=0.1)


def test_the_list_of_options_is_known() -> None:
    # A new option needs a test of its own above.
    assert {field.name for field in dataclasses.fields(InferenceConfig)} == {
        *("root", "ckpt", "baseline", "out", "device", "precision", "batch_size", "height", "width"),
        *("rerank", "k1", "k2", "lambda_value", "pictures", "top", "seed", "dataset"),
    }
