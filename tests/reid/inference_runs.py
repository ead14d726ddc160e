"""Inference as the command line starts it, for tests."""

import json
from pathlib import Path
from typing import Any

from reid.config import parse_config
from reid.image_reid_inference import main
from reid.inference_options import InferenceConfig


def configure(root: Path, out: Path, **options: Any) -> InferenceConfig:
    """Parses options as the command line does."""
    words = ["--root", str(root), "--out", str(out)]
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
    return parse_config(InferenceConfig, words)


def score(root: Path, out: Path, **options: Any) -> list[dict[str, Any]]:
    usual: dict[str, Any] = {"pictures": False, "report": False} | ({} if "baseline" in options else {"device": "cpu"})
    main(configure(root, out, **(usual | options)))
    return json.loads((out / "result.json").read_text())
