"""The report of an export: embeddings, retrieval, speed, size, tracking."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from reid.data import read_dataset
from reid.parity import cosine_parity, file_bytes, retrieval_parity, speeds, tracking_parity


class Colours:
    """Embeds an image as its mean colour, with some of it taken away."""

    needs_cameras = False

    def __init__(self, name: str, loss: float = 0.0) -> None:
        self.name = name
        self.loss = loss

    def __call__(self, crops):
        rows = np.stack(
            [np.concatenate(np.array_split(crop, 2)).reshape(2, -1, 3).mean(axis=1).ravel() for crop in crops]
        )
        rows = rows - 128 + self.loss * np.random.default_rng(0).normal(size=rows.shape)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_cosines() -> None:
    found = cosine_parity(np.eye(3), np.array([[1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]]))
    assert np.isclose(found.mean_cosine, 2.8 / 3) and np.isclose(found.min_cosine, 0.8) and found.num_images == 3


def test_retrieval_in_terms_of_the_task(tiny_market: Path) -> None:
    data = read_dataset("market1501", tiny_market)
    same = retrieval_parity(Colours("a"), Colours("b"), data, quiet=True)
    assert same["change"] == {"mAP": 0.0, "Rank-1": 0.0} and same["min_cosine"] > 0.99999
    worse = retrieval_parity(Colours("a"), Colours("b", loss=100.0), data, quiet=True)
    assert worse["change"]["mAP"] < -0.1 and worse["mean_cosine"] < 0.9
    assert worse["after"]["mAP"] - worse["before"]["mAP"] == worse["change"]["mAP"] and worse["num_images"] == 54


def test_speeds_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reid.parity._LEAST_SECONDS", 0.0)
    clock = iter(range(1000))
    first = Colours("a")
    first.preprocessing = type("Size", (), {"height": 8, "width": 4})()
    assert speeds([first, first], lambda: float(next(clock))) == [{"batch 1": 1.0, "batch 32": 32.0}] * 2
    (tmp_path / "a.onnx").write_bytes(b"12345")
    (tmp_path / "a.xml").write_bytes(b"123")
    (tmp_path / "a.bin").write_bytes(b"12")
    assert file_bytes(tmp_path / "a.onnx") == 5 and file_bytes(tmp_path / "a.xml") == 5


def test_tracking_is_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def run(command, **_):
        commands.append(command)
        out = Path(command[command.index("--out") + 1])
        out.mkdir()
        score = 0.5 + 0.1 * len(commands)
        record = {"strongsort": {"scores": {"COMBINED": {"HOTA": score, "IDF1": score, "IDSW": 3}}}}
        (out / "result.json").write_text(json.dumps(record))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    found = tracking_parity(tmp_path, Path("a.safetensors"), Path("a.onnx"))
    assert [command[command.index("--reid") + 1] for command in commands] == ["a.safetensors", "a.onnx"]
    assert np.isclose(found["change"]["HOTA"], 0.1) and set(found["before"]) == {"HOTA", "IDF1"}
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"tracking with a\.safetensors failed: error: "):
        tracking_parity(tmp_path, Path("a.safetensors"), Path("a.onnx"))
