"""Which trackers the benchmark command runs, with which options and networks, and what an ablation switches."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tracking import TRACKERS, build_tracker, tracker_options
from tracking.appearance_gate import Gate, find_gate
from tracking.benchmark_options import Mot16BenchmarkConfig
from tracking.checkpoints import Checkpoint
from tracking.offline import INTERPOLATIONS, LINKS, OfflineOptions, offline_options
from tracking.tracker_file import read_tracker_file
from tracking.tracker_flags import TrackerFlags
from tracking.tracks import Tracker


@dataclass(frozen=True)
class Run:
    """A tracker over all sequences.

    Attributes:
        label: Its name, which is that of its folder of results.
        method: The tracker's name.
        tracker: The tracker.
        offline: What is done to its tracks afterwards.
        checkpoint: The network whose embeddings it takes, None for those that came with the detections, or none.
        gate: Where the limit of its appearance distance comes from.
        switched: What an ablation changed, as a flag; "" for nothing.
    """

    label: str
    method: str
    tracker: Tracker
    offline: OfflineOptions
    checkpoint: Checkpoint | None = None
    gate: Gate | None = None
    switched: str = ""

    @property
    def appearance(self) -> bool:
        """Whether it takes embeddings, online or offline."""
        online = bool(getattr(self.tracker.options, "appearance", False))
        return online or self.offline.link == "looks" or self.offline.cut_tracks

    @property
    def settings(self) -> dict[str, Any]:
        """The options and offline steps, for a record."""
        offline = {key: str(value) if isinstance(value, Path) else value for key, value in vars(self.offline).items()}
        gate = {} if self.gate is None else {"gate": str(self.gate)}
        return {"options": vars(self.tracker.options), "offline": offline, **gate}


def build_trackers(config: Mot16BenchmarkConfig) -> dict[str, Tracker]:
    """Builds the chosen trackers with the options that concern each.

    Raises:
        ValueError: When a tracker or a value is unknown, when an option concerns none of the trackers, or when
            options contradict each other.
    """
    methods = config.methods
    if not methods:
        raise ValueError("tracking_method: got none, allowed: one or more trackers")
    if len(set(methods)) < len(methods):
        raise ValueError(f"tracking_method: got {' '.join(methods)}, allowed: each tracker once")
    allowed = {method: tracker_options(method) for method in methods}
    given = {field.name: getattr(config, field.name) for field in fields(TrackerFlags)}
    given = {key: value for key, value in given.items() if value is not None}
    if config.appearance:
        del given["appearance"]  # the default, which says nothing about trackers that have no appearance
    for option in given:
        if not any(option in names for names in allowed.values()):
            flag = "--no-appearance" if option == "appearance" else f"--{option.replace('_', '-')}"
            raise ValueError(f"{flag}: not an option of {', '.join(methods)}")
    offline = [offline_options(method, config) for method in methods]
    looks_later = any(steps.link == "looks" or steps.cut_tracks for steps in offline)
    if config.reid and not config.appearance and not looks_later:
        raise ValueError("--reid with --no-appearance: the checkpoint would not be used; give one of them")
    if config.reid and not any("appearance" in names for names in allowed.values()) and not looks_later:
        raise ValueError(f"--reid: none of {', '.join(methods)} uses appearance")
    filed = _filed_options(config)
    return {
        method: build_tracker(
            method, **_with_file(filed.get(method, {}), {key: value for key, value in given.items() if key in names})
        )
        for method, names in allowed.items()
    }


def _filed_options(config: Mot16BenchmarkConfig) -> dict[str, dict[str, Any]]:
    return {} if config.tracker_options is None else read_tracker_file(config.tracker_options, config.methods)


def _with_file(filed: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a file and, over them, those of the command line."""
    # Its lowest confidence has a default, so that one cannot tell whether the command line said it.
    limits = [options["min_confidence"] for options in (filed, given) if "min_confidence" in options]
    return {**filed, **given, "min_confidence": max(limits)}


def plan_runs(config: Mot16BenchmarkConfig, checkpoints: Sequence[Checkpoint]) -> list[Run]:
    """Returns a run for each tracker and, where it takes embeddings, each checkpoint; then those of an ablation.

    Raises:
        ValueError: As `build_trackers`, `offline_options` and `find_gate`.
    """
    trackers = build_trackers(config)
    gates, filed = _gates(config, checkpoints), _filed_options(config)
    runs = []
    for method, tracker in trackers.items():
        offline = offline_options(method, config)
        run = Run(method, method, tracker, offline)
        if not run.appearance or not checkpoints:
            runs.append(run)
            continue
        for checkpoint in checkpoints:
            gate, label = gates.get(checkpoint.label), method
            if len(checkpoints) > 1:
                label = f"{method}@{checkpoint.label}"
            if "max_cosine" not in tracker_options(method):
                gate = None
            elif "max_cosine" in filed.get(method, {}) and config.max_cosine is None:
                gate = Gate(filed[method]["max_cosine"], f"--tracker-options {config.tracker_options}")
            if gate is not None and gate.max_cosine is not None:
                tracker = TRACKERS[method][0](replace(tracker.options, max_cosine=gate.max_cosine))
            runs.append(Run(label, method, tracker, offline, checkpoint, gate))
    return runs


def _gates(config: Mot16BenchmarkConfig, checkpoints: Sequence[Checkpoint]) -> dict[str, Gate]:
    """Returns label of a checkpoint to the limit of the appearance distance, where something tells it."""
    options = [tracker_options(method) for method in config.methods] if config.appearance else []
    if config.gate_fmr is not None and any("max_cosine" in told for told in _filed_options(config).values()):
        raise ValueError("--gate-fmr with max_cosine in --tracker-options: both say the same limit; give one of them")
    if not checkpoints:
        find_gate(options, reid=None, max_cosine=config.max_cosine, gate_fmr=config.gate_fmr)
    found = {
        checkpoint.label: find_gate(
            options, reid=checkpoint.path, max_cosine=config.max_cosine, gate_fmr=config.gate_fmr
        )
        for checkpoint in checkpoints
    }
    return {label: gate for label, gate in found.items() if gate is not None}


def ablation_runs(base: Run, images: bool, embeddings: bool) -> Iterator[Run]:
    """Yields the base, then a run for every other value of every flag of its tracker, then of its offline steps.

    Flags are the options that are true or false, or one of a few words. What cannot be tried is named on the error
    stream.

    Args:
        base: The run with nothing switched.
        images: Whether every sequence has images, which the camera's motion needs.
        embeddings: Whether there are embeddings.
    """
    yield base
    tracker_class, options_class = TRACKERS[base.method]
    for name, value in _other_values(options_class, base.tracker.options):
        flag = _flag(name, value)
        if name == "camera_motion" and value and not images:
            print(f"note: {flag} is not tried: not every sequence has images", file=sys.stderr)
        elif name == "appearance" and value and not embeddings:
            print(f"note: {flag} is not tried: there are no embeddings", file=sys.stderr)
        else:
            tracker: Tracker = tracker_class(replace(base.tracker.options, **{name: value}))
            yield replace(base, label=_label(base, flag), tracker=tracker, switched=flag)
    steps: list[tuple[str, Any]] = [
        (name, value) for name in ("cut_tracks", "take_leftover") for value in (True, False)
    ]
    steps += [("link", value) for value in LINKS] + [("interpolation", value) for value in INTERPOLATIONS]
    for name, value in steps:
        flag = _flag(name, value)
        if value == getattr(base.offline, name):
            continue
        if (value == "looks" or (name == "cut_tracks" and value)) and not embeddings:
            print(f"note: {flag} is not tried: there are no embeddings", file=sys.stderr)
        else:
            options: Mapping[str, Any] = {name: value}
            yield replace(base, label=_label(base, flag), offline=replace(base.offline, **options), switched=flag)


def _other_values(options_class: type, current: Any) -> Iterator[tuple[str, Any]]:
    """Yields name and value of each flag, for all values but the current one."""
    hints = get_type_hints(options_class)
    for field in fields(options_class):
        kind = hints[field.name]
        values: tuple[Any, ...] = (True, False) if kind is bool else ()
        if get_origin(kind) is Literal:
            values = get_args(kind)
        for value in values:
            if value != getattr(current, field.name):
                yield field.name, value


def _flag(name: str, value: Any) -> str:
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{word}" if value else f"--no-{word}"
    return f"--{word} {value}"


def _label(base: Run, flag: str) -> str:
    return f"{base.label}{flag[1:].replace(' ', '-')}"  # strongsort-no-ema
