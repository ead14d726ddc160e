"""Checkpoints to files that run elsewhere, with a report of what that costs."""

import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reid.config import run_entry_point
from reid.dataset_options import parse_dataset_options
from reid.export_network import INPUT_KINDS
from reid.export_onnx import Parity, export_onnx
from reid.export_options import ExportConfig, check_files
from reid.export_report import compare_networks, cosine_warning, print_report
from reid.files import write_json
from reid.parity import file_bytes
from reid.quantise_images import CalibrationImages, images_below, training_images
from reid.training_data import TestSet, read_test_set

__all__ = ["INPUT_KINDS", "ExportConfig", "Parity", "export_onnx", "main"]

Say = Callable[[str], None]


def _float_options(config: ExportConfig) -> dict[str, Any]:
    return {"input_kind": config.input_kind, "camera": config.camera}


def _onnx_options(config: ExportConfig) -> dict[str, Any]:
    return _float_options(config) | {"opset": config.meant("opset"), "fp16": config.fp16}


def _write_onnx(config: ExportConfig, images: CalibrationImages | None, say: Say) -> dict[str, Any]:
    return {"torch": dataclasses.asdict(export_onnx(config.ckpt, config.out, **_onnx_options(config)))}


def _write_int8(config: ExportConfig, images: CalibrationImages | None, say: Say) -> dict[str, Any]:
    from reid.export_int8 import export_int8
    from reid.quantise import QuantiseOptions

    assert images is not None  # the configuration asks for a source of them
    names = ("calibration_method", "calibration_percentile", "min_cosine")
    options = QuantiseOptions(*(config.meant(name) for name in names))
    opset = config.meant("opset")
    found = export_int8(config.ckpt, config.out, images.images, options, opset=opset, **_float_options(config))
    kept = found.float_layers
    say(f"8 bits: {found.num_layers} layers, {len(kept)} left in float; calibrated on {found.num_images} images")
    if kept:
        say(f"left in float: {', '.join(kept[:5])}{', ...' if len(kept) > 5 else ''}")
    return {"quantisation": dataclasses.asdict(found)}


def _write_openvino(config: ExportConfig, images: CalibrationImages | None, say: Say) -> dict[str, Any]:
    from reid.export_openvino import export_openvino

    return {"torch": dataclasses.asdict(export_openvino(config.ckpt, config.out, **_onnx_options(config)))}


def _write_tensorrt(config: ExportConfig, images: CalibrationImages | None, say: Say) -> dict[str, Any]:
    from reid.tensorrt_export import export_tensorrt

    options = _onnx_options(config) | {"max_batch": config.meant("max_batch")}
    parity, lines = export_tensorrt(config.ckpt, config.out, **options)
    for line in lines:
        say(line)
    return {"torch": dataclasses.asdict(parity)}


def _write_deepstream(config: ExportConfig, images: CalibrationImages | None, say: Say) -> dict[str, Any]:
    from reid.deepstream import export_deepstream

    assert config.deepstream is not None
    options: dict[str, Any] = {"camera": config.camera, "opset": config.meant("opset"), "fp16": config.fp16}
    parity, lines = export_deepstream(config.ckpt, config.deepstream, max_batch=config.meant("max_batch"), **options)
    for line in lines:
        say(line)
    return {"torch": dataclasses.asdict(parity)}


def _write_torchscript(config: ExportConfig, images: CalibrationImages | None, say: Say) -> dict[str, Any]:
    from reid.export_torchscript import export_torchscript

    return {"torch": dataclasses.asdict(export_torchscript(config.ckpt, config.out, **_float_options(config)))}


_WRITERS: dict[str, Callable[[ExportConfig, CalibrationImages | None, Say], dict[str, Any]]] = {
    "onnx": _write_onnx,
    "onnx-int8": _write_int8,
    "openvino": _write_openvino,
    "tensorrt": _write_tensorrt,
    "torchscript": _write_torchscript,
}


def _calibration_images(config: ExportConfig, test: TestSet | None) -> CalibrationImages | None:
    """Reads the images of --calibration-images or, for onnx-int8, of the train split of --root."""
    count, seed = config.meant("calibration_count"), config.meant("seed")
    if config.calibration_images is not None:
        found = images_below(config.calibration_images, count, seed)
    elif config.format == "onnx-int8" and test is not None:
        found = training_images(test.data.train, test.name, count, seed)
    else:
        return None
    print(f"calibration images: {len(found.images)} of {found.num_found} {found.origin}")
    if found.faults:
        print(f"note: {len(found.faults)} of them cannot be read and are left out, e.g. {found.faults[0]}")
    return found


def _export(config: ExportConfig, test: TestSet | None, images: CalibrationImages | None, say: Say) -> dict[str, Any]:
    """Writes the file and its report, and returns this; prints both."""
    writer = _WRITERS[config.format] if config.deepstream is None else _write_deepstream
    report = writer(config, images, say)
    if "torch" in report:
        own = report["torch"]
        say(
            f"against torch on {own['num_images']} images: cosine >= {own['min_cosine']:.6f}, "
            f"difference <= {own['max_abs_difference']:.2e}"
        )
    report |= compare_networks(config, test, images)
    print_report(report)
    write_json(config.out.with_name(f"{config.out.name}.parity.json"), report)
    if config.format == "onnx-int8":
        warning = cosine_warning(report, config.meant("min_cosine"))
        if warning is not None:
            print(warning, file=sys.stderr)
    return report


def _export_gated(config: ExportConfig, test: TestSet | None, images: CalibrationImages | None) -> None:
    """Writes into a folder beside the file, and moves what is there into place when it is good enough.

    Raises:
        SystemExit: With code 1 when mAP falls by more than allowed; the files are then called NAME.refused.
    """
    assert config.max_map_drop is not None
    place = config.out.parent
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{config.out.stem}-", dir=place) as name:
        staged = config.placed_in(Path(name))
        report = _export(staged, test, images, lambda text: print(text.replace(name, str(place))))
        drop = -report["retrieval"]["change"]["mAP"]
        refused = drop > config.max_map_drop
        # The weights of an .xml file, .bin, come first.
        for path in sorted(Path(name).iterdir()):
            path.replace(place / (f"{path.name}.refused" if refused else path.name))
    if refused:
        own = f"{config.out}.refused"
        print(f"mAP falls by {drop:.4f}, allowed: {config.max_map_drop}; the file is kept as {own}", file=sys.stderr)
        sys.exit(1)


def main(config: ExportConfig) -> None:
    """Exports, prints the comparison, and ends with exit code 1 when mAP falls by more than allowed."""
    check_files(config)
    test = None
    if config.root is not None:
        options = parse_dataset_options(config.dataset_options)
        test = read_test_set(config.meant("dataset"), config.root, print, **options)
    images = _calibration_images(config, test)
    if config.max_map_drop is None:
        _export(config, test, images, print)
    else:
        _export_gated(config, test, images)
    size = file_bytes(config.out) / 2**20
    print(f"wrote {config.out} ({size:.1f} MiB, {config.format}, {config.input_kind} input)")


if __name__ == "__main__":
    run_entry_point(main, ExportConfig)
