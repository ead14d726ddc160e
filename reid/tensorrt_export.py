"""Checkpoints for TensorRT: the ONNX file, the trtexec line that builds an engine, and the engine where trtexec is."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from reid.data.images import Preprocessing
from reid.export_onnx import DEFAULT_OPSET, Parity, export_onnx
from reid.torch_backend import load_model


def export_tensorrt(
    checkpoint: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    input_kind: str = "float32",
    camera: int | None = None,
    opset: int = DEFAULT_OPSET,
    fp16: bool = False,
    max_batch: int = 64,
) -> tuple[Parity, list[str]]:
    """Writes the ONNX file and, where TensorRT's trtexec is installed, builds the engine beside it.

    Args:
        checkpoint: A .safetensors checkpoint.
        path: The .onnx file; the engine has its name with the suffix .engine.
        input_kind: As in `reid.export_onnx.export_onnx`.
        camera: As there.
        opset: As there.
        fp16: Lets the engine compute in half precision; the ONNX file stays in float32, of which TensorRT rounds
            what it likes.
        max_batch: The largest batch of the engine.

    Returns:
        How near the ONNX file is to torch, and what to tell the user: that the engine was built, or that trtexec is
        missing and how to build it.

    Raises:
        ValueError: As `export_onnx`, and when trtexec fails; the message is its last error.
    """
    path = Path(path)
    parity = export_onnx(checkpoint, path, input_kind=input_kind, camera=camera, opset=opset)
    size = load_model(Path(checkpoint), with_classifier=False)[1].preprocessing
    line = trtexec_line(path, size, max_batch, fp16)
    if shutil.which(line[0]) is None:
        options = f"batch_size={max_batch}, precision='fp16'" if fp16 else f"batch_size={max_batch}"
        return parity, [
            "TensorRT is not installed here, so no engine was built: an engine fits one GPU and one version. On the "
            "machine that will run it:",
            shlex.join(line),
            f"or Embedder({path.name!r}, provider='tensorrt', {options}), which builds one when it opens the file",
        ]
    done = subprocess.run(line, capture_output=True, text=True)
    engine = path.with_suffix(".engine")
    if done.returncode != 0 or not engine.is_file():
        output = [text for text in (done.stdout + done.stderr).splitlines() if "[E]" in text] or ["no message"]
        raise ValueError(f"{path}: trtexec could not build an engine: {output[-1].strip()}")
    return parity, [f"built {engine} with:", shlex.join(line)]


def trtexec_line(path: Path, size: Preprocessing, max_batch: int, fp16: bool) -> list[str]:
    """Returns the command that builds an engine for batches of 1 to max_batch, tuned for a quarter of it."""
    image = f"3x{size.height}x{size.width}"
    batches = {"min": 1, "opt": max(1, max_batch // 4), "max": max_batch}
    shapes = [f"--{name}Shapes=images:{batch}x{image}" for name, batch in batches.items()]
    line = ["trtexec", f"--onnx={path}", f"--saveEngine={path.with_suffix('.engine')}", *shapes]
    return [*line, "--fp16"] if fp16 else line
