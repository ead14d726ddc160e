"""TorchScript files run by torch."""

import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

from reid.data.images import Preprocessing
from reid.exported_card import CARD_KEY, read_exported_card
from reid.torch_backend import open_device


class TorchScriptBackend:
    """Runs a scripted network on uint8 batches.

    Args:
        script: Takes (N, 3, H, W), float32 (normalised) or uint8, and gives (N, D).
        preprocessing: Normalises the batches for a float32 input.
        input_kind: "float32" or "uint8".
        device: Where it runs.
        camera: The camera that the network was exported for, None when it knows none.
    """

    def __init__(
        self,
        script: torch.nn.Module,
        preprocessing: Preprocessing,
        input_kind: str,
        device: torch.device,
        camera: int | None = None,
    ) -> None:
        self.script = script
        self.preprocessing = preprocessing
        self.input_kind = input_kind
        self.device = device
        self.camera = camera
        self.protocol = "inductive"

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray, camids: np.ndarray | None = None) -> np.ndarray:
        """Maps uint8 (N, 3, H, W) to float32 (N, D); the embedder has compared camids with the camera inside."""
        images = batch if self.input_kind == "uint8" else self.preprocessing.normalise(batch)
        return self.script(torch.from_numpy(images).to(self.device)).float().cpu().numpy()


def open_torchscript(
    path: Path, device: str, preprocessing: Preprocessing | None
) -> tuple[TorchScriptBackend, Preprocessing, None]:
    """Opens a .torchscript file for embedding; its code runs, so it should come from someone you trust.

    Returns:
        The backend, the preprocessing (of the card inside, in the size that was given, or as given), and None: any
        batch size will do.

    Raises:
        ValueError: When the file is damaged, holds no card and no preprocessing is given, or there is no such GPU.
    """
    place = open_device(device)
    extra = {CARD_KEY: ""}
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: is no TorchScript file; copy it again, or export it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch has another format in mind
            script = torch.jit.load(str(path), map_location=place, _extra_files=extra)
    except RuntimeError as error:
        raise ValueError(
            f"{path}: torch cannot open it: {str(error).splitlines()[0]}; copy it again, or export it again"
        ) from error
    text = extra[CARD_KEY]
    if text:
        card = read_exported_card(text.decode() if isinstance(text, bytes) else text, path, preprocessing)
        found, kind, camera, protocol = card.preprocessing, card.input_kind or "float32", card.camera, card.protocol
    elif preprocessing is None:
        raise ValueError(f"{path}: has no card; give preprocessing=, or export it with python -m reid.export")
    else:
        found, kind, camera, protocol = preprocessing, "float32", None, "inductive"
    backend = TorchScriptBackend(script.eval(), found, kind, place, camera)
    backend.protocol = protocol
    return backend, found, None
