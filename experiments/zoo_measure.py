"""What the zoo's table says of a checkpoint; each part is measured once and kept as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.network_speed import network_speed
from experiments.real_people import real_separations
from experiments.runs import run_command
from experiments.zoo_plan import SEQUENCES, UNSEEN, WORLD, Budget
from reid.checkpoint import load_checkpoint
from reid.embedder import Embedder
from reid.files import write_json
from reid.models.complexity import measure_complexity
from reid.records import file_sha256, score_record

PARTS = ("size", "speed", "world", "unseen", "tracking", "real")


def folder_of(path: Path, out: Path) -> Path:
    """Returns where the measurements of a checkpoint are kept: other content, another folder."""
    return out / f"{path.stem}-{file_sha256(path)[:12]}"


def _size(path: Path) -> dict[str, Any]:
    if path.suffix == ".onnx":
        import onnx

        weights = onnx.load(path).graph.initializer
        return {
            "parameters": sum(_count(weight.dims) for weight in weights if weight.data_type == onnx.TensorProto.FLOAT)
        }
    card = load_checkpoint(path)[1]
    size = card.preprocessing
    options = {name: value for name, value in card.options.items() if name not in ("pretrained", "weights")}
    found = measure_complexity(card.backbone, size.height, size.width, **options)
    return {
        "parameters": found.parameters,
        "multiply_adds": found.multiply_adds,
        "input": f"{size.height} x {size.width}",
        "training": card.config.get("training", ""),
    }


def _count(shape: Any) -> int:
    total = 1
    for length in shape:
        total *= int(length)
    return total


def _scores(path: Path, world: Path, out: Path) -> dict[str, Any]:
    """Returns distance to its score record on a world."""
    command = ["reid/image_reid_inference.py", "--root", str(world), "--ckpt", str(path), "--no-pictures"]
    command += ["--bootstrap", "0", "--out", str(out)]
    run_command(command, f"{path.name}: scores on {world.name}")
    records = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return {"records": {record["distance"]: record for record in records}, "command": _shown(command, path, world, out)}


def _tracking(path: Path, world: Path, out: Path) -> dict[str, Any]:
    command = ["tracking/mot16_benchmark.py", "--gt", str(world / "train"), "--tracking-method", "strongsort"]
    command += ["--reid", str(path), "--out", str(out)]
    run_command(command, f"{path.name}: tracking on {world.name}")
    (record,) = json.loads((out / "result.json").read_text(encoding="utf-8")).values()
    combined = {name: float(record["scores"]["COMBINED"][name]) for name in ("HOTA", "IDF1")}
    return combined | {"command": _shown(command, path, world, out)}


def _shown(command: list[str], path: Path, world: Path, out: Path) -> str:
    """Returns a command for people, with names in the place of this machine's folders."""
    names = {str(path): "FILE", str(world): "WORLD", str(world / "train"): "WORLD/train", str(out): "OUT"}
    return " ".join(["python", *(names.get(word, word) for word in command)])


def measure(path: Path, part: str, budget: Budget, out: Path, real: Path | None) -> dict[str, Any]:
    """Returns a part of a checkpoint's row, measured unless it is there already.

    Args:
        path: The checkpoint, .safetensors or .onnx.
        part: One of `PARTS`.
        budget: Whose worlds are taken.
        out: Folder of what is kept; delete a part's file to measure it again.
        real: Folder of real people for `real`; None leaves that part out.

    Returns:
        The numbers, with command, commit, date and hardware; empty where there is nothing to measure.

    Raises:
        ValueError: When a command fails, or the part is unknown.
    """
    folder = folder_of(path, out)
    kept = folder / f"{part}{'' if part in ('size', 'speed', 'real') else '-' + budget.name}.json"
    if part == "real" and real is None:
        return {}
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "size": lambda: _size(path),
        "speed": lambda: network_speed(path),
        "world": lambda: _scores(path, budget.write_world(WORLD), folder / f"score-{WORLD}-{budget.name}"),
        "unseen": lambda: _scores(path, budget.write_world(UNSEEN), folder / f"score-{UNSEEN}-{budget.name}"),
        "tracking": lambda: _tracking(path, budget.write_world(SEQUENCES), folder / f"tracking-{budget.name}"),
        "real": lambda: real_separations(real, Embedder(path)) if real is not None else {},
    }
    if part not in ways:
        raise ValueError(f"part: got {part!r}, allowed: {', '.join(PARTS)}")
    found = ways[part]()
    origin = score_record({}, protocol="inductive", dataset=part, split="", seed=None)
    found["origin"] = {name: origin[name] for name in ("commit", "date", "hardware")}
    told = " --real REAL" if part == "real" else ""
    found.setdefault("command", f"python experiments/zoo_table.py --ckpt FILE --parts {part}{told}")
    write_json(kept, found)
    return found
