"""ONNX files run by onnxruntime, those of others included."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from reid.data.images import Preprocessing
from reid.devices import parse_device
from reid.distances import available_threads
from reid.records import training_protocol

CARD_KEY = "card"


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
        return self.session.run([self.session.get_outputs()[0].name], {self.input.name: batch})[0][:count]


def open_session(path: Path, device: str, threads: int | None) -> ort.InferenceSession:
    """Opens an ONNX file.

    Raises:
        ValueError: When the file is damaged, its external weights are missing, or CUDA is asked for and absent.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or available_threads()
    # Threads that spin after a run slow torch down a hundred times in the same process.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    kind, index = parse_device(device)
    providers: list[Any] = ["CPUExecutionProvider"]
    if kind != "cpu" and "CUDAExecutionProvider" in ort.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": index}))
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        missing = _missing_weights(path)
        if missing:
            raise ValueError(
                f"{path}: its weights are kept apart, in {', '.join(missing)}, which is not in {path.parent}; copy it "
                "there, or export again with the weights inside"
            ) from error
        raise ValueError(
            f"{path}: onnxruntime cannot open it: {str(error).splitlines()[0]}; copy it or export it again"
        ) from error
    # onnxruntime falls back to the CPU without an error.
    if kind == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise ValueError(
            f"device: got {device!r}, but onnxruntime has no CUDA here; install onnxruntime-gpu or use cpu"
        )
    return session


def _missing_weights(path: Path) -> list[str]:
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
    path: Path, device: str, preprocessing: Preprocessing | None, threads: int | None
) -> tuple[OnnxBackend, Preprocessing, int | None]:
    """Opens an ONNX file for embedding.

    Returns:
        The backend, the preprocessing (of the card inside, in the size that was given, if any; given; or assumed from
        the input's shape), and the only batch size that it takes, or None.

    Raises:
        ValueError: When the input is not one (N, 3, H, W) or its size is unknown.
    """
    session = open_session(path, device, threads)
    inputs = session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or (shape[1] not in (3, None) and isinstance(shape[1], int)):
        raise ValueError(
            f"{path}: got inputs {[(i.name, i.shape) for i in inputs]}, allowed: one of shape (N, 3, H, W)"
        )
    if inputs[0].type not in ("tensor(float)", "tensor(uint8)"):
        raise ValueError(f"{path}: got input of type {inputs[0].type}, allowed: tensor(float), tensor(uint8)")
    metadata = session.get_modelmeta().custom_metadata_map
    camera, protocol = None, "inductive"
    if CARD_KEY in metadata:
        try:
            card = json.loads(metadata[CARD_KEY])
            camera = card.get("options", {}).get("camera")
            protocol = training_protocol(card.get("scores", []))
            found = Preprocessing.from_dict(card["preprocessing"])
            # As for checkpoints: another size, but the mean and deviation that the network was trained with.
            size = preprocessing or found
            preprocessing = dataclasses.replace(found, height=size.height, width=size.width)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if preprocessing is None:
                raise ValueError(f"{path}: its card cannot be read ({error}); give preprocessing=") from error
    if preprocessing is None:
        if not isinstance(shape[2], int) or not isinstance(shape[3], int):
            raise ValueError(f"{path}: has no card and no fixed input size ({shape}); give preprocessing=")
        preprocessing = Preprocessing(height=shape[2], width=shape[3])
    fixed_batch = shape[0] if isinstance(shape[0], int) else None
    backend = OnnxBackend(session, preprocessing, fixed_batch, camera)
    backend.protocol = protocol
    return backend, preprocessing, fixed_batch
