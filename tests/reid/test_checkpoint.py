import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.data.images import Preprocessing
from reid.files import atomic_path
from reid.models import build_model
from reid.torch_backend import load_model

CARD = Card("seres18", {}, 3, 512, Preprocessing(64, 32), config={"lr": 0.1}, commit="abc", scores=[])


def test_weights_and_card_come_back(tmp_path: Path) -> None:
    state = {"a": torch.randn(2, 3), "b.c": torch.arange(4)}
    save_checkpoint(tmp_path / "model.safetensors", state, CARD)
    loaded, card = load_checkpoint(tmp_path / "model.safetensors")
    assert card == CARD
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[key], state[key]) for key in state)
    assert json.loads((tmp_path / "model.json").read_text())["backbone"] == "seres18"


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, {"a": torch.randn(100, 100)}, CARD)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole safetensors file"):
        load_checkpoint(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="no card inside"):
        load_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        save_checkpoint(tmp_path / "model.pth", {}, CARD)


def test_weights_of_another_backbone_are_refused_by_name(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.safetensors", build_model("cares18", 3).state_dict(), CARD)
    with pytest.raises(ValueError, match=r"do not fit seres18(.|\n)*gate_height"):
        load_model(tmp_path / "m.safetensors")


def test_a_card_of_another_version_is_refused() -> None:
    values = CARD.to_dict()
    with pytest.raises(ValueError, match="unknown fields \\['colour'\\]"):
        Card.from_dict(values | {"colour": 1}, "file")
    with pytest.raises(ValueError, match=r"file: the card is damaged: preprocessing: lacks height"):
        Card.from_dict(values | {"preprocessing": {"width": 1, "mean": [], "std": []}}, "file")
    del values["backbone"]
    with pytest.raises(ValueError, match="lacks \\['backbone'\\]"):
        Card.from_dict(values, "file")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(OSError, match="no space"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError("no space left")
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
