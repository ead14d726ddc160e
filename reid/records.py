"""Score records: every number carries its protocol, its data, its checkpoint and the command that made it."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PROTOCOLS = ("inductive", "transductive")
PACKAGES = ("experiments", "modification_gan", "reid", "synthetic_world", "tracking")  # of this repository
TRACKLETS = "tracklets"  # the value of a record's "items"; without that key images were compared


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _digest(file)


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def repository_commit() -> str:
    """Returns the commit of this code, with "+changes" when the working tree differs, or "unknown" outside git."""
    root = Path(__file__).resolve().parents[1]
    try:
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True)
        status = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=root, capture_output=True, text=True)
    except OSError:
        return "unknown"
    if commit.returncode != 0:
        return "unknown"
    return commit.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def hardware() -> str:
    """Returns one line on the machine: processor, cores, and GPU when torch is loaded and sees one."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    line = f"{model}, {os.cpu_count()} cores"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        line += f", {torch.cuda.get_device_name()}"
    return line


def command_line() -> str:
    """Returns the line that started this process: `python -m MODULE` or a script, in the repository by its place there.

    Folders of the machine that lead to the repository are nobody's business who reads a record.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.split(".")[0] in PACKAGES:
        started = ["-m", spec.name.removesuffix(".__main__")]
    else:
        root, script = Path(__file__).resolve().parents[1], Path(sys.argv[0]).absolute()
        started = [str(script.relative_to(root)) if script.is_relative_to(root) else sys.argv[0]]
    return shlex.join(["python", *started, *sys.argv[1:]])


def score_record(
    scores: dict[str, Any],
    *,
    protocol: str,
    dataset: str,
    split: str,
    seed: int | None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Wraps scores into the record that is stored and printed.

    Args:
        scores: Metric names to values, ratios in 0..1.
        protocol: One of `PROTOCOLS`. Transductive means that other test items took part in the result.
        dataset: Name of the dataset, with its level or version.
        split: The part of the dataset that was scored.
        seed: The seed of the run, None where nothing is random.
        checkpoint: The model file, whose SHA-256 goes into the record.

    Raises:
        ValueError: When the protocol is unknown.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: got {protocol!r}, allowed: {', '.join(PROTOCOLS)}")
    return {
        "scores": scores,
        "protocol": protocol,
        "dataset": dataset,
        "split": split,
        "checkpoint_sha256": None if checkpoint is None else file_sha256(checkpoint),
        "commit": repository_commit(),
        "seed": seed,
        "command": command_line(),
        "hardware": hardware(),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def training_protocol(records: Iterable[dict[str, Any]]) -> str:
    """Returns what a network's training makes of every score: "transductive" when it has learnt from test images.

    Args:
        records: The scores on the network's card. Its Euclidean ones tell, because re-ranking is transductive anyway.
    """
    protocols = {record.get("protocol") for record in records if record.get("distance", "Euclidean") == "Euclidean"}
    return "transductive" if "transductive" in protocols else "inductive"


def require_one_protocol(records: Iterable[dict[str, Any]], where: str = "table") -> str:
    """Returns the protocol that all records share; whoever puts scores side by side asks here first.

    A transductive score has seen the other test items and is no rival of an inductive one. Nor is a score of tracklets,
    which have several frames each, a rival of one of images.

    Args:
        records: What `score_record` returned, or was read from a file; one or more.
        where: What the message begins with.

    Raises:
        ValueError: When a record has no protocol or an unknown one, when protocols differ, or when there is no record.
    """
    found = by_protocol(records, where)
    if not found:
        raise ValueError(f"{where}: got no score record, allowed: one or more")
    if len(found) > 1:
        parts = "; ".join(f"{protocol}: {_names(group)}" for protocol, group in found.items())
        raise ValueError(
            f"{where}: scores of different protocols are not comparable ({parts}); make one table for each"
        )
    return next(iter(found))


def by_protocol(records: Iterable[dict[str, Any]], where: str = "table") -> dict[str, list[dict[str, Any]]]:
    """Returns protocol -> records in their order; inductive first. Each group makes a table of its own.

    Records with items "tracklets" are groups of their own, "inductive tracklets" and so on, after those of images.

    Raises:
        ValueError: When a record has no protocol or an unknown one.
    """
    names = (*PROTOCOLS, *(f"{protocol} {TRACKLETS}" for protocol in PROTOCOLS))
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for record in records:
        protocol = record.get("protocol")
        if protocol not in PROTOCOLS:
            raise ValueError(
                f"{where}: got protocol {protocol!r} in the record of {_names([record])}, allowed: "
                f"{', '.join(PROTOCOLS)}; a score without its protocol says nothing"
            )
        groups[f"{protocol} {TRACKLETS}" if record.get("items") == TRACKLETS else protocol].append(record)
    return {protocol: group for protocol, group in groups.items() if group}


def _names(records: Sequence[dict[str, Any]]) -> str:
    keys = ("method", "name", "dataset", "distance")
    names = [" ".join(str(record[key]) for key in keys if record.get(key)) or "a nameless run" for record in records]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
