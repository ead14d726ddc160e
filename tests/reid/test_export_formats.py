"""Every format of export: the same embeddings, the card inside, the report and its gate."""

import json
import threading
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from reid.checkpoint import Card, save_checkpoint
from reid.config import parse_config
from reid.cosine_limits import read_calibration
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.export import ExportConfig, main
from reid.export_onnx import export_onnx
from reid.export_torchscript import export_torchscript
from reid.models import build_model
from reid.onnx_backend import check_layout
from reid.tensorrt_export import export_tensorrt

SIZE = Preprocessing(64, 32)
CALIBRATION = {"scores": {"points": [{"fmr": 0.1, "threshold": 0.5}]}, "dataset": 'a <set> & "more"'}


def crops(count: int = 5) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (40 + 7 * i, 20 + 3 * i, 3), dtype=np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("formats") / "model.safetensors"
    model = build_model("reidlite", 0, width_factor=0.5)
    model.train()(torch.randn(8, 3, 64, 32))  # moves the running statistics away from 0 and 1
    card = Card("reidlite", {"width_factor": 0.5}, 0, 512, SIZE, calibration=CALIBRATION)
    save_checkpoint(path, model.state_dict(), card)
    return path


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> np.ndarray:
    return Embedder(checkpoint, device="cpu")(crops())


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"opset": 13}, 1e-4),
        ({"opset": 17, "input_kind": "uint8"}, 1e-4),
        ({"opset": 17, "fp16": True}, 0.01),
        ({"opset": 18, "fp16": True}, 0.01),
    ],
)
def test_onnx(
    checkpoint: Path,
    tmp_path: Path,
    expected: np.ndarray,
    options: dict,
    tolerance: float,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(checkpoint, path, **options)
    assert capfd.readouterr() == ("", "")
    model = onnx.load(str(path))
    assert next(entry.version for entry in model.opset_import if not entry.domain) == options["opset"]
    assert [entry.name for entry in (*model.graph.input, *model.graph.output)] == ["images", "embeddings"]
    halves = [entry for entry in model.graph.initializer if entry.data_type == TensorProto.FLOAT16]
    assert bool(halves) == bool(options.get("fp16"))
    embedder = Embedder(path, batch_size=3)
    assert embedder.preprocessing == SIZE and embedder.cosine_limit(0.1) == 0.5
    assert np.abs(embedder(crops()) - expected).max() < tolerance
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batch = SIZE.batch(crops())
    raw = session.run(None, {"images": batch if "input_kind" in options else SIZE.normalise(batch)})[0]
    assert np.allclose(np.linalg.norm(raw, axis=1), 1, atol=1e-3)  # the norm is made inside
    with pytest.raises(ValueError, match="opset: got 12, allowed: 13 to 23"):
        export_onnx(checkpoint, path, opset=12)


def test_torchscript(checkpoint: Path, tmp_path: Path, expected: np.ndarray) -> None:
    for kind in ("float32", "uint8"):
        path = tmp_path / f"{kind}.torchscript"
        assert export_torchscript(checkpoint, path, input_kind=kind).min_cosine > 0.9999
        embedder = Embedder(path, device="cpu", batch_size=3)
        assert np.abs(embedder(crops()) - expected).max() < 1e-4 and embedder.cosine_limit(0.1) == 0.5
    with pytest.raises(ValueError, match="precision"):
        Embedder(path, precision="bf16")
    with pytest.raises(ValueError, match="provider: got 'openvino' for"):
        Embedder(path, provider="openvino")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"uint8\.torchscript: is no TorchScript file; copy it again"):
        Embedder(path, device="cpu")


def test_openvino(checkpoint: Path, tmp_path: Path, expected: np.ndarray) -> None:
    pytest.importorskip("openvino")
    from reid.export_openvino import export_openvino

    for half in (False, True):
        path = tmp_path / f"{half}.xml"
        export_openvino(checkpoint, path, input_kind="uint8", opset=17, fp16=half)
        embedder = Embedder(path, batch_size=3, threads=1)
        assert embedder.preprocessing == SIZE and embedder.cosine_limit(0.1) == 0.5
        assert read_calibration(path) == CALIBRATION
        assert np.abs(embedder(crops()) - expected).max() < (0.01 if half else 1e-3)
    assert path.with_suffix(".bin").stat().st_size < 0.7 * (tmp_path / "False.bin").stat().st_size
    export_onnx(checkpoint, tmp_path / "model.onnx", opset=17)
    by_openvino = Embedder(tmp_path / "model.onnx", provider="openvino")
    assert by_openvino.preprocessing == SIZE and np.abs(by_openvino(crops()) - expected).max() < 1e-3
    with pytest.raises(ValueError, match="device: got 'cuda' for OpenVINO"):
        Embedder(path, device="cuda")
    path.with_suffix(".bin").unlink()
    with pytest.raises(ValueError, match=r"True\.xml: its weights, True\.bin, are not in"):
        Embedder(path)
    (tmp_path / "damaged.onnx").write_text("no network")
    with pytest.raises(ValueError, match=r"damaged\.onnx: OpenVINO cannot open it"):
        Embedder(tmp_path / "damaged.onnx", provider="openvino")


def test_tensorrt_line_and_engine(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "model.onnx"
    _, lines = export_tensorrt(checkpoint, path, opset=17, fp16=True, max_batch=32)
    told = "\n".join(lines)
    assert "TensorRT is not installed here" in told and not path.with_suffix(".engine").exists()
    shapes = "--minShapes=images:1x3x64x32 --optShapes=images:8x3x64x32 --maxShapes=images:32x3x64x32 --fp16"
    assert f"trtexec --onnx={path} --saveEngine={tmp_path / 'model.engine'} {shapes}" in told
    assert "Embedder('model.onnx', provider='tensorrt', batch_size=32, precision='fp16')" in told
    # A program in its place: what it is called with, and what happens when it fails.
    tool = tmp_path / "trtexec"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\necho > {tmp_path}/model.engine\n')
    tool.chmod(0o755)
    assert "built" in export_tensorrt(checkpoint, path, opset=17)[1][0]
    assert "--maxShapes=images:64x3x64x32" in (tmp_path / "called").read_text()
    tool.write_text("#!/bin/sh\necho '[E] out of memory'\nexit 1\n")
    with pytest.raises(ValueError, match=r"trtexec could not build an engine: .*out of memory"):
        export_tensorrt(checkpoint, path, opset=17)
    with pytest.raises(ValueError, match=r"model\.engine: a TensorRT engine fits one GPU.*give the \.onnx file"):
        Embedder(path.with_suffix(".engine"))
    with pytest.raises(ValueError, match="onnxruntime has no TensorRT here"):
        Embedder(path, provider="tensorrt")
    with pytest.raises(ValueError, match="provider: got 'qnn', allowed: auto, cpu"):
        Embedder(path, provider="qnn")
    with pytest.raises(ValueError, match="device: got 'cpu' for provider cuda"):
        Embedder(path, provider="cuda", device="cpu")


def test_command_line_with_report_and_gate(
    checkpoint: Path,
    tiny_market: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reid.parity._LEAST_SECONDS", 0.01)
    out = tmp_path / "int8.onnx"
    options = ["--ckpt", str(checkpoint), "--out", str(out), "--opset", "17", "--root", str(tiny_market)]
    options += ["--format", "onnx-int8", "--calibration-count", "24", "--threads", "1", "--min-cosine", "0.5"]
    main(parse_config(ExportConfig, [*options, "--max-map-drop", "0.5"]))
    report = json.loads((tmp_path / "int8.onnx.parity.json").read_text())
    assert report["quantisation"]["num_images"] == 18 and report["retrieval"]["num_images"] == 54
    assert report["images"]["num_images"] == 24 - 18  # those that were not calibrated with
    assert 0.5 < report["retrieval"]["mean_cosine"] < 1 and set(report["crops_per_second"]["after"]) == {
        "batch 1",
        "batch 32",
    }
    assert report["bytes"]["after"] == out.stat().st_size and report["threads"] == 1
    told = capsys.readouterr().out
    assert "8 bits: 45 layers, 0 left in float" in told and "mAP: " in told and "Rank-1: " in told
    assert "calibration images: 24 of 72 training images of" in told and "held-out calibration images: cosine" in told
    assert "batch 1, 1 thread: " in told and f"wrote {out} (" in told
    assert read_calibration(out) == CALIBRATION  # trackers take their limit from it


def test_gate_keeps_a_refused_file_under_another_name(
    checkpoint: Path,
    tiny_market: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = {"retrieval": {"change": {"mAP": -0.3}}}
    monkeypatch.setattr("reid.export.compare_networks", lambda *_: dict(report))
    monkeypatch.setattr("reid.export.print_report", lambda _: None)
    out = tmp_path / "new" / "model.torchscript"
    options = ["--ckpt", str(checkpoint), "--out", str(out), "--format", "torchscript", "--root", str(tiny_market)]
    names = {"model.torchscript", "model.torchscript.json", "model.torchscript.parity.json"}
    with pytest.raises(SystemExit) as stop:
        main(parse_config(ExportConfig, [*options, "--max-map-drop", "0.2"]))
    assert stop.value.code == 1
    told = capsys.readouterr()
    assert "mAP falls by 0.3000, allowed: 0.2" in told.err and f"{out}.refused" in told.err and "wrote" not in told.out
    assert {path.name for path in out.parent.iterdir()} == {f"{name}.refused" for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # no noise of torch.jit
        main(parse_config(ExportConfig, [*options, "--max-map-drop", "0.3"]))
        embedder = Embedder(out, device="cpu")
    assert {path.name for path in out.parent.iterdir() if path.suffix != ".refused"} == names
    assert f"wrote {out} (" in capsys.readouterr().out and embedder(crops()).shape == (5, 512)


def test_options_that_do_not_fit() -> None:
    for options, message in (
        ({"format": "coreml"}, "format: got 'coreml', allowed: onnx, onnx-int8"),
        ({"format": "openvino"}, r"allowed: a file name that ends in \.xml"),
        ({"format": "onnx-int8"}, "calibration_images: got none"),
        ({"max_map_drop": 0.1}, "together with --root"),
        ({"fp16": True, "format": "onnx-int8", "root": Path(".")}, "fp16: got it for onnx-int8"),
        ({"calibration_method": "mean"}, "calibration_method: got 'mean'"),
        ({"max_batch": 0}, "max_batch: got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ExportConfig(Path("a.safetensors"), Path("a.onnx"), **options)


def test_wrong_layouts_say_what_to_do(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"x\.onnx: got inputs .* its channels come last: export it with channels first"
    ):
        check_layout(Path("x.onnx"), [("images", ["n", 64, 32, 3])])
    with pytest.raises(ValueError, match="export it with the other inputs fixed"):
        check_layout(Path("x.onnx"), [("images", ["n", 3, 64, 32]), ("camids", ["n"])])
    export_onnx(checkpoint, tmp_path / "model.onnx", opset=17)
    with pytest.raises(ValueError, match=r"model\.onnx: takes images of 64 x 32 and got a preprocessing of 48 x 24"):
        Embedder(tmp_path / "model.onnx", preprocessing=Preprocessing(48, 24))


def test_flip_averages_with_the_mirror_image(checkpoint: Path, expected: np.ndarray) -> None:
    images = crops()
    mirrored = Embedder(checkpoint, device="cpu")([SIZE.resize(image)[:, ::-1] for image in images])
    both = expected + mirrored
    flipped = Embedder(checkpoint, device="cpu", flip=True, batch_size=2)(images)
    assert np.allclose(flipped, both / np.linalg.norm(both, axis=1, keepdims=True), atol=1e-4)
    assert not np.allclose(flipped, expected, atol=1e-3)


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_threads_share_an_embedder(checkpoint: Path, tmp_path: Path, expected: np.ndarray, suffix: str) -> None:
    path = checkpoint
    if suffix == ".onnx":
        path = tmp_path / "model.onnx"
        export_onnx(checkpoint, path, opset=17)
    embedder = Embedder(path, device="cpu", batch_size=2, threads=1)
    found: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        for _ in range(3):
            found[number] = embedder(crops()[number % 5 :])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number in range(4):
        assert np.allclose(found[number], expected[number % 5 :], atol=1e-4)


def test_an_input_of_another_type_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("ReduceMax", ["x"], ["y"], axes=[2, 3], keepdims=0)],
        "largest",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 3, 32, 16])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "double.onnx"))
    with pytest.raises(ValueError, match=r"double\.onnx: got input of type tensor\(double\)"):
        Embedder(tmp_path / "double.onnx")
