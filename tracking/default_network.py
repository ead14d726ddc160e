"""The network that embeds people where a tracker wants looks and nothing else gives any."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from reid.zoo_entries import resolve_source
from tracking.benchmark_data import sequence_folders
from tracking.benchmark_options import Mot16BenchmarkConfig
from tracking.sequences import read_sequence
from tracking.sources import find_detections
from tracking.tracks import Tracker

DEFAULT_REID = "zoo:reidlite_distilled_world"  # the zoo's lightest: fit for every frame on a CPU


def default_network() -> Path | None:
    """Returns the name of the default network, None with a note when its file is not on this machine."""
    try:
        resolve_source(DEFAULT_REID)
    except (OSError, ValueError) as error:
        print(f"note: no --reid, and no {DEFAULT_REID}: {error}", file=sys.stderr)
        return None
    print(f"note: no --reid: people are told apart by {DEFAULT_REID}; --no-appearance does without", file=sys.stderr)
    return Path(DEFAULT_REID)


def with_default_network(config: Mot16BenchmarkConfig, trackers: Iterable[Tracker]) -> Mot16BenchmarkConfig:
    """Returns the options with the default network where embeddings are wanted, missing, and can be made.

    Args:
        config: What the user told.
        trackers: The chosen ones.
    """
    wanted = any(getattr(tracker.options, "appearance", False) for tracker in trackers)
    if config.reid or not wanted or _has_features(config.file_source):
        return config
    if not all(read_sequence(folder).images for folder in sequence_folders(config).values()):
        return config
    network = default_network()
    return config if network is None else replace(config, reid=(network,))


def _has_features(source: Path | str | None) -> bool:
    """Whether detections come with embeddings; files of public detections never do."""
    if not isinstance(source, Path):
        return False
    return any(path.suffix == ".npy" for path in find_detections(source).values())
