"""The inference entry point: each option changes something, and contradictions are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_runs import configure, score

from reid.config import option_names
from reid.evaluation import embed_samples
from reid.image_reid_inference import main
from reid.inference_options import InferenceConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either --ckpt FILE or --baseline"),
        ({"ckpt": "a.onnx", "baseline": "colour-histogram"}, "either --ckpt FILE or --baseline"),
        ({"ckpt": "a.onnx", "height": 64}, "--height and --width together"),
        ({"ckpt": "a.onnx"}, "no such model file"),
        ({"ckpt": "a.onnx", "batch_size": 0}, "batch_size: got 0"),
        ({"ckpt": "a.onnx", "k1": 0}, "k1: got 0"),
        ({"ckpt": "a.onnx", "lambda_value": 1.5}, "lambda_value: got 1.5"),
        ({"baseline": "colour-histogram", "precision": "bf16"}, "precision: a baseline has no network"),
        ({"baseline": "colour-histogram", "height": 64, "width": 32}, "height, width: a baseline"),
        ({"baseline": "colour-histogram", "flip": True}, "flip: a colour histogram is the same"),
        ({"ckpt": "a.onnx", "multi_crop": 1.0}, "multi_crop: got 1.0"),
        ({"ckpt": "a.onnx", "dataset_options": ["boxes"]}, "NAME=VALUE"),
        ({"ckpt": "a.onnx", "rerank": False, "k1": 20}, "k1: got a value with --no-rerank"),
        ({"ckpt": "a.onnx", "rerank": False, "rerank_device": "cuda"}, "rerank_device: got a value with --no-rerank"),
        ({"ckpt": "a.onnx", "neighbours": "hnsw", "rerank_device": "cuda"}, "allowed: with exact"),
        ({"ckpt": "a.onnx", "pca": 0}, "pca: got 0"),
        ({"ckpt": "a.onnx", "pca_on": "train"}, "pca_on: got train without --pca"),
        ({"ckpt": "a.onnx", "whiten": True}, "whiten: got True without --pca"),
        ({"ckpt": "a.onnx", "nfc_k1": 2}, "nfc_k1: got 2 without --nfc"),
        ({"ckpt": "a.onnx", "nfc_k2": 2}, "nfc_k2: got 2 without --nfc"),
        ({"ckpt": "a.onnx", "aqe": 3, "alpha": 3}, "alpha: got 3.0 without --alpha-qe or --dba"),
        ({"ckpt": "a.onnx", "aqe": 3, "alpha_qe": 3}, "allowed: one of them"),
        ({"ckpt": "a.onnx", "bootstrap": -1}, "bootstrap: got -1"),
        ({"ckpt": "a.onnx", "confidence": 1.0}, "confidence: got 1.0"),
        ({"ckpt": "a.onnx", "bootstrap": 0, "confidence": 0.9}, "with --bootstrap 0"),
        ({"ckpt": "a.onnx", "single_shot": 0}, "single_shot: got 0"),
        ({"ckpt": "a.onnx", "top_k": 0}, "top_k: got 0"),
        ({"ckpt": "a.onnx", "pictures": False, "top": 10}, "top: got 10 with --no-pictures"),
        ({"ckpt": "a.onnx", "report": False, "fmr": [0.1]}, "fmr: got .* without a report"),
        ({"ckpt": "a.onnx", "pictures": False, "fmr": [0.1]}, "fmr: got .* without a report"),
        ({"ckpt": "a.onnx", "fmr": [0.0]}, "fmr: got .* allowed: one or more rates above 0"),
    ],
    ids=str,
)
def test_contradictions_are_refused(tiny_market: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main(configure(tiny_market, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


# What each option is compared with, and by which of the two distances it is noticed.
PLAIN: dict[str, Any] = {}
BOTH, JACCARD = {"Euclidean", "Jaccard"}, {"Jaccard"}
CHANGES: list[tuple[dict[str, Any], dict[str, Any], set[str]]] = [
    (PLAIN, {"flip": True}, BOTH),
    (PLAIN, {"multi_crop": 0.8}, BOTH),
    ({"multi_crop": 0.8}, {"multi_crop": 0.6}, BOTH),
    (PLAIN, {"pca": 8}, BOTH),
    ({"pca": 8}, {"pca": 8, "pca_on": "gallery"}, BOTH),
    ({"pca": 8}, {"pca": 8, "whiten": True}, BOTH),
    (PLAIN, {"camera_bias": True}, BOTH),
    (PLAIN, {"nfc": True}, BOTH),
    ({"nfc": True}, {"nfc": True, "nfc_k1": 6}, BOTH),
    ({"nfc": True}, {"nfc": True, "nfc_k2": 6}, BOTH),
    (PLAIN, {"dba": 3}, BOTH),
    ({"dba": 3}, {"dba": 6}, BOTH),
    (PLAIN, {"aqe": 3}, BOTH),
    (PLAIN, {"alpha_qe": 3}, BOTH),
    ({"alpha_qe": 3}, {"alpha_qe": 3, "alpha": 60}, BOTH),
    (PLAIN, {"k1": 3}, JACCARD),
    (PLAIN, {"k2": 1}, JACCARD),
    (PLAIN, {"lambda_value": 1.0}, JACCARD),
]


@pytest.fixture(scope="module")
def scored(
    noisy_market: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Returns the records by distance, of equal options once; what the network sees alike is embedded once."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    embedded: dict[tuple[Any, ...], np.ndarray] = {}

    def embed_once(embed: Any, samples: Any, label: str, quiet: bool = True) -> np.ndarray:
        key = (label, len(samples), *(getattr(embed, name, None) for name in ("_flip", "_multi_crop")))
        if key not in embedded:
            embedded[key] = embed_samples(embed, samples, label, quiet=True)
        return embedded[key]

    def run(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
        if str(options) not in found:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("reid.image_reid_inference.embed_samples", embed_once)
                out = tmp_path_factory.mktemp("scored")
                records = score(noisy_market, out, ckpt=checkpoint, bootstrap=20, **options)
            found[str(options)] = {record["distance"]: record for record in records}
        return found[str(options)]

    return run


@pytest.mark.parametrize(("before", "after", "acts_on"), CHANGES, ids=str)
def test_each_option_changes_scores(
    scored: Callable[[dict[str, Any]], dict[str, dict[str, Any]]],
    before: dict[str, Any],
    after: dict[str, Any],
    acts_on: set[str],
) -> None:
    first, second = scored(before), scored(after)
    assert {name for name in BOTH if first[name]["scores"] != second[name]["scores"]} == acts_on
    inductive = set(after) <= {"flip", "multi_crop", "pca", "whiten", "k1", "k2", "lambda_value"}
    assert second["Euclidean"]["protocol"] == ("inductive" if inductive else "transductive")
    assert second["Jaccard"]["protocol"] == "transductive"


def test_too_many_dimensions_are_refused_before_anything_is_embedded(
    noisy_market: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for on, count in (("train", 30), ("gallery", 30)):
        with pytest.raises(ValueError, match=f"pca: got 30, allowed: 1 to 29 for {count} images to fit on and 512 dim"):
            score(noisy_market, tmp_path, ckpt=checkpoint, pca=30, pca_on=on)
    assert "gallery ━" not in capsys.readouterr().out


def test_the_list_of_options_is_known() -> None:
    # A new option needs a test of its own above.
    tested = {name for before, after, _ in CHANGES for name in (*before, *after)}
    assert set(option_names(InferenceConfig)) == tested | {
        *("root", "ckpt", "baseline", "out", "device", "precision", "batch_size", "height", "width"),
        *("rerank", "pictures", "top", "seed", "dataset", "dataset_options", "bootstrap", "confidence"),
        *("distances", "neighbours", "rerank_device", "top_k", "single_shot", "report", "fmr"),
    }
