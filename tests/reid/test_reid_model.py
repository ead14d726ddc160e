"""The interface for notebooks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reid import ReIDModel
from reid.data import read_dataset
from reid.data.images import Preprocessing, load_image
from reid.embedder import Embedder

SIZE = Preprocessing(64, 32)


def test_fit_embed_save_and_load(tiny_market: Path, tmp_path: Path) -> None:
    model = ReIDModel.from_timm("resnet10t", pretrained=False, preprocessing=SIZE)
    trunk = {name: value.clone() for name, value in model.model.state_dict().items() if name.startswith("trunk")}
    model.fit(tiny_market, epochs=2, freeze_backbone=True, projection_dim=16, learning_rate=1e-2)
    state = model.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in trunk.items())
    assert [row["epoch"] for row in model.history] == [1, 2] and model.history[1]["loss"] < model.history[0]["loss"]
    crops = [load_image(path) for path in sorted((tiny_market / "query").iterdir())[:5]]
    embeddings = model.embed(crops)
    assert embeddings.shape == (5, 16) and np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert np.array_equal(model(crops), embeddings)
    model.save(tmp_path / "model.safetensors")
    for loaded in (ReIDModel.load(tmp_path / "model.safetensors"), Embedder(tmp_path / "model.safetensors")):
        assert np.allclose(loaded(crops), embeddings, atol=1e-5)


def test_fit_goes_on_from_a_checkpoint_and_repeats_itself(tiny_market: Path, tmp_path: Path) -> None:
    model = ReIDModel("seres18", preprocessing=SIZE)
    model.save(tmp_path / "untrained.safetensors")
    data = read_dataset("market1501", tiny_market)
    runs = [ReIDModel.from_checkpoint(tmp_path / "untrained.safetensors").fit(data, epochs=1) for _ in range(2)]
    first, second = (run.model.state_dict() for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], model.model.state_dict()["conv1.weight"])


def test_unknown_names_are_refused() -> None:
    import reid

    with pytest.raises(AttributeError, match="it has ReIDModel"):
        _ = reid.NoSuchThing
