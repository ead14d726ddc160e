"""Checkpoints: weights as safetensors with a card inside, and the same card as JSON beside it for people."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from reid.data.images import Preprocessing
from reid.files import atomic_path, write_json
from reid.zoo_entries import resolve_source

CARD_KEY = "card"


@dataclasses.dataclass(frozen=True)
class Card:
    """What a model file says of itself.

    Attributes:
        backbone: Name for `reid.models.build_model`.
        options: Options for it.
        num_classes: Rows of the classifier; 0 without one.
        embedding_size: D of the embeddings.
        preprocessing: How a crop becomes the input.
        input_kind: "float32", normalised already, or "uint8", with the normalisation inside the network.
        config: The training configuration.
        commit: Commit of the code that wrote the file.
        scores: Score records (`reid.records`), each with its protocol.
        calibration: Cosine distances of false match rates (`reid.calibration`), None where nobody looked for them.
    """

    backbone: str
    options: dict[str, Any]
    num_classes: int
    embedding_size: int
    preprocessing: Preprocessing
    input_kind: str = "float32"
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    commit: str = "unknown"
    scores: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    calibration: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the card as JSON knows it."""
        return dataclasses.asdict(self) | {"preprocessing": self.preprocessing.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> "Card":
        """Builds a card from what `to_dict` returned.

        Raises:
            ValueError: When a field is missing or unknown; the message begins with `where`.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        required = {"backbone", "options", "num_classes", "embedding_size", "preprocessing"}
        if set(values) - names or required - set(values):
            raise ValueError(
                f"{where}: the card has unknown fields {sorted(set(values) - names)} and lacks "
                f"{sorted(required - set(values))}; it was written by another version"
            )
        try:
            return cls(**values | {"preprocessing": Preprocessing.from_dict(values["preprocessing"])})
        except ValueError as error:
            raise ValueError(f"{where}: the card is damaged: {error}") from error


def save_checkpoint(path: str | os.PathLike[str], state: dict[str, torch.Tensor], card: Card) -> None:
    """Writes weights and card to `path` (.safetensors) and the card once more beside it as .json.

    Raises:
        ValueError: When the path does not end in .safetensors.
        OSError: When the file cannot be written; what stood there before is untouched.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"checkpoint: got {path}, allowed: a file name that ends in .safetensors")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={CARD_KEY: json.dumps(card.to_dict())})
        except SafetensorError as error:
            raise OSError(f"{path}: could not be written ({error}); is the disk full?") from error
    write_json(path.with_suffix(".json"), card.to_dict())


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], Card]:
    """Reads weights (on the CPU) and card; no code of the file runs.

    Args:
        path: The file, or "zoo:NAME".

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When the file is truncated, is no safetensors file or has no card, or the zoo has no such network.
    """
    path = resolve_source(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not a whole safetensors file ({error}); it may be truncated: copy it again, or train again"
        ) from error
    if CARD_KEY not in metadata:
        raise ValueError(f"{path}: no card inside; checkpoints of this project carry one, written by save_checkpoint")
    try:
        card = json.loads(metadata[CARD_KEY])
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: its card is no JSON ({error})") from error
    return state, Card.from_dict(card, str(path))
