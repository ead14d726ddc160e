"""The distances of false match rates that a model file's card tells, read without opening the network."""

import html
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

CARD_KEY = "card"  # of the metadata of .safetensors and .onnx files alike


def read_calibration(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Returns what `python -m reid.calibrate` or the training wrote into a model file's card.

    Args:
        path: A .safetensors file, or one that was exported.

    Returns:
        The record of `reid.calibration`; None where there is none, as in other libraries' files. Of a damaged file,
        too: whoever opens the network says what is wrong with it.

    Raises:
        FileNotFoundError: When there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file; give the path of a .safetensors or .onnx file")
    text = _READERS.get(path.suffix, _safetensors_card)(path)
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


def onnx_card(path: Path) -> str | None:
    """Returns the card in the metadata of an ONNX file, None where there is none or the file is damaged."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        return None
    return next((entry.value for entry in model.metadata_props if entry.key == CARD_KEY), None)


def _openvino_card(path: Path) -> str | None:
    # The runtime information is the end of a text that needs no OpenVINO to be read.
    match = re.search(r"<reid>\s*<card value=\"([^\"]*)\"", path.read_text(encoding="utf-8", errors="replace"))
    return None if match is None else html.unescape(match[1])


def _torchscript_card(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(f"/extra/{CARD_KEY}")]
        return archive.read(names[0]).decode() if names else None


_READERS = {".onnx": onnx_card, ".xml": _openvino_card, ".torchscript": _torchscript_card}
