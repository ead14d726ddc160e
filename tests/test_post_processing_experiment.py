"""The table of what test-time steps buy."""

import json
from pathlib import Path

import pytest
import torch

import experiments.post_processing as experiment
from experiments.post_processing import ROWS, PostProcessingConfig, main
from reid.checkpoint import Card, save_checkpoint
from reid.data.images import Preprocessing
from reid.models import build_model


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, build_model("cares18").state_dict(), Card("cares18", {}, 0, 512, Preprocessing(32, 16)))
    return path


def test_every_row_stands_in_the_table_of_its_protocol(
    tiny_market: Path, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 72 training images and 36 in the gallery: few dimensions.
    monkeypatch.setattr(experiment, "ROWS", tuple(row.replace("128", "16").replace("64", "8") for row in ROWS))
    main(PostProcessingConfig(checkpoint, tiny_market, out=tmp_path / "out", draws=20, device="cpu"))
    text = (tmp_path / "out" / "post_processing.md").read_text()
    inductive, transductive = text.split("Inductive:")[1].split("Transductive:")
    assert "| none |" in inductive and "| none |" not in transductive
    for flags in ("--flip", "--multi-crop 0.9", "--pca 16", "--pca 16 --whiten"):
        assert f"| `{flags}` |" in inductive
    for flags in ("--aqe 5", "--dba 5 --alpha-qe 5", "--nfc", "--camera-bias", "--pca 16 --pca-on gallery", "--rerank"):
        assert f"| `{flags}` |" in transductive
    assert "Left out: `--pca 256`: dimensions: got 256, allowed: 1 to 71" in text and "20 draws" in text
    records = json.loads((tmp_path / "out" / "post_processing.json").read_text())
    plain = records[0]["scores"]
    for record in records[1:]:
        for name in ("mAP", "Rank-1"):
            change = record["changes"][name]
            assert change["value"] == pytest.approx(record["scores"][name] - plain[name])
            assert change["low"] <= change["value"] + 1e-9 and change["value"] - 1e-9 <= change["high"]
    assert {record["protocol"] for record in records} == {"inductive", "transductive"}


def test_changes_are_bold_where_their_interval_leaves_zero_out() -> None:
    scores = {"mAP": 0.5, "Rank-1": 0.6, "mINP": 0.2}
    clear, unclear = ({"value": 0.02, "low": low, "high": 0.03} for low in (0.01, -0.01))
    rows = [{"options": "--flip", "scores": scores, "changes": {"mAP": clear, "Rank-1": unclear}}]
    expected = "| `--flip` | 50.0 | **+2.0 [+1.0, +3.0]** | 60.0 | +2.0 [-1.0, +3.0] | 20.0 |"
    assert experiment.table(rows).splitlines()[-1] == expected
