"""OpenVINO networks, and ONNX files run by OpenVINO."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.images import Preprocessing
from reid.devices import parse_device
from reid.distances import cpu_threads
from reid.exported_card import CARD_KEY
from reid.onnx_backend import check_layout, check_output, find_card, missing_weights, reason

CARD_PATH = ("reid", CARD_KEY)  # of the runtime information of an .xml file
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVinoBackend:
    """Runs a compiled network on uint8 batches, from as many threads as wish.

    Args:
        compiled: Takes one input (N, 3, H, W), float32 (normalised) or uint8; its first output is (N, D).
        preprocessing: Normalises the batches for a float32 input.
        fixed_batch: The only batch size that it takes, None when any will do.
        camera: The camera that the network was exported for, None when it knows none.
    """

    def __init__(
        self, compiled: Any, preprocessing: Preprocessing, fixed_batch: int | None, camera: int | None = None
    ) -> None:
        self.compiled = compiled
        self.preprocessing = preprocessing
        self.fixed_batch = fixed_batch
        self.camera = camera
        self.protocol = "inductive"
        self.takes_float = compiled.input(0).element_type.get_type_name() == "f32"
        self._local = threading.local()  # a request serves one thread at a time

    def __call__(self, batch: np.ndarray, camids: np.ndarray | None = None) -> np.ndarray:
        """Maps uint8 (N, 3, H, W) to float32 (N, D); the embedder has compared camids with the camera inside."""
        count = len(batch)
        if self.fixed_batch and count < self.fixed_batch:
            batch = np.concatenate([batch, np.repeat(batch[-1:], self.fixed_batch - count, axis=0)])
        if self.takes_float:
            batch = self.preprocessing.normalise(batch)
        if not hasattr(self._local, "request"):
            self._local.request = self.compiled.create_infer_request()
        # The images stay where they are until the call is over: OpenVINO need not copy them.
        result = self._local.request.infer({0: np.ascontiguousarray(batch)}, share_inputs=True)
        rows = np.array(result[self.compiled.output(0)])
        return rows[:count] if count < len(batch) else rows  # rows that no image asked for are the embedder's to refuse


def open_openvino(
    path: Path, device: str, preprocessing: Preprocessing | None, threads: int | None, precision: str = "fp32"
) -> tuple[OpenVinoBackend, Preprocessing, int | None]:
    """Opens an .xml or .onnx file with OpenVINO, on the CPU.

    Args:
        path: The file; the .bin of an .xml lies beside it.
        device: "auto" or "cpu".
        preprocessing: As for `reid.onnx_backend.open_onnx`.
        threads: At most one a core; None takes one a core.
        precision: "fp32", or "bf16" and "fp16" where the processor has instructions for them; layers that are int8 in
            the file stay so.

    Returns:
        As `reid.onnx_backend.open_onnx`.

    Raises:
        ModuleNotFoundError: When OpenVINO is not installed.
        ValueError: When the file cannot be used, or the device is another.
    """
    core = _core()
    if parse_device(device)[0] == "cuda":
        raise ValueError(f"device: got {device!r} for OpenVINO, allowed: auto, cpu")
    model = _read(core, path)
    entries = [(entry.any_name, [_dimension(d) for d in entry.partial_shape]) for entry in model.inputs]
    check_layout(path, entries)
    shape = entries[0][1]
    kind = model.input(0).element_type.get_type_name()
    if kind not in ("f32", "u8"):
        raise ValueError(f"{path}: got input of type {kind}, allowed: f32, u8")
    output = model.output(0)
    known = output.partial_shape.rank.is_static
    check_output(
        path,
        output.any_name if output.names else "0",
        [_dimension(d) for d in output.partial_shape] if known else None,
    )
    card = find_card(_card(model, path), path, preprocessing, shape)
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": cpu_threads(threads),
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINTS[precision],  # OpenVINO would take bf16 of itself on some processors
        },
    )
    fixed_batch = shape[0] if isinstance(shape[0], int) else None
    backend = OpenVinoBackend(compiled, card.preprocessing, fixed_batch, card.camera)
    backend.protocol = card.protocol
    return backend, card.preprocessing, fixed_batch


def _core() -> Any:
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("OpenVINO is not installed; pip install openvino") from error
    return openvino.Core()


def _read(core: Any, path: Path) -> Any:
    weights = path.with_suffix(".bin")
    if path.suffix == ".xml" and not weights.is_file():
        raise ValueError(
            f"{path}: its weights, {weights.name}, are not in {path.parent}; copy both files, or export it again"
        )
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        missing = missing_weights(path) if path.suffix == ".onnx" else []
        if missing:
            raise ValueError(
                f"{path}: its weights are kept apart, in {', '.join(missing)}, which is not in {path.parent}; copy it "
                "there, or export again with the weights inside"
            ) from error
        raise ValueError(f"{path}: OpenVINO cannot open it: {reason(error, -1)}; copy it or export it again") from error


def _dimension(dimension: Any) -> int | str:
    return dimension.get_length() if dimension.is_static else "?"


def _card(model: Any, path: Path) -> str | None:
    if path.suffix == ".onnx":
        from reid.cosine_limits import onnx_card

        return onnx_card(path)
    keys = list(CARD_PATH)
    return model.get_rt_info(keys).astype(str) if model.has_rt_info(keys) else None
