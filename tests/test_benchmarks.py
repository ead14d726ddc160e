"""Every script below benchmarks/: its help, and a tiny run of those that need no other library's environment."""

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.backbones import measure as measure_runs
from benchmarks.scaling import WORKS, is_measured, measure, write_inputs

Run = Callable[..., subprocess.CompletedProcess[str]]
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_help_from_any_folder(path: Path, run_python: Run, tmp_path: Path) -> None:
    assert "usage" in run_python(path, "--help", cwd=tmp_path).stdout


def test_reranking_and_scoring(run_python: Run) -> None:
    options = ["--scale", 0.01, "--dim", 8, "--repeats", 1, "--without-torchreid"]
    done = run_python("benchmarks/reranking.py", *options)
    assert "34 queries, 159 gallery items, 8-d" in done.stdout and "| k_reciprocal_rerank | " in done.stdout
    done = run_python("benchmarks/scoring.py", *options)
    assert "| evaluate_rank, from the matrix | " in done.stdout and "| evaluate_features, from" in done.stdout


def test_scaling_goes_on_where_it_stopped(run_python: Run, tmp_path: Path) -> None:
    options = ["--dim", 8, "--out", tmp_path, "--work", "top-k", "--items"]
    first = run_python("benchmarks/scaling.py", *options, 60)
    assert (
        "| 60 | 10 | " in first.stdout and "| items | of them queries | k_reciprocal_rerank(top_k), s |" in first.stdout
    )
    (path,) = (tmp_path / "rows").iterdir()
    row = json.loads(path.read_text())
    assert path.name == "top-k-60-10.json" and row["seconds"] > 0 and row["gigabytes"] >= 0 and row["commit"]
    second = run_python("benchmarks/scaling.py", *options, 60)
    assert second.stdout == first.stdout and second.stderr == ""
    assert (tmp_path / "scaling.md").read_text() == first.stdout and (tmp_path / "scaling.png").stat().st_size > 0
    settings = {name: row[name] for name in ("dim", "top_k", "neighbours", "device", "seed", "items", "queries")}
    assert is_measured(tmp_path, "top-k", settings) and not is_measured(tmp_path, "rerank", settings)
    with pytest.raises(SystemExit, match=r"top_k 100 \(now 7\); give the same, or another --out"):
        is_measured(tmp_path, "top-k", settings | {"top_k": 7})


@pytest.mark.parametrize("work", WORKS)
def test_every_work_of_scaling(work: str, tmp_path: Path) -> None:
    write_inputs(tmp_path, 60, 8, seed=0)
    options = {"job": work, "folder": tmp_path, "queries": 10, "top_k": 3, "neighbours": "exact", "device": "cpu"}
    assert measure(argparse.Namespace(**options))["seconds"] > 0


def test_million_on_a_small_gallery(run_python: Run) -> None:
    pytest.importorskip("faiss")
    options = ["--gallery", 2000, "--queries", 20, "--dim", 16, "--methods", "ivf"]
    done = run_python("benchmarks/million.py", *options)
    assert "20 queries, 2,000 gallery items, 16-d" in done.stdout
    assert "| ivf | " in done.stdout and "of the 21 nearest, measured on 1000 of 2020 items" in done.stdout


@pytest.mark.slow  # compiles the pixel loops anew
def test_speed_of_the_world(run_python: Run) -> None:
    done = run_python("benchmarks/world.py", "--crops", 1, "--frames", 1, "--people", 1)
    assert "| crops | 64x128 | " in done.stdout and "| frames, 1 people | 960x540 | " in done.stdout


@pytest.mark.real_data
def test_speed_of_trackers(run_python: Run, shared_data: Path, tmp_path: Path) -> None:
    source = min((shared_data / "deepsort-features").rglob("*.npy"), key=lambda path: path.stat().st_size)
    (tmp_path / source.name).symlink_to(source)
    done = run_python("benchmarks/tracking.py", "--data", tmp_path, "--repeats", 1)
    assert "| sort | " in done.stdout


@pytest.mark.slow
def test_backbones(run_python: Run) -> None:
    options = ["--base", "reidlite@64x32", "--networks", "reidlite@32x32", "--width-factors", 0.25, "--rounds", 1]
    done = run_python("benchmarks/backbones.py", *options, "--least", 0.01)
    assert "| `reidlite` | 64 x 32 | 1.19 M | " in done.stdout and done.stdout.count("(1.0 x)") >= 4
    assert "| `reidlite width_factor=0.25` | 32 x 32 | " in done.stdout
    wrong = run_python("benchmarks/backbones.py", "--networks", "reidlite@64", check=False)
    assert wrong.returncode == 2 and "got reidlite@64, allowed: NAME or NAME@HEIGHTxWIDTH" in wrong.stderr


def test_networks_take_turns() -> None:
    seen: list[str] = []
    ticks = iter(range(1000))
    runs = [lambda name=name: seen.append(name) for name in "ab"]
    found = measure_runs(runs, rounds=2, least=3.0, clock=lambda: float(next(ticks)))
    assert "".join(seen) == "aabb" + "aaabbb" * 2
    assert found == [[1 / 3, 1 / 3], [1 / 3, 1 / 3]]
