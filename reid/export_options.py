"""The options of an export, and which act together."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from reid.dataset_options import parse_dataset_options
from reid.distances import cpu_threads
from reid.export_onnx import DEFAULT_OPSET, OPSETS
from reid.quantise_ranges import METHODS

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

    # What options are that were not told; one that was told and has no effect is refused.
    UNLESS_TOLD: ClassVar[dict[str, Any]] = {
        "opset": DEFAULT_OPSET,
        "calibration_count": 128,
        "calibration_method": "percentile",
        "calibration_percentile": 99.999,
        "min_cosine": 0.99,
        "max_batch": 64,
        "dataset": "market1501",
        "seed": 0,
    }

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
    opset: int | None = None
    """Operator set of ONNX, 13 to 23, 18 unless told; of the network on the way for other formats."""
    fp16: bool = False
    """Weights in half precision (onnx, openvino); an engine that may compute in it (tensorrt, --deepstream)."""
    calibration_images: Path | None = None
    """onnx-int8: a folder of crops; None takes crops of the train split of --root. For other formats: images whose
    cosine goes into the report."""
    calibration_count: int | None = None
    """Images that are taken of them, 128 unless told; for onnx-int8 a quarter of them is for measuring."""
    calibration_method: str | None = None
    """onnx-int8: how the ranges of activations are found: percentile unless told, entropy or minmax."""
    calibration_percentile: float | None = None
    """onnx-int8: share of values that "percentile" keeps, in percent, 99.999 unless told."""
    min_cosine: float | None = None
    """onnx-int8: mean cosine to the float embeddings, for which layers stay in float, 0.99 unless told."""
    max_batch: int | None = None
    """tensorrt, --deepstream: the largest batch of the engine, 64 unless told; it is tuned for a quarter of it."""
    root: Path | None = None
    """A labelled set: mAP and Rank-1 before and after go into the report."""
    dataset: str | None = None
    """Layout of --root, a name of `reid.data.list_datasets()`, market1501 unless told; "world" writes one where there
    is none."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE, for the datasets that know them."""
    max_map_drop: float | None = None
    """With --root: when mAP (a ratio in 0..1) falls by more, the file is called FILE.refused and the exit code is 1."""
    tracking: Path | None = None
    """Folder of MOT sequences: HOTA and IDF1 of StrongSORT before and after go into the report."""
    threads: int | None = None
    """CPU threads of both networks while they are compared; None takes one a core."""
    seed: int | None = None
    """Of the choice of calibration images, 0 unless told."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format: got {self.format!r}, allowed: {', '.join(FORMATS)}")
        self._place_deepstream()
        suffix = FORMATS[self.format]
        if self.out.suffix != suffix:
            raise ValueError(f"out: got {self.out} for {self.format}, allowed: a file name that ends in {suffix}")
        if self.fp16 and self.format not in ("onnx", "openvino", "tensorrt"):
            raise ValueError(f"fp16: got it for {self.format}, allowed: with onnx, openvino and tensorrt")
        if self.max_map_drop is not None and (self.root is None or self.max_map_drop < 0):
            raise ValueError(f"max_map_drop: got {self.max_map_drop}, allowed: 0 or more, together with --root")
        if self.format == "onnx-int8" and self.calibration_images is None and self.root is None:
            raise ValueError("calibration_images: got none, allowed: a folder of crops, or --root with training images")
        self._check_effect()
        if self.meant("calibration_method") not in METHODS:
            raise ValueError(f"calibration_method: got {self.calibration_method!r}, allowed: {', '.join(METHODS)}")
        for name, least in (("max_batch", 1), ("calibration_count", 2), ("seed", 0)):
            if self.meant(name) < least:
                raise ValueError(f"{name}: got {self.meant(name)}, allowed: {least} or more")
        if not OPSETS[0] <= self.meant("opset") <= OPSETS[1]:
            raise ValueError(f"opset: got {self.opset}, allowed: {OPSETS[0]} to {OPSETS[1]}")
        cpu_threads(self.threads)
        parse_dataset_options(self.dataset_options)

    def meant(self, name: str) -> Any:
        """Returns an option, or what it is when it was not told."""
        value = getattr(self, name)
        return self.UNLESS_TOLD[name] if value is None else value

    def _check_effect(self) -> None:
        """Refuses options that the others leave without effect."""
        int8 = self.format == "onnx-int8"
        images = int8 or self.calibration_images is not None
        converted = self.format != "torchscript" and not (int8 and self.ckpt.suffix == ".onnx")
        percentile = int8 and self.meant("calibration_method") == "percentile"
        acting = {
            "opset": (converted, "with formats that a checkpoint goes to by ONNX"),
            "calibration_count": (images, "with onnx-int8 or --calibration-images"),
            "calibration_method": (int8, "with onnx-int8"),
            "calibration_percentile": (percentile, "with onnx-int8 and --calibration-method percentile"),
            "min_cosine": (int8, "with onnx-int8"),
            "max_batch": (self.format == "tensorrt" or self.deepstream is not None, "with tensorrt and --deepstream"),
            "dataset": (self.root is not None, "with --root"),
            "seed": (images, "with onnx-int8 or --calibration-images"),
        }
        for name, (acts, allowed) in acting.items():
            value = getattr(self, name)
            if value is not None and not acts:
                raise ValueError(f"{name}: got {value!r} for {self.format}, where it has no effect, allowed: {allowed}")
        if self.dataset_options and self.root is None:
            raise ValueError(f"dataset_options: got {' '.join(self.dataset_options)}, allowed: with --root")

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

    def placed_in(self, folder: Path) -> "ExportConfig":
        """Returns the same export into another folder."""
        if self.deepstream is not None:
            return dataclasses.replace(self, deepstream=folder, out=Path())
        return dataclasses.replace(self, out=folder / self.out.name)


def check_files(config: ExportConfig) -> None:
    """Refuses what cannot be read or written, before any work.

    Raises:
        FileNotFoundError: When the checkpoint or the folder of sequences is missing.
        ValueError: When the checkpoint cannot become the format, or a file stands where a folder must be, or a folder
            where the file must be.
    """
    allowed = "a .safetensors checkpoint"
    if config.format == "onnx-int8":
        allowed = "a .safetensors checkpoint or a float .onnx file"
    if config.ckpt.suffix != ".safetensors" and not (config.ckpt.suffix == ".onnx" and config.format == "onnx-int8"):
        other = ""
        if config.ckpt.suffix == ".onnx":
            other = (
                "; an .onnx file can become onnx-int8 only, and Embedder(FILE, provider=...) runs it as it is by "
                "onnxruntime, OpenVINO or TensorRT"
            )
        raise ValueError(f"ckpt: got {config.ckpt} for {config.format}, allowed: {allowed}{other}")
    if not config.ckpt.is_file():
        raise FileNotFoundError(f"{config.ckpt}: no such checkpoint")
    if config.out.is_dir():
        raise ValueError(f"out: got {config.out}, which is a folder, allowed: the name of a file")
    standing = next(folder for folder in config.out.absolute().parents if folder.exists())
    if not standing.is_dir():
        name = "out" if config.deepstream is None else "deepstream"
        raise ValueError(f"{name}: got {config.deepstream or config.out}, but {standing} is a file, allowed: a folder")
    if config.tracking is not None and not config.tracking.is_dir():
        raise FileNotFoundError(f"{config.tracking}: no such folder of sequences")
