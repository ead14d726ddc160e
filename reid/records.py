"""Score records: every number carries its protocol, its data, its checkpoint and the command that made it."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PROTOCOLS = ("inductive", "transductive")


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
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
