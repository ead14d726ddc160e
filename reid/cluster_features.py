"""What a trained network says of images that are about to be clustered: embeddings, features, classifier inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from reid.data.base import Sample
from reid.data.crops import load_crop
from reid.data.images import Preprocessing


@dataclass(frozen=True)
class ClusterableFeatures:
    """One row a readable image.

    Attributes:
        embeddings: float32 (N, D), as retrieval compares them, not normalised.
        features: float32 (N, F) before BNNeck.
        classifier_inputs: Name of each module of the network that has a classifier and can grow it, to what that
            classifier was given, float32 (N, C).
        usable: bool (M,), M >= N: which of the images could be read.
    """

    embeddings: np.ndarray
    features: np.ndarray
    classifier_inputs: dict[str, np.ndarray]
    usable: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["ClusterableFeatures"]) -> "ClusterableFeatures":
        """Puts the parts of several processes together; parts without a readable image have no rows."""
        full = [part for part in parts if len(part.embeddings)] or list(parts[:1])
        return cls(
            np.concatenate([part.embeddings for part in full]),
            np.concatenate([part.features for part in full]),
            {
                name: np.concatenate([part.classifier_inputs[name] for part in full])
                for name in full[0].classifier_inputs
            },
            np.concatenate([part.usable for part in parts]),
        )


@torch.inference_mode()
def embed_for_clusters(
    model: nn.Module, samples: Sequence[Sample], preprocessing: Preprocessing, device: torch.device, batch_size: int
) -> ClusterableFeatures:
    """Runs the network in evaluation mode; images that cannot be read are left out.

    Args:
        model: Maps float32 (B, 3, H, W) and camids int64 (B,) to a `ReIDOutput`.
        samples: The images; a network with camera vectors needs cameras that it knows.
        preprocessing: What the input wants.
        device: Where the network is.
        batch_size: Images a forward pass.

    Raises:
        ValueError: When the network returns NaN or infinity.
    """
    heads = {name: module for name, module in model.named_modules() if _grows(module)}
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in ("embeddings", "features", *heads)}

    def keep(name: str) -> Any:
        return lambda _, inputs: outputs[name].append(inputs[0].float().cpu().numpy())

    hooks = [head.classifier.register_forward_pre_hook(keep(name)) for name, head in heads.items()]
    was_training = model.training
    model.eval()
    usable = np.zeros(len(samples), bool)
    try:
        for start in range(0, len(samples), batch_size):
            images, camids = _read(samples[start : start + batch_size], usable[start : start + batch_size])
            if not images:
                continue
            batch = torch.from_numpy(preprocessing.normalise(preprocessing.batch(images))).to(device)
            output = model(batch.contiguous(memory_format=torch.channels_last), torch.tensor(camids, device=device))
            for name in ("embeddings", "features"):
                outputs[name].append(getattr(output, name).float().cpu().numpy())
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    found = {name: np.concatenate(rows) if rows else np.zeros((0, 0), np.float32) for name, rows in outputs.items()}
    if not np.isfinite(found["embeddings"]).all():
        raise ValueError("continual training: the network returned NaN or infinity; its weights are damaged")
    return ClusterableFeatures(found.pop("embeddings"), found.pop("features"), found, usable)


def _grows(module: nn.Module) -> bool:
    return callable(getattr(module, "grow", None)) and isinstance(getattr(module, "classifier", None), nn.Module)


def _read(samples: Sequence[Sample], usable: np.ndarray) -> tuple[list[np.ndarray], list[int]]:
    """Returns images and cameras of the samples that can be read, and marks these in `usable`."""
    images, camids = [], []
    for position, sample in enumerate(samples):
        try:
            images.append(load_crop(sample))
        except (ValueError, OSError):
            continue
        camids.append(sample.camid)
        usable[position] = True
    return images, camids
