"""The load test of the HTTP service, with few clients and hostile ones."""

import subprocess
from collections.abc import Callable

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_serving(run_python: Run) -> None:
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, reason=f"{package} is not installed (the extra serve)")
    options = ["--clients", 1, 2, "--batch-size", 1, 4, "--rounds", 1, "--seconds", 0.5, "--hostile", 2]
    done = run_python("benchmarks/serving.py", *options)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    expected = [[size, bad, clients] for clients in "12" for size in "14" for bad in "02"]
    assert [row[:3] for row in rows] == expected
    assert all(int(row[7]) > 0 and float(row[5]) <= float(row[6]) and row[8] == "-" for row in rows)
    done = run_python("benchmarks/serving.py", "--ckpt", "absent.onnx", check=False)
    assert done.returncode == 2 and "the service did not start" in done.stderr
