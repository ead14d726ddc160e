"""Checkpoints for DeepStream: what a secondary Gst-nvinfer needs to give an embedding of every detected person."""

import dataclasses
import os
import shlex
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reid.data.images import Preprocessing
from reid.export_network import Exportable, load_exportable
from reid.export_onnx import DEFAULT_OPSET, Parity, write_checked_onnx
from reid.files import write_text
from reid.tensorrt_export import trtexec_line

MODEL_NAME = "model.onnx"
CONFIG_NAME = "config_infer_secondary_reid.txt"
LABELS_NAME = "labels.txt"


class ChannelScale(nn.Module):
    """Divides each channel of the images by its standard deviation before the network.

    nvinfer knows one offset a channel, but one scale for all: y = net-scale-factor * (x - offset).

    Args:
        model: Returns a `ReIDOutput`.
        preprocessing: Of the network.
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor, camera: torch.Tensor | None = None) -> Any:
        """Maps x / 255 - mean (N, 3, H, W) to what the model returns."""
        return self.model(images / self.std, camera)  # type: ignore[operator]


def export_deepstream(
    checkpoint: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    camera: int | None = None,
    opset: int = DEFAULT_OPSET,
    fp16: bool = False,
    max_batch: int = 64,
) -> tuple[Parity, list[str]]:
    """Writes model.onnx, config_infer_secondary_reid.txt and labels.txt.

    The graph takes x / 255 - mean in RGB, which nvinfer makes with net-scale-factor 1 / 255 and offsets 255 * mean;
    the division by the standard deviation of each channel is in the graph. Its card says so (std is 1), and `Embedder`
    reads the same file.

    Args:
        checkpoint: A .safetensors checkpoint.
        folder: Where the three go.
        camera: As in `reid.export_onnx.export_onnx`.
        opset: As there; TensorRT 8 knows 17 at most.
        fp16: Lets the engine compute in half precision; the ONNX file stays in float32.
        max_batch: Crops of a batch, of the configuration and of the engine alike.

    Returns:
        How near the ONNX file is to torch, and what to tell the user.

    Raises:
        ValueError: As `export_onnx`.
    """
    folder = Path(folder)
    network = _scaled(load_exportable(checkpoint, camera=camera))
    parity = write_checked_onnx(network, folder / MODEL_NAME, opset, 0.9999, checkpoint)
    size = network.card.preprocessing
    write_text(folder / LABELS_NAME, "person\n")
    write_text(folder / CONFIG_NAME, deepstream_config(size, max_batch, fp16))
    line = trtexec_line(folder / MODEL_NAME, size, max_batch, fp16)
    engine = folder / engine_name(max_batch, fp16)
    line = [f"--saveEngine={engine}" if part.startswith("--saveEngine") else part for part in line]
    return parity, [
        f"nvinfer builds {engine.name} when it first starts with {CONFIG_NAME}; or, on the machine that runs it:",
        shlex.join(line),
    ]


def engine_name(max_batch: int, fp16: bool) -> str:
    """Returns the file name under which nvinfer looks for, and keeps, the engine of model.onnx on the first GPU."""
    return f"{MODEL_NAME}_b{max_batch}_gpu0_{'fp16' if fp16 else 'fp32'}.engine"


def deepstream_config(preprocessing: Preprocessing, max_batch: int, fp16: bool) -> str:
    """Returns the configuration of Gst-nvinfer.

    Args:
        preprocessing: Of the graph: its std must be 1.
        max_batch: Crops of a batch.
        fp16: Half precision.

    Raises:
        ValueError: When the batch is below 1 or the std is not 1.
    """
    if max_batch < 1:
        raise ValueError(f"max_batch: got {max_batch}, allowed: 1 or more")
    if preprocessing.std != (1.0, 1.0, 1.0):
        raise ValueError(f"std: got {preprocessing.std}, allowed: 1 for each channel; nvinfer has one scale for all")
    offsets = ";".join(repr(255.0 * mean) for mean in preprocessing.mean)
    return f"""\
# Embeddings of people, one of norm 1 for each object, as NvDsInferTensorMeta among the object's user metadata.
# Paths are relative to this file.
[property]
gpu-id=0
gie-unique-id=2
# Works on the objects of the primary detector; class 0 is the person of COCO and of PeopleNet.
process-mode=2
operate-on-gie-id=1
operate-on-class-ids=0
onnx-file={MODEL_NAME}
model-engine-file={engine_name(max_batch, fp16)}
labelfile-path={LABELS_NAME}
batch-size={max_batch}
# 0 is FP32, 2 is FP16.
network-mode={2 if fp16 else 0}
# No detector and no classifier: nvinfer parses nothing and hands the output on.
network-type=100
output-tensor-meta=1
output-blob-names=embeddings
# RGB, stretched to the size of the network with bilinear interpolation, then net-scale-factor * (x - offset).
model-color-format=0
infer-dims=3;{preprocessing.height};{preprocessing.width}
maintain-aspect-ratio=0
scaling-filter=1
net-scale-factor={1 / 255!r}
offsets={offsets}
# Each object in each frame, also where a tracker knows it from frames before.
secondary-reinfer-interval=0
"""


def _scaled(network: Exportable) -> Exportable:
    """Moves the division by the standard deviation into the graph."""
    size = network.card.preprocessing
    for part in (network.written, network.reference):
        part.model = ChannelScale(part.model, size).eval()
    card = dataclasses.replace(network.card, preprocessing=dataclasses.replace(size, std=(1.0, 1.0, 1.0)))
    return dataclasses.replace(network, card=card)
