"""Recipes parse, the ablation goes on where it stopped, tables keep protocols apart."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.results import BEGIN, END, ResultsConfig, main, section, table
from reid.config import parse_config
from reid.train_options import TrainConfig

Run = Callable[..., subprocess.CompletedProcess[str]]


def record(protocol: str, seed: int, value: float, method: str = "ce") -> dict[str, Any]:
    scores = {"Rank-1": value, "mAP": value / 2, "mINP": value / 4}
    names = {"dataset": f"world-hard-{seed}", "method": method, "protocol": protocol, "seed": seed}
    return names | {"scores": scores, "commit": "abc", "date": "2026-01-01", "hardware": "CPU", "command": "python x"}


def test_every_recipe_parses(repository: Path) -> None:
    recipes = sorted((repository / "experiments" / "recipes").glob("*.yaml"))
    assert len(recipes) >= 13
    for path in recipes:
        more = ["--cross-domain", "B"] if "-to-" in path.name else []
        config = parse_config(TrainConfig, ["--config", str(path), "--root", "A", *more])
        assert config.run.epochs >= 15
        head = path.read_text().splitlines()
        assert any(
            f"experiments/recipes/{path.name}" in line or "ablation.py" in line for line in head if line[0] == "#"
        )


def test_tables_keep_protocols_apart() -> None:
    records = [record("inductive", 0, 0.5), record("inductive", 1, 0.6), record("transductive", 0, 0.9, "continual")]
    text = section(records)
    assert "| world-hard | ce | 0, 1 | 55.0 ± 7.1 | 27.5 ± 3.5 |" in text
    assert text.index("Inductive") < text.index("ce |") < text.index("Transductive") < text.index("continual |")
    with pytest.raises(ValueError, match="different protocols"):
        table(records)


def test_results_replace_their_section_only(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    main(ResultsConfig(tmp_path / "runs", page))
    assert page.read_text() == f"before\n{BEGIN}\nNo runs yet.\n{END}\nafter\n"
    page.write_text(f"before\n{BEGIN}\n")
    with pytest.raises(ValueError, match="one of the markers"):
        main(ResultsConfig(tmp_path / "runs", page))
    page.write_text("before\n")
    main(ResultsConfig(tmp_path / "runs", page))
    assert page.read_text().startswith("before\n\n## Runs") and page.read_text().count(BEGIN) == 1


def test_ablation_goes_on_and_its_results_are_collected(run_python: Run, tmp_path: Path) -> None:
    options = ["--out", tmp_path / "runs", "--level", "easy", "--seed", 0, "--pids", 8, "--cameras", 2]
    small = ["--options", "epochs=1", "height=32", "width=16", "bs=8"]
    first = run_python("experiments/ablation.py", *options, "--recipe", "ce", *small)
    assert "1 runs, 0 of them done" in first.stdout and "minutes left" in first.stdout
    second = run_python("experiments/ablation.py", *options, "--recipe", "ce", "renorm", *small)
    assert "2 runs, 1 of them done" in second.stdout and "1/1 easy-renorm-0" in second.stdout
    page = tmp_path / "README.md"
    page.write_text("results\n")
    run_python("experiments/results.py", "--runs", tmp_path / "runs", "--readme", page)
    assert "| world-easy | easy-ce | 0 |" in page.read_text() and "| world-easy | easy-renorm | 0 |" in page.read_text()
