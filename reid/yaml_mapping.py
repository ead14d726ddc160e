"""YAML files that hold a mapping."""

import os
from pathlib import Path
from typing import Any

import yaml


def read_yaml_mapping(path: str | os.PathLike[str], allowed: str) -> dict[Any, Any]:
    """Returns the mapping of a YAML file; an empty file holds an empty one.

    Args:
        path: The file.
        allowed: What the mapping is of, for the message: "option to value".

    Raises:
        OSError: When the file cannot be read.
        ValueError: When it is no YAML in UTF-8, or no mapping; the message begins with its path.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: got {type(content).__name__}, allowed: a mapping of {allowed}")
    return content
