"""NAME=VALUE on a command line: what the reader of a dataset, or a network, is told."""

from collections.abc import Sequence
from typing import Any

import yaml


def parse_dataset_options(texts: Sequence[str], flag: str = "dataset_options") -> dict[str, Any]:
    """Returns the options of a dataset's reader from words of a command line.

    Args:
        texts: NAME=VALUE each; the value is read as YAML, so that 3 is a number and true a truth value.
        flag: Their option, for messages.

    Raises:
        ValueError: When one is no NAME=VALUE, or a name comes twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.replace("-", "_")
        if not sign or not name:
            raise ValueError(f"{flag}: got {text!r}, allowed: NAME=VALUE")
        if name in values:
            raise ValueError(f"{flag}: got {name} twice, allowed: once")
        try:
            values[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"{flag}: got {text!r}, whose value is no YAML, allowed: NAME=VALUE") from error
    return values
