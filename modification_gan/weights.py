"""Files of generators: weights as safetensors with a card inside, and the card as JSON beside it for people."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from modification_gan.generative_model import Architecture
from modification_gan.models import build_source
from reid.files import atomic_path, write_json

_CARD = "card"


@dataclasses.dataclass(frozen=True)
class SourceCard:
    """What a generator's file says of itself.

    Attributes:
        model: Name for `modification_gan.models.build_source`.
        sizes: Of the network.
        ema: Whether the weights are an average over steps.
        step: The training step that they are of.
        data: Base name of the folder of training images.
        split: Always "train".
        num_images: Training images.
        condition: What the groups are made of, "none" without groups.
        labels: For each group the identities' shares of its images, by the dataset's names.
        shares: For each group its share of the training images.
        config: All options of the training.
        commit: Of the code that wrote the file.
        training_spread: `modification_gan.diversity.training_spread`; None of files that were written before it was
            kept.
        training_sha256: `reid.data.generated.training_fingerprint`, likewise.
    """

    model: str
    sizes: Architecture
    ema: bool
    step: int
    data: str
    split: str
    num_images: int
    condition: str
    labels: tuple[dict[int, float], ...]
    shares: tuple[float, ...]
    config: dict[str, Any]
    commit: str
    training_spread: float | None = None
    training_sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the card as JSON knows it."""
        labels = [{str(pid): weight for pid, weight in group.items()} for group in self.labels]
        return dataclasses.asdict(self) | {"labels": labels, "shares": list(self.shares)}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> "SourceCard":
        """Builds a card from what `to_dict` returned.

        Raises:
            ValueError: When fields are missing or unknown; the message begins with `where`.
        """
        try:
            labels = tuple({int(pid): float(weight) for pid, weight in group.items()} for group in values["labels"])
            sizes = Architecture(**values["sizes"])
            return cls(**values | {"labels": labels, "sizes": sizes, "shares": tuple(values["shares"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{where}: the card is damaged or of another version ({error})") from error


def save_source(path: str | os.PathLike[str], source: nn.Module, card: SourceCard) -> None:
    """Writes weights and card to `path` (.safetensors) and the card once more beside it as .json.

    Raises:
        OSError: When the file cannot be written; what stood there before is untouched.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in source.state_dict().items()}
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={_CARD: json.dumps(card.to_dict())})
        except SafetensorError as error:
            raise OSError(f"{path}: could not be written ({error}); is the disk full?") from error
    write_json(path.with_suffix(".json"), card.to_dict())


def load_source(path: str | os.PathLike[str]) -> tuple[nn.Module, SourceCard]:
    """Reads a generator, ready for sampling, on the CPU; no code of the file runs.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When the file is truncated, has no card, or does not fit the network that its card names.
        ModuleNotFoundError: When it is a diffusion model and diffusers is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of a generator")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error}); train again or copy it again") from error
    try:
        card = SourceCard.from_dict(json.loads(metadata[_CARD]), str(path))
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no card inside; generators of this project carry one") from error
    source = build_source(card.model, card.sizes)
    try:
        source.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit its card ({str(error).splitlines()[0]})") from error
    return source.eval(), card
