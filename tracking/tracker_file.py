"""Options of trackers in a YAML file: tracker -> option -> value."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from reid.files import write_text
from tracking import TRACKERS, build_tracker, tracker_options


def read_tracker_file(path: str | os.PathLike[str], methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns what a file says of some trackers; what it says of others is checked and left out.

    Args:
        path: YAML, a mapping of trackers to mappings of options to values.
        methods: The trackers.

    Raises:
        ValueError: When the file cannot be read, names what does not exist, gives a value that is not allowed, or says
            nothing of any of the trackers.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file of tracker options")
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: not readable as YAML: {error}".replace("\n", " ")) from error
    if not isinstance(found, dict) or not all(isinstance(options, dict) for options in found.values()):
        raise ValueError(f"{path}: got {type(found).__name__}, allowed: tracker -> option -> value")
    for method, options in found.items():
        try:
            tracker_options(method)
            _check_flags(method, options)
            build_tracker(method, **options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
    chosen = {method: dict(found[method]) for method in methods if method in found}
    if not chosen:
        raise ValueError(f"{path}: got options of {', '.join(map(str, found))}; allowed: of {', '.join(methods)}")
    return chosen


def _check_flags(method: str, options: Mapping[str, Any]) -> None:
    """Raises a ValueError when a flag is neither true nor false, which option classes leave to their callers."""
    hints = get_type_hints(TRACKERS[method][1])
    for name, value in options.items():
        if hints.get(name) is bool and not isinstance(value, bool):
            raise ValueError(f"{name}: got {value!r}, allowed: true, false")


def write_tracker_file(path: str | os.PathLike[str], method: str, options: Any, heading: str) -> None:
    """Writes all options of one tracker.

    Args:
        path: The file.
        method: The tracker.
        options: Its options object.
        heading: A comment of one or more lines ahead of them.
    """
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    write_text(path, comment + yaml.safe_dump({method: values}, sort_keys=False))
