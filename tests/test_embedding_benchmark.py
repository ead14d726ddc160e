"""The benchmark of whole embedders, on a network that is quick to measure."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.embedding import main
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.models import build_model


def test_speed_and_the_networks_share(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    quick = ["--device", "cpu", "--rounds", "1", "--batch-size", "2", "--threads", "1"]
    main(["--sources", "reidlite@64x64", *quick, "--precision", "bf16"])
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    assert row[:3] == ["| `reidlite@64x64`", "64 x 64", "bf16"]
    assert float(row[3]) > 0 and 0 < float(row[5].split(" %")[0]) <= 100
    for wrong, message in (("nothing", "nothing: backbone: got 'nothing'"), (str(tmp_path / "a.onnx"), "no such")):
        with pytest.raises(SystemExit):
            main(["--sources", wrong, *quick])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*quick, "--rounds", "0"])


def test_models_embed_in_half_precision() -> None:
    model = build_model("reidlite", 0).eval()
    with pytest.raises(ValueError, match="precision: got 'fp8'"):
        Embedder.from_model(model, Preprocessing(64, 64), precision="fp8")
    images = [np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)]
    full, half = (
        Embedder.from_model(model, Preprocessing(64, 64), precision=name)(images) for name in ("fp32", "bf16")
    )
    assert 0 < abs(full - half).max() < 0.05
