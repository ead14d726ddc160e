"""Flags of a command line that may be left out: --x and --no-x, as people write them."""

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import Any, get_type_hints


def option_types(config_class: type[Any]) -> dict[str, Any]:
    """Returns name to type of the options of a dataclass, those of nested groups among the others."""
    types: dict[str, Any] = {}
    hints = get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        hint = hints[field.name]
        nested = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        types |= option_types(hint) if nested else {field.name: hint}
    return types


def spelt_out(arguments: Sequence[str] | None, config_class: type[Any]) -> list[str]:
    """Returns a command line with flags that may be left out (bool | None) as tyro wants them.

    Args:
        arguments: The command line without the program; None takes the program's own.
        config_class: A dataclass of options.

    Returns:
        The same with --x True for --x, and --x False for --no-x.
    """
    words = sys.argv[1:] if arguments is None else arguments
    types = option_types(config_class).items()
    flags = {name for name, hint in types if hint == bool | None}
    spelt: list[str] = []
    for argument, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        name = argument.removeprefix("--").replace("-", "_") if argument.startswith("--") else ""
        if name in flags and following not in ("True", "False", "None"):
            spelt += [argument, "True"]
        elif name.removeprefix("no_") in flags and name not in flags:
            spelt += [f"--{name.removeprefix('no_')}", "False"]
        else:
            spelt.append(argument)
    return spelt
