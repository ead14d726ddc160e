"""The benchmark of exported networks, on a network that is quick to measure."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_deployment(run_python: Run, tmp_path: Path) -> None:
    options = ["--base", "reidlite@64x32", "--networks", "reidlite,last_stride=2@48x32", "--rounds", 1, "--least", 0.01]
    done = run_python("benchmarks/deployment.py", *options)
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == ["| `reidlite`, 64 x 32", *["| `reidlite,last_stride=2`, 48 x 32"] * 2]
    assert [row[1] for row in rows] == ["float32", "float32", "int8"] and "(1.0 x)" in rows[0][3]
    assert all(float(row[6].split(" %")[0]) > 0 for row in rows)
    done = run_python("benchmarks/deployment.py", "--networks", "reidlite@64", check=False)
    assert done.returncode == 2 and "allowed: SOURCE or SOURCE@HEIGHTxWIDTH" in done.stderr
