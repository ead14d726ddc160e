"""Recipes parse, the ablation goes on where it stopped, tables keep protocols apart."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.ablation_table import paired_differences, read_ablation, verdict
from experiments.results import BEGIN, END, ResultsConfig, main, read_records, section, table
from reid.config import parse_config
from reid.train_options import TrainConfig

Run = Callable[..., subprocess.CompletedProcess[str]]
# Those of video training are looked at in tests/reid/test_video_options.py.
RECIPES = [
    path
    for path in sorted((Path(__file__).resolve().parents[1] / "experiments" / "recipes").glob("*.yaml"))
    if not path.name.startswith("video-")
]


def record(protocol: str, seed: int, value: float, run: str = "", **more: Any) -> dict[str, Any]:
    scores = {"Rank-1": value, "mAP": value / 2, "mINP": value / 4}
    names = {"dataset": "world-hard", "method": run, "protocol": protocol, "seed": seed, "distance": "Euclidean"}
    command = f"python train.py --lr 0.1 --seed {seed} --out {run}"
    origin = {"commit": "abc", "date": "2026-01-01", "hardware": "a machine", "command": command}
    return names | {"scores": scores} | origin | more


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses(path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("dataset:")[0]
    words = shlex.split(head.splitlines()[1].removeprefix("# python reid/image_reid_train.py "))
    assert words[:2] == ["--config", f"experiments/recipes/{path.name}"] and words[-1] == f"runs/{path.stem}"
    config = parse_config(TrainConfig, ["--config", str(path), *words[2:]])
    assert len(config.data.root) == len(config.data.names()) and ("-and-" in path.stem) == (len(config.data.root) > 1)
    assert ("-to-" in path.stem) == (config.continual.cross_domain is not None)
    assert path.stem.startswith(config.data.names()[0]) and config.network.sie == path.stem.endswith("-sie")
    world = path.stem.startswith("world-")
    assert config.run.epochs == (10 if world else 120)
    assert config.continual.continual == ("continual" in path.stem)
    inductive = config.continual.unlabelled is not None or config.continual.continual_on == "train"
    assert not config.continual.continual or inductive == ("inductive" in path.stem or world)
    assert ("TRANSDUCTIVE" in head) == (config.continual.continual and not inductive)


def test_there_is_a_recipe_for_every_row_of_the_result_tables() -> None:
    names = {path.stem for path in RECIPES}
    single = {"market1501", "dukemtmc", "msmt17", "veri776"}
    assert names >= {"cuhk03-detected", "cuhk03-labeled", "folder", "mot", "market1501-and-dukemtmc"}
    assert names >= {"market1501-sie", "dukemtmc-sie", "msmt17-sie"}
    across = {"market1501-to-dukemtmc", "dukemtmc-to-market1501"}
    assert names >= single | across | {f"{name}-continual" for name in single | across}
    assert names >= {f"{name}-continual-inductive" for name in across | {"market1501", "dukemtmc"}}


def test_tables_keep_protocols_apart() -> None:
    records = [record("inductive", 0, 0.5, "ce-0"), record("inductive", 1, 0.6, "ce-1")]
    records.append(record("transductive", 0, 0.9, "continual"))
    text = section(records)
    assert "| 1 | world-hard | ce-* | Euclidean | 0, 1 | 55.0 ± 7.1 | 27.5 ± 3.5 | 13.8 ± 1.8 |" in text
    assert text.index("Inductive") < text.index("ce-*") < text.index("Transductive") < text.index("| continual |")
    assert "1. `python train.py --lr 0.1 --seed 0 --out ce-0` (2026-01-01, abc, a machine)" in text
    with pytest.raises(ValueError, match="different protocols"):
        table(records)


def test_tracklets_have_a_table_of_their_own(tmp_path: Path) -> None:
    histogram = record("inductive", 0, 0.7, "colour histogram", items="tracklets", baseline=True)
    write(tmp_path / "video" / "result.json", [record("inductive", 0, 0.8, items="tracklets"), histogram])
    write(tmp_path / "image" / "result.json", [record("inductive", 0, 0.9)])
    records, faults = read_records(tmp_path)
    text = section(records)
    assert not faults and text.index("| image |") < text.index("Inductive tracklets") < text.index("| video |")
    assert "| video, colour histogram | Euclidean | 0 | 70.0 |" in text
    with pytest.raises(ValueError, match="different protocols"):
        table(records)


def test_only_runs_of_one_recipe_make_a_mean() -> None:
    other = record("inductive", 1, 0.6, "ce-1", command="python train.py --lr 0.2 --seed 1 --out ce-1")
    text = table([record("inductive", 0, 0.5, "ce-0"), other])
    assert "| ce-0 | Euclidean | 0 | 50.0 |" in text and "| ce-1 | Euclidean | 1 | 60.0 |" in text and "±" not in text
    same_seed = [record("inductive", 0, 0.5, "a/0"), record("inductive", 0, 0.6, "a/0/0")]
    assert "±" not in table(same_seed)


def test_steps_on_the_features_stand_beside_the_distance(tmp_path: Path) -> None:
    steps = [
        {"step": "flip", "protocol": "inductive"},
        {"step": "pca", "protocol": "inductive", "dimensions": 64, "whiten": False},
    ]
    write(tmp_path / "plain" / "result.json", [record("inductive", 0, 0.5, steps=[])])
    write(tmp_path / "more" / "result.json", [record("inductive", 0, 0.6, steps=steps)])
    text = section(read_records(tmp_path)[0])
    assert "| plain | Euclidean | 0 | 50.0 |" in text
    assert "| more | Euclidean; flip; pca dimensions 64 whiten False | 0 | 60.0 |" in text


def test_results_replace_their_section_only(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    main(ResultsConfig(tmp_path / "runs", page))
    assert page.read_text() == f"before\n{BEGIN}\nNo runs yet.\n{END}\nafter\n"
    write(tmp_path / "runs" / "a" / "result.json", [record("inductive", 0, 0.5), record("transductive", 0, 0.7)])
    main(ResultsConfig(tmp_path / "runs", page))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith(f"{END}\nafter\n") and "| a | Euclidean | 0 | 70.0 |" in text
    main(ResultsConfig(tmp_path / "runs", page))
    assert page.read_text() == text
    for wrong in (f"before\n{BEGIN}\n", f"{END}\n{BEGIN}\n"):
        page.write_text(wrong)
        with pytest.raises(ValueError, match="one of the markers"):
            main(ResultsConfig(tmp_path / "runs", page))
    page.write_text("before\n")
    main(ResultsConfig(tmp_path / "runs", page))
    assert page.read_text().startswith("before\n\n## Runs") and page.read_text().count(BEGIN) == 1


def test_records_of_other_kinds_are_left_alone_and_damaged_ones_are_named(tmp_path: Path) -> None:
    write(tmp_path / "track" / "result.json", {"strongsort": {"scores": {}}})
    write(tmp_path / "old" / "result.json", [{"scores": {"mAP": 0.5}}])
    write(tmp_path / "c" / "result.json", [record("inductive", 0, 0.5)])
    write(tmp_path / "c" / "source.json", {"backbone": "cares18", "scores": [record("inductive", 0, 0.4)]})
    records, faults = read_records(tmp_path)
    assert [found["method"] for found in records] == ["c", "c, before continual training"]
    assert len(faults) == 1 and "old/result.json" in faults[0]


def test_a_row_is_compared_with_the_one_above_seed_by_seed() -> None:
    above = {seed: record("inductive", seed, value) for seed, value in enumerate((0.2, 0.6, 0.9))}
    row = {seed: record("inductive", seed, value) for seed, value in ((1, 0.62), (2, 0.94))}
    assert paired_differences(row, above) == pytest.approx([0.01, 0.02])
    assert verdict([0.01, 0.02, 0.015]) == "helps" and verdict([-0.01, -0.02, -0.015]) == "**harms**"
    assert verdict([0.01, -0.02, 0.015]) == "no clear difference" and verdict([0.3]) == "one seed cannot tell"


@pytest.mark.slow
def test_ablation_goes_on_and_its_results_are_collected(run_python: Run, tmp_path: Path) -> None:
    out, page = tmp_path / "runs" / "ablation", tmp_path / "README.md"
    options = ["--out", out, "--level", "easy", "--seed", 0, "--labelled", 8, "--unlabelled", 8, "--tested", 6]
    options += ["--cameras", 2, "--images-per-camera", 4, "--processes", 1, "--precision", "no"]
    options += ["--options", "epochs=1", "height=32", "width=16", "batch_size=16", "threads=1"]
    # On its own, then as the first part of continual training: the same training, to the bit.
    first = run_python("experiments/ablation.py", *options, "--row", "renorm")
    assert "1 runs, 0 of them done" in first.stdout and "minutes left" in first.stdout
    alone = read_ablation(out)["easy"]["renorm"][0]
    options += [
        "cluster_k1=5",
        "cluster_k2=2",
        "min_samples=2",
        "eps=0.8",
        "continual_epochs=2",
        "continual_step_epochs=1",
    ]
    second = run_python("experiments/ablation.py", *options, "--row", "renorm", "continual", check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    rows = read_ablation(out)["easy"]
    assert rows["renorm"][0]["scores"] == alone["scores"] and rows["renorm"][0]["command"] != alone["command"]
    assert {row[0]["protocol"] for row in rows.values()} == {"inductive"}
    labelled, aside = (
        {path.name[:4] for path in (out / "seed-0" / name).glob("*.jpg")}
        for name in ("world-easy/bounding_box_train", "world-easy-unlabelled")
    )
    assert max(labelled) == "0008" and min(aside) == "0009" and max(aside) == "0016"
    third = run_python("experiments/ablation.py", *options, "--row", "renorm", "continual")
    assert "1 runs, 1 of them done" in third.stdout
    changed = run_python("experiments/ablation.py", *options, "lr=0.5", "--row", "continual", check=False)
    assert changed.returncode == 2 and "lr 0.001 (now 0.5)" in changed.stderr
    resized = run_python("experiments/ablation.py", "--out", out, "--labelled", 9, check=False)
    assert resized.returncode == 2 and "give the same, or another --out" in resized.stderr
    page.write_text("results\n")
    run_python("experiments/results.py", "--runs", tmp_path / "runs", "--readme", page)
    assert "| + batch renormalisation | inductive | 0 |" in page.read_text() and "![" in page.read_text()
    assert (tmp_path / "ablation.png").stat().st_size > 0 and "Pseudo labels: easy: " in page.read_text()


def test_an_inductive_recipe_without_its_folder_fails_before_the_training(
    run_python: Run, tiny_market: Path, tmp_path: Path
) -> None:
    options = ["--config", "experiments/recipes/world-continual.yaml", "--root", tiny_market, "--out", tmp_path / "run"]
    done = run_python("reid/image_reid_train.py", *options, check=False)
    assert done.returncode == 2 and "UNLABELLED: no such folder" in done.stderr and "epoch" not in done.stdout
    assert not (tmp_path / "run").exists()
