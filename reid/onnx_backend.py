"""ONNX files run by onnxruntime, those of others included."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from reid.data.images import Preprocessing
from reid.devices import parse_device
from reid.distances import cpu_threads
from reid.exported_card import CARD_KEY, ExportedCard, read_exported_card
from reid.onnx_kernels import fit_to_cpu
from reid.tensorrt_provider import Engine, engine_options

__all__ = [
    "CARD_KEY",
    "PROVIDERS",
    "OnnxBackend",
    "check_layout",
    "check_output",
    "find_card",
    "missing_weights",
    "open_onnx",
    "open_session",
    "reason",
]

# What runs an .onnx file; "openvino" is reid.openvino_backend, the others are onnxruntime's.
PROVIDERS = ("auto", "cpu", "cuda", "tensorrt", "openvino")
_NAMES = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class OnnxBackend:
    """Runs an ONNX session on uint8 batches.

    Args:
        session: Takes one input (N, 3, H, W), float32 (normalised) or uint8; its first output is (N, D).
        preprocessing: Normalises the batches for a float32 input.
        fixed_batch: The only batch size that the session takes, None when any will do.
        camera: The camera that the network was exported for, None when it knows none.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        preprocessing: Preprocessing,
        fixed_batch: int | None,
        camera: int | None = None,
    ) -> None:
        self.session = session
        self.preprocessing = preprocessing
        self.fixed_batch = fixed_batch
        self.camera = camera
        self.protocol = "inductive"
        self.input = session.get_inputs()[0]

    def __call__(self, batch: np.ndarray, camids: np.ndarray | None = None) -> np.ndarray:
        """Maps uint8 (N, 3, H, W) to float32 (N, D); the embedder has compared camids with the camera inside."""
        count = len(batch)
        if self.fixed_batch and count < self.fixed_batch:
            batch = np.concatenate([batch, np.repeat(batch[-1:], self.fixed_batch - count, axis=0)])
        if self.input.type == "tensor(float)":
            batch = self.preprocessing.normalise(batch)
        rows = self.session.run([self.session.get_outputs()[0].name], {self.input.name: batch})[0]
        return rows[:count] if count < len(batch) else rows  # rows that no image asked for are the embedder's to refuse


def open_session(
    path: Path, device: str, threads: int | None, provider: str = "auto", engine: Engine | None = None
) -> ort.InferenceSession:
    """Opens an ONNX file; one in 8 bits is given faster kernels on the CPU (`reid.onnx_kernels`).

    Args:
        path: The file.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: Of the CPU, at most one a core; None takes one a core.
        provider: "auto" takes CUDA where the device allows it and onnxruntime has it, otherwise the CPU. "tensorrt"
            builds an engine, or finds the one of an earlier time beside the file.
        engine: What "tensorrt" builds for, now; None leaves shapes that are open to the first batch.

    Raises:
        ValueError: When the file is damaged, its external weights are missing, threads are out of range, or a provider
            is asked for and absent.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = cpu_threads(threads)
    options.inter_op_num_threads = 1
    # Threads that spin after a run slow torch down a hundred times in the same process.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = _providers(path, device, provider, engine)
    fitted = fit_to_cpu(path) if providers == ["CPUExecutionProvider"] else None
    try:
        session = ort.InferenceSession(str(path) if fitted is None else fitted, options, providers=providers)
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        missing = missing_weights(path)
        if missing:
            raise ValueError(
                f"{path}: its weights are kept apart, in {', '.join(missing)}, which is not in {path.parent}; copy it "
                "there, or export again with the weights inside"
            ) from error
        raise ValueError(
            f"{path}: onnxruntime cannot open it: {reason(error, 0)}; copy it or export it again"
        ) from error
    # onnxruntime falls back to the CPU without an error.
    wanted = _NAMES.get(provider, _NAMES["cuda"] if parse_device(device)[0] == "cuda" else None)
    if wanted is not None and wanted not in session.get_providers():
        raise ValueError(_absent(device, provider))
    return session


def reason(error: Exception, line: int) -> str:
    """Returns a line of an error, among those that are not empty."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    return lines[line] if lines else "it gives no reason"


def _providers(path: Path, device: str, provider: str, engine: Engine | None = None) -> list[Any]:
    if provider not in PROVIDERS:
        raise ValueError(f"provider: got {provider!r}, allowed: {', '.join(PROVIDERS)}")
    kind, index = parse_device(device)
    if provider == "cpu" and kind == "cuda":
        raise ValueError(f"device: got {device!r} for provider cpu, allowed: auto, cpu")
    if provider in _NAMES and kind == "cpu":
        raise ValueError(f"device: got 'cpu' for provider {provider}, allowed: auto, cuda, cuda:N")
    here = ort.get_available_providers()
    cuda: tuple[str, dict[str, Any]] = (_NAMES["cuda"], {"device_id": index})
    found: list[Any] = ["CPUExecutionProvider"]
    if provider != "cpu" and kind != "cpu" and _NAMES["cuda"] in here:
        found.insert(0, cuda)
    if provider == "tensorrt" and _NAMES["tensorrt"] in here:
        cache = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(path.parent)}
        options = cache if engine is None else engine_options(path, engine)
        found.insert(0, (_NAMES["tensorrt"], {"device_id": index} | options))
    if provider in _NAMES and _NAMES[provider] not in here:
        raise ValueError(_absent(device, provider))
    return found


def _absent(device: str, provider: str) -> str:
    if provider == "tensorrt":
        return (
            "provider: got 'tensorrt', but onnxruntime has no TensorRT here; install onnxruntime-gpu and tensorrt, or "
            "use cpu"
        )
    asked = f"provider: got {provider!r}" if provider == "cuda" else f"device: got {device!r}"
    return f"{asked}, but onnxruntime has no CUDA here; install onnxruntime-gpu or use cpu"


def missing_weights(path: Path) -> list[str]:
    """Returns the files of external weights that an ONNX file names and that are not there."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError):
        return []
    places = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return sorted(place for place in places if not (path.parent / place).is_file())


def open_onnx(
    path: Path,
    device: str,
    preprocessing: Preprocessing | None,
    threads: int | None,
    provider: str = "auto",
    precision: str = "fp32",
    batch_size: int = 32,
) -> tuple[OnnxBackend, Preprocessing, int | None]:
    """Opens an ONNX file for embedding.

    Args:
        path: The file.
        device: As for `open_session`.
        preprocessing: Of the images; None takes the card's, or ImageNet's in the size of the input.
        threads: As for `open_session`.
        provider: As there.
        precision: "fp16" lets TensorRT's engine compute in half precision.
        batch_size: The largest batch of TensorRT's engine.

    Returns:
        The backend, the preprocessing (of the card inside, in the size that was given, if any; given; or assumed from
        the input's shape), and the only batch size that it takes, or None.

    Raises:
        ValueError: When the input is not one (N, 3, H, W) or its size is unknown, or the output is not (N, D).
    """
    engine = _engine(path, preprocessing, batch_size, precision == "fp16") if provider == "tensorrt" else None
    session = open_session(path, device, threads, provider, engine)
    inputs = session.get_inputs()
    shape = inputs[0].shape if inputs else []
    check_layout(path, [(entry.name, entry.shape) for entry in inputs])
    if inputs[0].type not in ("tensor(float)", "tensor(uint8)"):
        raise ValueError(f"{path}: got input of type {inputs[0].type}, allowed: tensor(float), tensor(uint8)")
    output = session.get_outputs()[0]
    check_output(path, output.name, output.shape or None)  # [] when the file does not say
    metadata = session.get_modelmeta().custom_metadata_map
    card = find_card(metadata.get(CARD_KEY), path, preprocessing, shape)
    fixed_batch = shape[0] if isinstance(shape[0], int) else None
    backend = OnnxBackend(session, card.preprocessing, fixed_batch, card.camera)
    backend.protocol = card.protocol
    return backend, card.preprocessing, fixed_batch


def _engine(path: Path, preprocessing: Preprocessing | None, batch_size: int, fp16: bool) -> Engine | None:
    """Reads what an engine is built for from the file; None for one that onnxruntime is to complain of."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        return None
    values = {entry.name for entry in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in values]
    dimensions = [entry.type.tensor_type.shape.dim for entry in inputs]
    shapes = [[one.dim_value if one.HasField("dim_value") else one.dim_param for one in own] for own in dimensions]
    check_layout(path, [(entry.name, shape) for entry, shape in zip(inputs, shapes, strict=True)])
    text = next((entry.value for entry in model.metadata_props if entry.key == CARD_KEY), None)
    size = find_card(text, path, preprocessing, shapes[0]).preprocessing
    return Engine(inputs[0].name, shapes[0], size, batch_size, fp16)


def find_card(text: str | None, path: Path, preprocessing: Preprocessing | None, shape: list[Any]) -> ExportedCard:
    """Returns what is known of a file: by its card, by what was given, or by the shape of its input.

    Raises:
        ValueError: When none of them tells the size, or it is not the size that the file takes.
    """
    height, width = shape[2:]
    if text is not None:
        card = read_exported_card(text, path, preprocessing)
    elif preprocessing is not None:
        card = ExportedCard(preprocessing)
    elif isinstance(height, int) and isinstance(width, int):
        card = ExportedCard(Preprocessing(height=height, width=width))
    else:
        raise ValueError(f"{path}: has no card and no fixed input size ({shape}); give preprocessing=")
    size = (card.preprocessing.height, card.preprocessing.width)
    if any(isinstance(own, int) and own != asked for own, asked in zip((height, width), size, strict=True)):
        raise ValueError(
            f"{path}: takes images of {height} x {width} and got a preprocessing of {size[0]} x {size[1]}; leave "
            "preprocessing= out, or export the checkpoint again in this size"
        )
    return card


def check_layout(path: Path, inputs: list[tuple[str, list[Any]]]) -> None:
    """Refuses a network that does not take one batch of images, channels first.

    Args:
        path: The file, for the message.
        inputs: Names and shapes; what is no int there is open.

    Raises:
        ValueError: When it takes something else; the message says what to do.
    """
    shape = inputs[0][1] if len(inputs) == 1 else []
    if len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int)):
        return
    remedy = ""
    if len(shape) == 4 and shape[3] == 3:
        remedy = "; its channels come last: export it with channels first (NCHW)"
    elif len(inputs) > 1:
        remedy = "; export it with the other inputs fixed"
    raise ValueError(f"{path}: got inputs {inputs}, allowed: one of shape (N, 3, H, W){remedy}")


def check_output(path: Path, name: str, shape: Sequence[Any] | None) -> None:
    """Refuses a network that does not give one embedding an image, as detectors and backbones without a head do.

    Args:
        path: The file, for the message.
        name: Of the output.
        shape: Of the output; None when it is unknown.

    Raises:
        ValueError: When it is not (N, D).
    """
    if shape is None or len(shape) == 2:
        return
    raise ValueError(
        f"{path}: got output {name} of shape ({', '.join(map(str, shape))}), allowed: (N, D), one embedding an image; "
        "is it a re-identification network? Export it up to its embedding, pooled and flattened"
    )
