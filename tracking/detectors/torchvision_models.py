"""Detectors of torchvision with weights from a local file."""

import importlib.metadata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tracking.detections import Detections
from tracking.detectors.base import Detector, DetectorOptions, torch_device, weights_digest

PERSON = 1  # class of COCO as torchvision counts it; 0 is the background
MAX_OBJECTS = 1000  # of all classes, in one image
RANDOM = "random"  # in place of weights: a network of random weights, for tests


@dataclass
class TorchvisionDetector:
    """A network of torchvision.models.detection, loaded by the first call."""

    model: str
    weights: str
    confidence: float
    size: int | None
    device: str
    identity: str
    needs_images: bool = True
    _network: Any = field(default=None, repr=False)

    def __call__(self, image: np.ndarray | None, frame: int = 0) -> Detections:
        """Returns the people in an image, uint8 RGB (H, W, 3)."""
        if image is None:
            raise ValueError("image: got None, allowed: uint8 (H, W, 3)")
        import torch

        if self._network is None:
            self._network = self._load()
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(torch_device(self.device))
        with torch.inference_mode():
            found = self._network([tensor.float() / 255])[0]
        keep = (found["labels"] == PERSON) & (found["scores"] >= self.confidence)
        boxes, scores = found["boxes"][keep].float().cpu().numpy(), found["scores"][keep].float().cpu().numpy()
        return Detections.from_raw(boxes, scores)[0]

    def _load(self) -> Any:
        import torch
        from torchvision.models import get_model

        if self.weights == RANDOM:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                network = get_model(self.model, weights=None, weights_backbone=None)
        else:
            state = _read_state(Path(self.weights))
            network = get_model(self.model, weights=None, weights_backbone=None, num_classes=_classes(state))
            try:
                network.load_state_dict(state)
            except RuntimeError as error:
                raise ValueError(f"{self.weights}: these are not weights of {self.model} ({error})") from error
        if self.size is not None:
            if getattr(network.transform, "fixed_size", None) is not None:
                raise ValueError(f"detector size: got {self.size}, but {self.model} has an input of fixed size")
            network.transform.min_size, network.transform.max_size = (self.size,), self.size
        part: Any = network if hasattr(network, "score_thresh") else network.roi_heads
        part.score_thresh, part.detections_per_img = self.confidence, MAX_OBJECTS
        return network.eval().to(torch_device(self.device))


def _read_state(path: Path) -> dict[str, Any]:
    """Returns a state dict without running any code that the file may hold."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: not a readable .safetensors file ({error})") from error
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise ValueError(f"{path}: no weights that can be read without running code ({error})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: got a {type(state).__name__}, allowed: a state dict")
    return dict(state.get("model", state))


def _classes(state: dict[str, Any]) -> int:
    """Returns the number of classes of a Faster R-CNN's weights, 91 (COCO) where they do not tell."""
    head = state.get("roi_heads.box_predictor.cls_score.weight")
    return 91 if head is None else int(head.shape[0])


def open_torchvision(argument: str, options: DetectorOptions) -> Detector:
    """Builds the detector.

    Args:
        argument: "MODEL=WEIGHTS": a name of torchvision's detection models (fasterrcnn_resnet50_fpn, ...) and a .pth
            or .safetensors file of its state dict, class 1 people; "MODEL=random" has random weights.
        options: `confidence` (default 0.1, since trackers use weak detections), `size` (default: the network's),
            `device`.

    Raises:
        ValueError: When the model is unknown, or the weights are not there.
    """
    options.refuse("torchvision", "overlap")
    from torchvision.models import detection, list_models

    known = list_models(module=detection)
    model, _, weights = argument.partition("=")
    if model not in known:
        raise ValueError(
            f"detector: got torchvision:{argument}, allowed: torchvision:MODEL=WEIGHTS, {', '.join(known)}"
        )
    if weights != RANDOM and not Path(weights).is_file():
        raise ValueError(f"detector: got torchvision:{argument}, allowed: {model}=FILE.pth, a file on this machine")
    confidence = 0.1 if options.confidence is None else options.confidence
    digest = RANDOM if weights == RANDOM else weights_digest(Path(weights))
    version = importlib.metadata.version("torchvision")
    identity = f"torchvision {version} {model} {digest} {confidence} {options.size}"
    return TorchvisionDetector(model, weights, confidence, options.size, options.device, identity)
