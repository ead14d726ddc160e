"""The card inside exported files, read alike whatever their format."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from reid.data.images import Preprocessing
from reid.records import training_protocol

CARD_KEY = "card"


@dataclasses.dataclass(frozen=True)
class ExportedCard:
    """What an exported file says of itself, as far as embedding needs it.

    Attributes:
        preprocessing: Of the crops.
        input_kind: "float32", normalised already, or "uint8"; None where the file does not say.
        camera: The camera that the network was exported for, None when it knows none.
        protocol: Of the network's training.
    """

    preprocessing: Preprocessing
    input_kind: str | None = None
    camera: int | None = None
    protocol: str = "inductive"


def read_exported_card(text: str, path: Path, preprocessing: Preprocessing | None) -> ExportedCard:
    """Reads a card.

    Args:
        text: JSON, as `reid.checkpoint.Card.to_dict` gives it.
        path: The file, for messages.
        preprocessing: Its size wins over the card's; mean and deviation are those that the network was trained with.

    Raises:
        ValueError: When the card cannot be read and no preprocessing is given.
    """
    try:
        card: dict[str, Any] = json.loads(text)
        found = Preprocessing.from_dict(card["preprocessing"])
        size = preprocessing or found
        return ExportedCard(
            dataclasses.replace(found, height=size.height, width=size.width),
            card.get("input_kind"),
            card.get("options", {}).get("camera"),
            training_protocol(card.get("scores", [])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if preprocessing is None:
            raise ValueError(f"{path}: its card cannot be read ({error}); give preprocessing=") from error
        return ExportedCard(preprocessing)
