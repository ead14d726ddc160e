"""The distances of false match rates that a model file's card tells, read without opening the network."""

import json
import os
from pathlib import Path
from typing import Any

CARD_KEY = "card"  # of the metadata of .safetensors and .onnx files alike


def read_calibration(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Returns what `python -m reid.calibrate` or the training wrote into a model file's card.

    Args:
        path: A .safetensors or .onnx file.

    Returns:
        The record of `reid.calibration`; None where there is none, as in other libraries' files. Of a damaged file,
        too: whoever opens the network says what is wrong with it.

    Raises:
        FileNotFoundError: When there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file; give the path of a .safetensors or .onnx file")
    text = _onnx_card(path) if path.suffix == ".onnx" else _safetensors_card(path)
    try:
        card = json.loads(text or "null")
    except json.JSONDecodeError:
        return None
    calibration = card.get("calibration") if isinstance(card, dict) else None
    return calibration if isinstance(calibration, dict) else None


def limit_at(calibration: dict[str, Any], fmr: float, name: str) -> float:
    """Returns the cosine distance below which this share of pairs of different people lies.

    Args:
        calibration: A record of `reid.calibration`.
        fmr: False match rate.
        name: Of the file, for the message.

    Raises:
        ValueError: When the record does not tell of this rate, or could not resolve it.
    """
    points = {point["fmr"]: point["threshold"] for point in calibration["scores"]["points"]}
    if points.get(fmr) is None:
        told = ", ".join(f"{rate:g}" for rate, threshold in points.items() if threshold is not None)
        why = "is not resolved by" if fmr in points else "was not asked of"
        raise ValueError(
            f"fmr: got {fmr:g}, which {why} {calibration['dataset']} for the card of {name}; allowed: "
            f"{told or 'none'}; python -m reid.calibrate takes other --rates and other sets"
        )
    return max(0.0, float(points[fmr]))


def _safetensors_card(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get(CARD_KEY)
    except SafetensorError:
        return None


def _onnx_card(path: Path) -> str | None:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        return None
    return next((entry.value for entry in model.metadata_props if entry.key == CARD_KEY), None)
