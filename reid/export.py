"""Checkpoints to files that run elsewhere, with a report of what that costs."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reid.config import run_entry_point
from reid.dataset_options import parse_dataset_options
from reid.embedder import Embedder
from reid.export_network import INPUT_KINDS
from reid.export_onnx import DEFAULT_OPSET, Parity, export_onnx
from reid.files import write_json
from reid.parity import cosine_parity, file_bytes, retrieval_parity, speeds, tracking_parity
from reid.quantise_images import folder_images
from reid.quantise_ranges import METHODS
from reid.training_data import TestSet, read_test_set

__all__ = ["INPUT_KINDS", "ExportConfig", "Parity", "export_onnx", "main"]

FORMATS = {
    "onnx": ".onnx",
    "onnx-int8": ".onnx",
    "openvino": ".xml",
    "tensorrt": ".onnx",
    "torchscript": ".torchscript",
}


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Exports a checkpoint to a file that is enough for `Embedder`, and says how far it is from the original.

    Input and output are called images and embeddings, the batch size is open, the norm of 1 is made inside, and the
    card is in the file. A report lies beside it as FILE.parity.json.

    Raises:
        ValueError: When an option is unknown, out of its range, or without effect on the format.
    """

    ckpt: Path
    """The .safetensors checkpoint; for onnx-int8 a float .onnx file of anybody's, too."""
    out: Path = Path()
    """The file to write: .onnx (for tensorrt too, from which the .engine is built), .xml or .torchscript."""
    deepstream: Path | None = None
    """In the place of --out: a folder for DeepStream, with model.onnx, labels and the configuration of nvinfer."""
    format: str = "onnx"
    """onnx, onnx-int8, openvino, tensorrt or torchscript."""
    input_kind: str = "float32"
    """"float32" takes normalised images, "uint8" has the normalisation inside."""
    camera: int | None = None
    """The camera whose images the file will see; asked for, and only taken, where the network has camera vectors."""
    opset: int = DEFAULT_OPSET
    """Operator set of ONNX, 13 to 23; of the network on the way for other formats."""
    fp16: bool = False
    """Weights in half precision (onnx, openvino); an engine that may compute in it (tensorrt, --deepstream)."""
    calibration_images: Path | None = None
    """onnx-int8: a folder of crops; None takes the training images of --root."""
    calibration_count: int = 128
    """onnx-int8: images that are taken, a quarter of them for measuring."""
    calibration_method: str = "percentile"
    """onnx-int8: how the ranges of activations are found: percentile, entropy or minmax."""
    calibration_percentile: float = 99.999
    """onnx-int8: share of values that "percentile" keeps, in percent."""
    min_cosine: float = 0.99
    """onnx-int8: mean cosine to the float embeddings, for which layers stay in float."""
    max_batch: int = 64
    """tensorrt, --deepstream: the largest batch of the engine; a quarter of it is the one that it is tuned for."""
    root: Path | None = None
    """A labelled set: mAP and Rank-1 before and after go into the report."""
    dataset: str = "market1501"
    """Layout of --root, a name of `reid.data.list_datasets()`; "world" writes one where there is none."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE, for the datasets that know them."""
    max_map_drop: float | None = None
    """With --root: exit code 1 when mAP (a ratio in 0..1) falls by more."""
    tracking: Path | None = None
    """Folder of MOT sequences: HOTA and IDF1 of StrongSORT before and after go into the report."""
    threads: int | None = None
    """CPU threads of the exported file in the report; None takes one a core."""
    seed: int = 0
    """Of the choice of calibration images."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format: got {self.format!r}, allowed: {', '.join(FORMATS)}")
        self._place_deepstream()
        suffix = FORMATS[self.format]
        if self.out.suffix != suffix:
            raise ValueError(f"out: got {self.out} for {self.format}, allowed: a file name that ends in {suffix}")
        if self.calibration_method not in METHODS:
            raise ValueError(f"calibration_method: got {self.calibration_method!r}, allowed: {', '.join(METHODS)}")
        if self.fp16 and self.format not in ("onnx", "openvino", "tensorrt"):
            raise ValueError(f"fp16: got it for {self.format}, allowed: with onnx, openvino and tensorrt")
        if self.max_map_drop is not None and (self.root is None or self.max_map_drop < 0):
            raise ValueError(f"max_map_drop: got {self.max_map_drop}, allowed: 0 or more, together with --root")
        if self.format == "onnx-int8" and self.calibration_images is None and self.root is None:
            raise ValueError("calibration_images: got none, allowed: a folder of crops, or --root with training images")
        if self.max_batch < 1:
            raise ValueError(f"max_batch: got {self.max_batch}, allowed: 1 or more")
        parse_dataset_options(self.dataset_options)

    def _place_deepstream(self) -> None:
        if self.deepstream is None:
            if self.out == Path():
                raise ValueError("out: got none, allowed: the file to write, or --deepstream FOLDER")
            return
        if self.format != "onnx" or self.input_kind != "float32":
            raise ValueError(
                f"deepstream: got it with {self.format} and {self.input_kind}, allowed: with onnx and float32, which "
                "nvinfer takes"
            )
        own = self.deepstream / "model.onnx"
        if self.out not in (Path(), own):
            raise ValueError(f"out: got {self.out} together with --deepstream, allowed: one of the two")
        object.__setattr__(self, "out", own)


def _float_options(config: ExportConfig) -> dict[str, Any]:
    return {"input_kind": config.input_kind, "camera": config.camera}


def _write_onnx(config: ExportConfig) -> dict[str, Any]:
    options = _float_options(config) | {"opset": config.opset, "fp16": config.fp16}
    return {"torch": dataclasses.asdict(export_onnx(config.ckpt, config.out, **options))}


def _write_int8(config: ExportConfig) -> dict[str, Any]:
    from reid.export_int8 import export_int8
    from reid.quantise import QuantiseOptions

    folder = config.calibration_images
    if folder is None:
        assert config.root is not None  # checked by the configuration
        folder = config.root
    images, faults = folder_images(folder, config.calibration_count, config.seed)
    if faults:
        print(f"note: {len(faults)} calibration images cannot be read and are left out, e.g. {faults[0]}")
    options = QuantiseOptions(config.calibration_method, config.calibration_percentile, config.min_cosine)
    found = export_int8(config.ckpt, config.out, images, options, opset=config.opset, **_float_options(config))
    kept = found.float_layers
    print(f"8 bits: {found.num_layers} layers, {len(kept)} left in float; calibrated on {found.num_images} images")
    if kept:
        print(f"left in float: {', '.join(kept[:5])}{', ...' if len(kept) > 5 else ''}")
    return {"quantisation": dataclasses.asdict(found)}


def _write_openvino(config: ExportConfig) -> dict[str, Any]:
    from reid.export_openvino import export_openvino

    options = _float_options(config) | {"opset": config.opset, "fp16": config.fp16}
    return {"torch": dataclasses.asdict(export_openvino(config.ckpt, config.out, **options))}


def _write_tensorrt(config: ExportConfig) -> dict[str, Any]:
    from reid.tensorrt_export import export_tensorrt

    options = _float_options(config) | {"opset": config.opset, "fp16": config.fp16, "max_batch": config.max_batch}
    parity, lines = export_tensorrt(config.ckpt, config.out, **options)
    for line in lines:
        print(line)
    return {"torch": dataclasses.asdict(parity)}


def _write_deepstream(config: ExportConfig) -> dict[str, Any]:
    from reid.deepstream import export_deepstream

    assert config.deepstream is not None
    options: dict[str, Any] = {"camera": config.camera, "opset": config.opset, "fp16": config.fp16}
    parity, lines = export_deepstream(config.ckpt, config.deepstream, max_batch=config.max_batch, **options)
    for line in lines:
        print(line)
    return {"torch": dataclasses.asdict(parity)}


def _write_torchscript(config: ExportConfig) -> dict[str, Any]:
    from reid.export_torchscript import export_torchscript

    return {"torch": dataclasses.asdict(export_torchscript(config.ckpt, config.out, **_float_options(config)))}


_WRITERS: dict[str, Callable[[ExportConfig], dict[str, Any]]] = {
    "onnx": _write_onnx,
    "onnx-int8": _write_int8,
    "openvino": _write_openvino,
    "tensorrt": _write_tensorrt,
    "torchscript": _write_torchscript,
}


def _report(config: ExportConfig, test: TestSet | None, crops: list[Any]) -> dict[str, Any]:
    """Compares the exported file with its source, as `Embedder` runs them on the CPU."""
    threads = config.threads if config.ckpt.suffix == ".onnx" else None
    before = Embedder(config.ckpt, device="cpu", camera=config.camera, threads=threads)
    after = Embedder(config.out, device="cpu", threads=config.threads)
    found: dict[str, Any] = {}
    if test is not None:
        found["retrieval"] = {"dataset": test.name} | retrieval_parity(before, after, test.data)
    if crops:
        found["calibration_images"] = dataclasses.asdict(cosine_parity(before(crops), after(crops)))
    found["crops_per_second"] = dict(zip(("before", "after"), speeds([before, after]), strict=True))
    found["bytes"] = {"before": file_bytes(config.ckpt), "after": file_bytes(config.out)}
    if config.tracking is not None:
        found["tracking"] = tracking_parity(config.tracking, config.ckpt, config.out)
    return found


def _print_report(report: dict[str, Any]) -> None:
    for name in ("retrieval", "calibration_images"):
        if name in report:
            own = report[name]
            cosines = f"mean {own['mean_cosine']:.5f}, worst {own['min_cosine']:.5f}, {own['num_images']} images"
            print(f"{own.get('dataset', 'calibration images')}: cosine {cosines}")
    for name in ("retrieval", "tracking"):
        if name in report:
            own = report[name]
            for metric, change in own["change"].items():
                before, after = own["before"][metric], own["after"][metric]
                print(f"{metric}: {100 * before:.2f} -> {100 * after:.2f} ({100 * change:+.2f})")
    speed, size = report["crops_per_second"], report["bytes"]
    for batch, before in speed["before"].items():
        after = speed["after"][batch]
        print(f"crops a second, {batch}: {before:.1f} -> {after:.1f} ({after / before:.2f} times)")
    print(f"file: {size['before'] / 2**20:.2f} -> {size['after'] / 2**20:.2f} MiB")


def main(config: ExportConfig) -> None:
    """Exports, prints the comparison, and ends with exit code 1 when mAP falls by more than allowed."""
    if not config.ckpt.is_file():
        raise FileNotFoundError(f"{config.ckpt}: no such checkpoint")
    test = None
    if config.root is not None:
        options = parse_dataset_options(config.dataset_options)
        test = read_test_set(config.dataset, config.root, print, **options)
    writer = _WRITERS[config.format] if config.deepstream is None else _write_deepstream
    report = writer(config)
    size = file_bytes(config.out) / 2**20
    print(f"wrote {config.out} ({size:.1f} MiB, {config.format}, {config.input_kind} input)")
    if "torch" in report:
        own = report["torch"]
        print(
            f"against torch on {own['num_images']} images: cosine >= {own['min_cosine']:.6f}, "
            f"difference <= {own['max_abs_difference']:.2e}"
        )
    crops: list[Any] = []
    if config.calibration_images is not None:
        crops, _ = folder_images(config.calibration_images, config.calibration_count, config.seed)
    report |= _report(config, test, crops)
    _print_report(report)
    write_json(config.out.with_name(f"{config.out.name}.parity.json"), report)
    if config.max_map_drop is not None:
        drop = -report["retrieval"]["change"]["mAP"]
        if drop > config.max_map_drop:
            print(f"mAP falls by {drop:.4f}, allowed: {config.max_map_drop}", file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    run_entry_point(main, ExportConfig)
