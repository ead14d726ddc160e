"""Networks with unusual layers as ONNX files."""

from pathlib import Path

import pytest
import torch

from reid.checkpoint import Card, save_checkpoint
from reid.data.images import Preprocessing
from reid.export import export_onnx
from reid.models import build_model


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["agw", "emares18", "osnet_ain_x1_0", "osnet_x0_25", "plr_osnet", "resnet18_ibn_a", "sedense18"]
)
def test_onnx_computes_the_same(name: str, tmp_path: Path) -> None:
    model = build_model(name)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if parameter.ndim == 1:
                # Layers that begin as the identity shall do a little: non-local ones grow with the cube of their input.
                parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(path)))
    card = Card(name, {}, 0, model.embedding_size, Preprocessing(64, 32))
    save_checkpoint(tmp_path / "model.safetensors", model.state_dict(), card)
    parity = export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    assert parity.min_cosine > 0.99999
