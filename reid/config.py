"""From a frozen dataclass to a command line, with defaults from YAML."""

import dataclasses
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import tyro

from reid.command_flags import option_types, spelt_out
from reid.yaml_mapping import read_yaml_mapping
from reid.zoo_entries import PREFIX, resolve_source

Config = TypeVar("Config")


def parse_config(config_class: type[Config], arguments: Sequence[str] | None = None) -> Config:
    """Reads a configuration from the command line.

    `--config FILE.yaml` may stand anywhere and gives defaults; what the command line says itself wins. Unknown options
    end the program with the known ones, like every error of the command line. A flag that may be left out (bool | None)
    is said like any other, --x or --no-x, or as --x True. A path may be "zoo:NAME", a network of the zoo.

    Args:
        config_class: A frozen dataclass; its docstring and field docstrings are the help.
        arguments: The command line without the program; None takes the program's own.

    Raises:
        FileNotFoundError: When the file of a network of the zoo is not on this machine.
        ValueError: When the YAML file is unreadable or holds unknown keys, a number is NaN or infinity, the zoo has no
            such network, or the command line names a list without a value and no file gives one.
        SystemExit: With status 2, as for the command line, when a value has the wrong type.
    """
    left = list(sys.argv[1:] if arguments is None else arguments)
    path: Path | None = None
    for position, argument in enumerate(left):
        if argument == "--config" and position + 1 < len(left):
            path = Path(left[position + 1])
            del left[position : position + 2]
            break
        if argument.startswith("--config="):
            path = Path(argument.split("=", 1)[1])
            del left[position]
            break
    # YAML values go through the same parser as the command line, ahead of it, so that the latter wins.
    from_file = [] if path is None else _arguments(path, config_class)
    if path is None:
        # With a file an empty list takes back what the file says; without one it is a shell variable that is not set.
        _check_lists(left, config_class)
    config = tyro.cli(config_class, args=[*from_file, *spelt_out(left, config_class)])
    for name, value in option_values(config).items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise ValueError(f"{name}: got {value}, allowed: finite numbers")
    return _with_zoo_files(config)


def _with_zoo_files(config: Any) -> Any:
    """Puts the file in the place of each path that is "zoo:NAME", a network of the zoo."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.init}
        found = {name: _with_zoo_files(value) for name, value in values.items()}
        changed = {name: value for name, value in found.items() if value is not values[name]}
        return dataclasses.replace(config, **changed) if changed else config
    if isinstance(config, tuple):
        paths = tuple(map(_with_zoo_files, config))
        return config if all(new is old for new, old in zip(paths, config)) else paths
    if isinstance(config, Path) and str(config).startswith(PREFIX):
        return resolve_source(config)
    return config


def _check_lists(arguments: Sequence[str], config_class: type[Any]) -> None:
    types = option_types(config_class).items()
    lists = {name for name, hint in types if any(get_origin(kind) is tuple for kind in (hint, *get_args(hint)))}
    for argument, following in itertools.zip_longest(arguments, arguments[1:], fillvalue="--"):
        name = argument.removeprefix("--").replace("-", "_")
        if argument.startswith("--") and name in lists and following.startswith("--"):
            raise ValueError(f"{name}: got no value, allowed: one or more, or leave {argument} out")


def _arguments(path: Path, config_class: type[Any]) -> list[str]:
    """Turns a YAML mapping into command-line arguments."""
    if not path.is_file():
        raise ValueError(f"--config: got {path}, which is no file")
    values = read_yaml_mapping(path, "option to value")
    known = option_types(config_class)
    unknown = sorted(str(key) for key in values if str(key).replace("-", "_") not in known)
    if unknown:
        raise ValueError(f"{path}: unknown option {', '.join(unknown)}; allowed: {', '.join(known)}")
    meant = unless_told(config_class)
    arguments: list[str] = []
    for key, value in values.items():
        name = str(key).replace("_", "-")
        if value is not None and value == meant.get(str(key).replace("-", "_")):
            # A run of an earlier version lists all its options, also those that it was not told.
            continue
        if value is None:
            arguments += [f"--{name}", "None"]
        elif isinstance(value, bool) and known[str(key).replace("-", "_")] is bool:
            arguments.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list):
            arguments += [f"--{name}", *map(str, value)]
        else:
            arguments += [f"--{name}", str(value)]
    return arguments


def option_names(config_class: type[Any]) -> list[str]:
    """Returns the options of a dataclass, those of nested groups among the others."""
    return list(option_types(config_class))


def unless_told(config_class: type[Any]) -> dict[str, Any]:
    """Returns what options that are None stand for: `UNLESS_TOLD` of the dataclass and of its nested groups.

    Such an option is None by default, and not that value, where being told makes a difference: it is an error when
    another option leaves it without effect.
    """
    meant = dict(getattr(config_class, "UNLESS_TOLD", {}))
    for hint in get_type_hints(config_class).values():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            meant |= unless_told(hint)
    return meant


def option_values(config: Any) -> dict[str, Any]:
    """Returns the options of a configuration as YAML and JSON know them, nested groups flat.

    `parse_config` with a file of them gives the same configuration again.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        values |= option_values(value) if dataclasses.is_dataclass(value) else {field.name: _plain(value)}
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def run_entry_point(main: Callable[[Config], None], config_class: type[Config]) -> None:
    """Parses the command line and runs `main`; errors of the user end with one line and exit code 2."""
    try:
        main(parse_config(config_class))
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
