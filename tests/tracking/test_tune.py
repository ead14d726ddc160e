"""Tuning: what is tried, that it can be gone on with, and that the benchmark takes what comes out."""

import builtins
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tracking import TRACKERS, build_tracker, tracker_options
from tracking.mot16_benchmark import Mot16BenchmarkConfig, build_trackers, run_benchmark
from tracking.mot16_benchmark import main as benchmark_main
from tracking.tracker_file import read_tracker_file, write_tracker_file
from tracking.tune import main, tune
from tracking.tune_options import TuneConfig
from tracking.tune_ranges import RANGES, Choice, Span, chosen_ranges
from tracking.tune_report import draw_history
from tracking.tune_study import Trial, run_study
from tracking.tune_trials import objective_value

needs_optuna = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("optuna") is None, reason="optuna is missing: pip install optuna"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sequences of four people who cross, with weak false boxes and looks."""
    root = tmp_path_factory.mktemp("tune")
    (root / "features").mkdir()
    for number in (2, 5, 9):
        rng = np.random.default_rng(number)
        folder = root / "train" / f"MOT16-{number:02d}"
        (folder / "gt").mkdir(parents=True)
        (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={folder.name}\nseqLength=40\n")
        truth, table = [], []
        start, step = rng.uniform(50, 300, (4, 2)), rng.normal(0, 5, (4, 2))
        for frame in range(1, 41):
            for person in range(4):
                left, top = start[person] + step[person] * frame
                truth.append([frame, person + 1, round(left, 1), round(top, 1), 30, 80, 1, 1, 1])
                if rng.random() < 0.85:
                    table.append([frame, -1, *(truth[-1][2:4] + rng.normal(0, 2, 2)), 30, 80, rng.uniform(0.4, 1)])
                    table[-1] += list(np.eye(16)[person] + rng.normal(0, 0.2, 16))
            if rng.random() < 0.7:
                table.append([frame, -1, *rng.uniform(0, 400, 2), 30, 80, rng.uniform(0.1, 0.6), *rng.normal(0, 1, 16)])
        (folder / "gt" / "gt.txt").write_text("".join(",".join(map(str, row)) + "\n" for row in truth))
        np.save(root / "features" / f"MOT17-{number:02d}-FRCNN.npy", np.array(table))
    return root


def config(world: Path, out: Path, **options) -> TuneConfig:
    base = {"gt": world / "train", "detections": world / "features", "out": out, "tracking_method": "sort"}
    return TuneConfig(**{**base, **options})


@needs_optuna
def test_tuned_options_go_into_the_benchmark_and_give_the_same_scores(world: Path, tmp_path: Path, capsys) -> None:
    record = tune(config(world, tmp_path / "a", trials=6, hold_out=("MOT16-09",), seed=3))
    scores = record["scores"]
    assert scores["sequences"] == {"tune": ["MOT17-02-FRCNN", "MOT17-05-FRCNN"], "hold_out": ["MOT17-09-FRCNN"]}
    before, after = (scores["tune"][kind]["COMBINED"]["HOTA"] for kind in ("default", "tuned"))
    assert after > before and len(scores["trials"]) == 6
    assert max(trial["value"] for trial in scores["trials"]) == pytest.approx(after)
    assert scores["trials"][0]["value"] == pytest.approx(before)  # the first one is the default
    assert "held out: COMBINED" in capsys.readouterr().out
    page = (tmp_path / "a" / "tuning.md").read_text()
    assert "| tuned on: COMBINED | tuned |" in page and "6 trials, HOTA" in page
    assert (tmp_path / "a" / "history.png").read_bytes().startswith(b"\x89PNG")
    written = yaml.safe_load((tmp_path / "a" / "options.yaml").read_text())
    assert set(written) == {"sort"} and set(written["sort"]) == set(tracker_options("sort"))
    benchmark = Mot16BenchmarkConfig(
        gt=world / "train",
        detections=world / "features",
        out=tmp_path / "b",
        tracking_method=("sort",),
        tracker_options=tmp_path / "a" / "options.yaml",
    )
    found = run_benchmark(benchmark)["sort"]["scores"]
    for group, names in scores["sequences"].items():
        for name in names:
            for metric in ("HOTA", "IDF1", "MOTA", "IDSW"):
                assert found["sequences"][name][metric] == pytest.approx(scores[group]["tuned"][name][metric], abs=1e-9)


@needs_optuna
def test_same_seed_same_trials_also_after_an_interruption(world: Path, tmp_path: Path, monkeypatch) -> None:
    ranges = {"x": Span(-1.0, 1.0), "n": Span(1, 9, logarithmic=True), "flag": Choice((False, True))}
    first = {"x": 0.5, "n": 3, "flag": True}
    asked = []

    def value(params) -> float:
        asked.append(dict(params))
        return -abs(params["x"]) - 0.1 * params["n"] - params["flag"]

    def interrupted(params) -> float:
        if len(asked) == 13:
            raise KeyboardInterrupt
        return value(params)

    setup = {"seed": 1}
    whole = run_study(tmp_path / "whole", setup, ranges, first, value, 20)
    assert whole[0] == Trial(first, value(first)) and len({str(trial.params) for trial in whole}) > 10
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        run_study(tmp_path / "parts", setup, ranges, first, interrupted, 20)
    counted = []
    assert run_study(tmp_path / "parts", setup, ranges, first, value, 20, counted.append) == whole
    assert sum(counted) == 20 and len(asked) == 20
    assert run_study(tmp_path / "parts", setup, ranges, first, value, 5) == whole[:5] and len(asked) == 20
    other = run_study(tmp_path / "other", {"seed": 2}, ranges, {**first, "x": 7.0}, value, 3)
    assert other[1:] != whole[1:3] and other[0].params["x"] != 7.0  # out of its range, so it was drawn
    with pytest.raises(ValueError, match="another seed; give another --out"):
        run_study(tmp_path / "parts", {"seed": 2}, ranges, first, value, 20)
    (tmp_path / "broken").write_text("no journal\nat all\n")
    with pytest.raises(ValueError, match="broken: not a readable study"):
        run_study(tmp_path / "broken", setup, ranges, first, value, 1)


@needs_optuna
def test_going_on_needs_the_same_data_and_options(world: Path, tmp_path: Path, capsys) -> None:
    base = config(world, tmp_path, trials=2, params=("min_iou",), tune_on=("MOT16-02",))
    tune(base)
    assert "no sequence was held out" in capsys.readouterr().out
    tune(replace(base, trials=3))
    for changed, word in (
        (replace(base, tune_on=("MOT16-05",)), "set of sequences, detections or embeddings"),
        (replace(base, objective="mean"), "objective"),
        (replace(base, max_age=3), "option of the tracker"),
        (replace(base, params=("n_init",)), "options to tune or range"),
        (replace(base, interpolation="linear"), "offline step"),
    ):
        with pytest.raises(ValueError, match=f"another .*{word}"):
            tune(changed)


@needs_optuna
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tune-on", "MOT16-02", "--hold-out", "MOT17-02-FRCNN"], "got MOT16-02 in both"),
        (["--hold-out", "MOT16-02", "MOT16-05", "MOT16-09"], "--hold-out: got all sequences"),
        (["--tune-on", "MOT16-77"], "--tune-on: got 'MOT16-77', allowed: MOT16-02, "),
        (["--tracking-method", "nosort"], "tracker: got 'nosort', allowed: botsort"),
        (["--params", "max_cosine"], "--params: got max_cosine, allowed for sort: "),
        (["--params", "max_age", "--max-age", "3"], "max_age, which is set to 3"),
        (["--params", "max_age", "max_age"], "each once"),
        (["--trials", "0"], "trials: got 0"),
        (["--min-confidence", "0.9"], "--min-confidence: got 0.9, allowed to tune it: below 0.8"),
        (["--tracking-method", "strongsort", "--ema", "False", "--params", "ema_momentum"], "changes nothing with ema"),
        (["--max-cosine", "0.2"], "--max-cosine: not an option of sort"),
    ],
)
def test_user_errors_are_one_line(world: Path, tmp_path: Path, capsys, options: list[str], words: str) -> None:
    base = ["--gt", world / "train", "--detections", world / "features", "--out", tmp_path, "--trials", "1"]
    assert main([*map(str, base), "--tracking-method", "sort", *options]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error and words in error, error


def test_without_optuna_it_says_how_to_install_it(world: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["--gt", str(world / "train"), "--out", str(tmp_path), "--tracking-method", "sort"]) == 2
    assert "pip install optuna" in capsys.readouterr().err


@pytest.mark.parametrize("method", TRACKERS)
def test_ranges_hold_the_defaults_and_their_ends_build(method: str) -> None:
    options = build_tracker(method).options
    for name, span in RANGES[method].items():
        assert getattr(options, name) in span, name
        for value in span.values if isinstance(span, Choice) else (span.low, span.high):
            build_tracker(method, **{name: value})
    ranges = chosen_ranges(method, options, None, {"max_age": 9}, 0.2)
    assert set(RANGES[method]) - set(ranges) == {"max_age"}
    if "min_confidence" in ranges:
        assert ranges["min_confidence"] == Span(0.2, 0.8)
    if hasattr(options, "appearance"):
        blind = build_tracker(method, appearance=False).options
        assert set(chosen_ranges(method, blind, None, {}, 0.1)) < set(RANGES[method])


def test_objectives() -> None:
    scores = {"COMBINED": {"HOTA": 0.3, "IDF1": 0.6, "MOTA": 0.9}}
    assert [objective_value(scores, name) for name in ("HOTA", "IDF1", "MOTA", "mean")] == [0.3, 0.6, 0.9, 0.6]


def test_a_hopeless_trial_does_not_flatten_the_picture(tmp_path: Path) -> None:
    values = [0.5, 0.52, -3.0, 0.53, 0.54]
    draw_history(tmp_path / "a.png", [Trial({}, value) for value in values], 0.5, "MOTA")
    draw_history(tmp_path / "b.png", [Trial({}, value) for value in values[:1]], 0.5, "MOTA")
    assert (tmp_path / "a.png").stat().st_size > 5000 and (tmp_path / "b.png").is_file()


def test_options_from_a_file_stand_below_those_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    write_tracker_file(path, "sort", build_tracker("sort", min_iou=0.2, min_confidence=0.4).options, "two\nlines")
    assert path.read_text().startswith("# two\n# lines\nsort:\n")
    assert read_tracker_file(path, ("sort", "bytetrack"))["sort"]["min_iou"] == 0.2
    base = Mot16BenchmarkConfig(gt=tmp_path, out=tmp_path, tracking_method=("sort", "bytetrack"), tracker_options=path)
    trackers = build_trackers(base)
    assert trackers["sort"].options == build_tracker("sort", min_iou=0.2, min_confidence=0.4).options
    assert trackers["bytetrack"].options == build_tracker("bytetrack").options
    assert build_trackers(replace(base, min_iou=0.6))["sort"].options.min_iou == 0.6
    assert build_trackers(replace(base, min_confidence=0.5))["sort"].options.min_confidence == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sort: [1", "not readable as YAML"),
        ("- sort", "got list, allowed: tracker -> option -> value"),
        ("nosort: {}", "tracker: got 'nosort'"),
        ("sort: {bogus: 1}", "option of sort: got 'bogus'"),
        ("sort: {min_iou: 7}", "min_iou: got 7"),
        ("strongsort: {ema: 3}", "ema: got 3, allowed: true, false"),
        ("bytetrack: {}", "got options of bytetrack; allowed: of sort"),
    ],
)
def test_wrong_files_of_options(tmp_path: Path, capsys, text: str, words: str) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(text)
    arguments = ["--gt", tmp_path, "--out", tmp_path, "--tracking-method", "sort", "--tracker-options", path]
    assert benchmark_main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert str(path) in error and words in error and error.count("\n") == 1


def test_a_limit_of_looks_from_a_file_wins_over_the_networks_card(world: Path, tmp_path: Path, monkeypatch) -> None:
    import reid.embedder
    from tracking.benchmark_runs import plan_runs
    from tracking.checkpoints import Checkpoint

    monkeypatch.setattr(reid.embedder, "read_cosine_limit", lambda path, fmr: 0.55)
    path = tmp_path / "options.yaml"
    path.write_text(json.dumps({"strongsort": {"max_cosine": 0.12}}))
    network = Checkpoint(Path("model.onnx"), "model", "cpu", "fp32", "x")
    base = Mot16BenchmarkConfig(gt=world, out=tmp_path, reid=(network.path,), tracker_options=path)
    run = plan_runs(base, [network])[0]
    assert run.tracker.options.max_cosine == 0.12 and "options.yaml" in str(run.gate)
    assert plan_runs(replace(base, max_cosine=0.2), [network])[0].tracker.options.max_cosine == 0.2
    assert plan_runs(replace(base, tracker_options=None), [network])[0].tracker.options.max_cosine == 0.55
    with pytest.raises(ValueError, match="--gate-fmr with max_cosine in --tracker-options"):
        plan_runs(replace(base, gate_fmr=0.01), [network])
