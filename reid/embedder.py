"""Crops in, L2-normalised embeddings out, whatever the format of the network."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid.cosine_limits import limit_at, read_calibration
from reid.data.images import Preprocessing
from reid.distances import cpu_threads
from reid.zoo_entries import resolve_source

# Maps uint8 (N, 3, H, W) and camids int64 (N,) or None to float (N, D).
Backend = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
PRECISIONS = ("fp32", "bf16", "fp16")
FORMATS = (".safetensors", ".onnx", ".xml", ".torchscript")


class Embedder:
    """Turns RGB crops of any size into embeddings of norm 1; threads may share it.

    Many threads with a few crops each are served better by one `reid.batching.Batcher` around it: it bounds what waits,
    and embeds that together.

    Args:
        source: A .safetensors checkpoint of this project, "zoo:NAME" for one of the zoo (`python -m reid.models.zoo
            list`), or a file that `python -m reid.export` wrote: .onnx, .xml (OpenVINO), .torchscript. An .onnx file of
            others must take (N, 3, H, W) with fixed H and W; ImageNet's mean and standard deviation are assumed then,
            or those given.
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:N".
        precision: "fp32", "bf16" or "fp16": autocast for checkpoints, the arithmetic of OpenVINO; "fp16" for
            TensorRT's. Other .onnx files and .torchscript files have their own.
        batch_size: Crops a forward pass.
        preprocessing: Overrides what the file says of itself.
        threads: CPU threads of an .onnx or .xml file, 1 to the number of cores; None takes one a core.
        camera: The camera of all crops, for a network that was trained with camera vectors. Networks without take it
            and give the same embeddings for every camera; an exported one has its camera inside and takes no other.
        provider: What runs an .onnx file, one of `reid.onnx_backend.PROVIDERS`.
        flip: Averages each crop with its mirror image, for twice the time.

    Attributes:
        preprocessing: What is applied to each crop.
        name: The file name, or "model".
        protocol: "transductive" when its card says that the network has learnt from test images, else "inductive".
        needs_cameras: Whether each call must say the cameras: the network has camera vectors and none was fixed.
        dimension: Numbers of an embedding; asked of the network with a black crop where nothing was embedded yet.

    Raises:
        FileNotFoundError: When the file is missing.
        ModuleNotFoundError: When OpenVINO is asked for and not installed.
        ValueError: When the file cannot be used; the message says why and what to do.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        device: str = "auto",
        precision: str = "fp32",
        batch_size: int = 32,
        preprocessing: Preprocessing | None = None,
        threads: int | None = None,
        camera: int | None = None,
        provider: str = "auto",
        flip: bool = False,
    ) -> None:
        path = resolve_source(source)
        if precision not in PRECISIONS:
            raise ValueError(f"precision: got {precision!r}, allowed: {', '.join(PRECISIONS)}")
        _check_source(path)
        if provider != "auto" and path.suffix != ".onnx":
            raise ValueError(f"provider: got {provider!r} for {path}, allowed: auto; the others run .onnx files")
        cpu_threads(threads)
        backend, found, fixed_batch = _open(path, device, precision, preprocessing, threads, provider, batch_size)
        self._set(backend, preprocessing or found, fixed_batch or batch_size, path.name, camera)
        self.flip = flip
        self._card: Path | None = path if preprocessing is None else None  # it tells of its own images

    @classmethod
    def from_model(
        cls,
        model: Any,
        preprocessing: Preprocessing,
        *,
        device: Any = "cpu",
        batch_size: int = 32,
        precision: str = "fp32",
        camera: int | None = None,
        flip: bool = False,
    ) -> "Embedder":
        """Wraps a `torch.nn.Module` that returns a `ReIDOutput`; the module is used as it is, not copied.

        Args:
            model: The module.
            preprocessing: What its input wants.
            device: By name, as above, or a device of torch.
            batch_size: Crops a forward pass.
            precision: As above.
            camera: The camera of all crops, as above.
            flip: As above.

        Raises:
            ValueError: When an option is none of these.
        """
        from reid.torch_backend import TorchBackend

        if precision not in PRECISIONS:
            raise ValueError(f"precision: got {precision!r}, allowed: {', '.join(PRECISIONS)}")
        embedder = cls.__new__(cls)
        embedder._set(TorchBackend(model, preprocessing, device, precision), preprocessing, batch_size, "model", camera)
        embedder.flip = flip
        return embedder

    def _set(
        self, backend: Backend, preprocessing: Preprocessing, batch_size: int, name: str, camera: int | None
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: got {batch_size}, allowed: 1 or more")
        num_cameras: int | None = getattr(backend, "num_cameras", None)
        baked: int | None = getattr(backend, "camera", None)
        if camera is not None and (camera < 0 or camera >= (num_cameras or np.inf)):
            raise ValueError(f"camera: got {camera}, allowed: 0 to {num_cameras - 1 if num_cameras else '...'}")
        if camera is not None and baked is not None and camera != baked:
            raise ValueError(f"camera: got {camera}, but {name} was exported for camera {baked}; export it again")
        self._backend = backend
        self.flip = False
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.name = name
        self.camera = camera
        self.protocol: str = getattr(backend, "protocol", "inductive")
        self._card = None
        self._dimension: int | None = None
        self.needs_cameras = bool(num_cameras) and camera is None

    @property
    def dimension(self) -> int:
        """Numbers of an embedding."""
        if self._dimension is None:
            black = [np.zeros((32, 16, 3), np.uint8)]
            self._dimension = int(self(black, [0] if self.needs_cameras else None).shape[1])
        return self._dimension

    def __call__(self, images: Sequence[np.ndarray], camids: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Embeds crops.

        Args:
            images: uint8 RGB arrays (H, W, 3) of any size. Crops of detectors, which may be empty or too small to tell
                anything, are better given to `reid.embed_boxes.embed_crops`: it flags them.
            camids: The camera of each crop, for a network that was trained with camera vectors; a network without
                gives the same embeddings with them.

        Returns:
            float32 (N, D) with rows of norm 1; (0, 0) for no images.

        Raises:
            ValueError: When an image is empty or of another type, when the network returns NaN or infinity, or when
                cameras are missing, unknown to the network, or given although one was fixed.
        """
        cameras = self._cameras(len(images), camids)
        if not len(images):
            return np.zeros((0, 0), np.float32)
        rows = []
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            batch = self.preprocessing.batch(images[part])
            rows.append(self._run(batch, None if cameras is None else cameras[part]))
        embeddings = np.concatenate(rows)
        broken = ~np.isfinite(embeddings).all(axis=1)
        if broken.any():
            raise ValueError(
                f"{self.name}: returned NaN or infinity for image {int(broken.argmax())} of {len(images)}; "
                "the weights are damaged or the precision is too low"
            )
        return _unit(embeddings)

    def _run(self, batch: np.ndarray, cameras: np.ndarray | None) -> np.ndarray:
        rows = np.asarray(self._backend(batch, cameras), np.float32)
        if rows.ndim != 2 or len(rows) != len(batch):
            raise ValueError(
                f"{self.name}: returned shape {rows.shape} for {len(batch)} images, allowed: (N, D), one embedding an "
                "image; is it a re-identification network? Export it up to its embedding, pooled and flattened"
            )
        if not self.flip:
            return rows
        # Both have norm 1 before they are added, whatever the file gives.
        mirrored = np.ascontiguousarray(batch[..., ::-1])
        return _unit(rows) + _unit(np.asarray(self._backend(mirrored, cameras), np.float32))

    def cosine_limit(self, fmr: float) -> float | None:
        """Returns the cosine distance below which this share of pairs of different people lies, by the card.

        Args:
            fmr: False match rate.

        Returns:
            None where the card says nothing (`python -m reid.calibrate` writes it there), or speaks of another
            preprocessing.

        Raises:
            ValueError: When the card says something, but not of this rate.
        """
        return None if self._card is None else read_cosine_limit(self._card, fmr)

    def _cameras(self, count: int, camids: Sequence[int] | np.ndarray | None) -> np.ndarray | None:
        """Returns the camera of each crop, int64 (count,), or None when nothing is known."""
        if camids is None:
            return None if self.camera is None else np.full(count, self.camera)
        cameras = np.asarray(camids, np.int64)
        if cameras.shape != (count,):
            raise ValueError(f"camids: got shape {cameras.shape}, allowed: ({count},), one an image")
        fixed = getattr(self._backend, "camera", None) if self.camera is None else self.camera
        if fixed is not None and (cameras != fixed).any():
            raise ValueError(
                f"camids: got {int(cameras[cameras != fixed][0])}, but {self.name} is fixed to camera {fixed}"
            )
        return cameras


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _check_source(path: Path) -> None:
    if path.suffix in (".engine", ".plan"):
        raise ValueError(
            f"{path}: a TensorRT engine fits one GPU, one version and the batch sizes that it was built for, and is "
            "not read here; give the .onnx file that it was built from, with provider='tensorrt'"
        )
    if path.suffix not in FORMATS:
        raise ValueError(f"{path}: got a {path.suffix or 'suffixless'} file, allowed: {', '.join(FORMATS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file; give the path of a .safetensors or an exported file")


def _open(
    path: Path,
    device: str,
    precision: str,
    preprocessing: Preprocessing | None,
    threads: int | None,
    provider: str,
    batch_size: int,
) -> tuple[Backend, Preprocessing, int | None]:
    """Opens a file with what runs it; returns also the only batch size that it takes, or None."""
    if path.suffix == ".safetensors":
        from reid.torch_backend import open_checkpoint

        return *open_checkpoint(path, device, precision), None
    if path.suffix == ".xml" or provider == "openvino":
        from reid.openvino_backend import open_openvino

        return open_openvino(path, device, preprocessing, threads, precision)
    if precision != "fp32" and (precision, provider) != ("fp16", "tensorrt"):
        raise ValueError(
            f"precision: got {precision!r} for {path}; the precision of an {path.suffix} file is its own, but for fp16 "
            "with provider='tensorrt'"
        )
    if path.suffix == ".torchscript":
        from reid.torchscript_backend import open_torchscript

        return open_torchscript(path, device, preprocessing)
    from reid.onnx_backend import open_onnx

    return open_onnx(path, device, preprocessing, threads, provider, precision, batch_size)


def read_cosine_limit(source: str | os.PathLike[str], fmr: float) -> float | None:
    """Returns what `Embedder.cosine_limit` would, without opening the network.

    Args:
        source: A .safetensors or an exported file, or "zoo:NAME".
        fmr: False match rate.

    Raises:
        FileNotFoundError: When the file is missing.
        ValueError: When the card says something, but not of this rate.
    """
    path = resolve_source(source)
    calibration = read_calibration(path)
    return None if calibration is None else limit_at(calibration, fmr, path.name)
