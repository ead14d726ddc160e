"""Options of an export: what it calibrates on, what has no effect, what cannot be read or written."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.config import parse_config
from reid.data import read_dataset
from reid.export import ExportConfig, main
from reid.export_report import cosine_warning
from reid.quantise_images import training_images
from tests.reid.test_data_mot_crops import people, sequence


class Stopped(Exception):
    """Ends an export where it would quantise."""


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What the export would calibrate on."""
    found: list[np.ndarray] = []

    def stop(source, path, images, *_, **__):
        found.extend(images)
        raise Stopped

    monkeypatch.setattr("reid.export_int8.export_int8", stop)
    return found


def quantise(tmp_path: Path, *options: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"")
    told = ["--ckpt", f"{tmp_path}/a.safetensors", "--out", f"{tmp_path}/a.onnx", "--format", "onnx-int8", *options]
    with pytest.raises(Stopped):
        main(parse_config(ExportConfig, told))


def test_boxes_of_training_people_are_calibrated_on(
    tmp_path: Path, calibrated: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    sequence(tmp_path / "train", "A-01", people())
    train = read_dataset("mot", tmp_path).train
    quantise(tmp_path, "--root", str(tmp_path), "--dataset", "mot")
    # Frames are 200 x 120, boxes 30 x 60; red tells the column, by which people differ.
    assert [image.shape for image in calibrated] == [(60, 30, 3)] * 6
    lefts = {round(float(image[:, 0, 0].mean()) / 10) * 10 for image in calibrated}
    assert lefts == {int(sample.box[0]) for sample in train if sample.box}
    assert f"calibration images: 6 of 6 training images of mot ({tmp_path.name})" in capsys.readouterr().out


def test_folders_of_people_are_calibrated_on_by_their_train_split(tmp_path: Path, calibrated: list[np.ndarray]) -> None:
    for number, split in enumerate(("train", "query", "gallery")):
        for person in range(3):
            (tmp_path / "set" / split / f"p{person}").mkdir(parents=True)
            image = np.full((32, 16, 3), 60 * number + person, np.uint8)
            cv2.imwrite(str(tmp_path / "set" / split / f"p{person}" / f"{split}.png"), image)
    quantise(tmp_path, "--root", f"{tmp_path}/set", "--dataset", "folder")
    assert sorted(int(image.max()) for image in calibrated) == [0, 1, 2]
    calibrated.clear()
    quantise(tmp_path, "--calibration-images", f"{tmp_path}/set", "--calibration-count", "9", "--seed", "1")
    assert len(calibrated) == 9
    with pytest.raises(ValueError, match=r"mine: the train split is empty.*give --calibration-images"):
        training_images([], "mine", 8)


def test_warning_of_a_cosine_far_below() -> None:
    report = {"retrieval": {"dataset": "mine", "mean_cosine": 0.878}}
    told = cosine_warning(report, 0.99)
    assert told is not None and "mine is 0.87800, far below --min-cosine 0.99" in told
    assert cosine_warning(report, 0.95) is not None and cosine_warning(report, 0.9) is None
    assert cosine_warning({}, 0.99) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 64}, "max_batch: got 64 for onnx, where it has no effect, allowed: with tensorrt"),
        ({"calibration_method": "entropy"}, "calibration_method: got 'entropy' for onnx"),
        ({"min_cosine": 0.9}, "min_cosine: got 0.9 for onnx"),
        ({"seed": 1}, "seed: got 1 for onnx"),
        ({"dataset": "mot"}, "dataset: got 'mot' for onnx.*allowed: with --root"),
        ({"dataset_options": ("every=1",)}, "dataset_options: got every=1, allowed: with --root"),
        ({"format": "torchscript", "opset": 18}, "opset: got 18 for torchscript"),
        ({"format": "onnx-int8", "ckpt": Path("a.onnx"), "opset": 18}, "opset: got 18 for onnx-int8"),
        ({"format": "onnx-int8", "calibration_count": 1}, "calibration_count: got 1, allowed: 2 or more"),
        ({"calibration_images": Path("."), "calibration_count": 0}, "calibration_count: got 0"),
        (
            {"format": "onnx-int8", "calibration_method": "minmax", "calibration_percentile": 99.0},
            "calibration_percentile: got 99.0",
        ),
        ({"opset": 12}, "opset: got 12, allowed: 13 to 23"),
        ({"threads": 0}, r"threads: got 0, allowed: 1 to \d+"),
        ({"threads": 10000}, "threads: got 10000"),
    ],
)
def test_options_without_effect_or_out_of_range(options: dict, message: str) -> None:
    name = "a.torchscript" if options.get("format") == "torchscript" else "a.onnx"
    images = {"calibration_images": Path("crops")} if options.get("format") == "onnx-int8" else {}
    with pytest.raises(ValueError, match=message):
        ExportConfig(**{"ckpt": Path("a.safetensors"), "out": Path(name)} | images | options)


def test_the_same_export_into_another_folder() -> None:
    plain = ExportConfig(Path("a.safetensors"), Path("runs/a.onnx"), input_kind="uint8").placed_in(Path("there"))
    assert plain.out == Path("there/a.onnx") and plain.input_kind == "uint8"
    deepstream = ExportConfig(Path("a.safetensors"), deepstream=Path("runs"), max_batch=4).placed_in(Path("there"))
    assert deepstream.out == Path("there/model.onnx") and deepstream.deepstream == Path("there")
    assert deepstream.meant("max_batch") == 4 and plain.meant("max_batch") == 64


def test_files_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.onnx").mkdir()
    for name in ("a.safetensors", "b.onnx"):
        (tmp_path / name).write_text("")
    for ckpt, options, message in (
        ("b.onnx", {"out": tmp_path / "c.xml", "format": "openvino"}, r"b\.onnx for openvino, .*onnx-int8 only"),
        ("b.onnx", {"out": tmp_path / "c.onnx"}, r"b\.onnx for onnx, allowed: a \.safetensors checkpoint; an"),
        ("c.pth", {"out": tmp_path / "c.onnx"}, r"c\.pth for onnx, allowed: a \.safetensors checkpoint$"),
        ("a.safetensors", {"deepstream": tmp_path / "file"}, "deepstream: got .*file, but .*file is a file"),
        ("a.safetensors", {"out": tmp_path / "folder.onnx"}, "out: got .*which is a folder"),
    ):
        with pytest.raises(ValueError, match=message):
            main(ExportConfig(tmp_path / ckpt, **options))
    with pytest.raises(FileNotFoundError, match="absent: no such folder of sequences"):
        main(ExportConfig(tmp_path / "a.safetensors", tmp_path / "c.onnx", tracking=tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        main(ExportConfig(tmp_path / "absent.safetensors", tmp_path / "c.onnx"))
