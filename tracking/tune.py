"""Tunes a tracker's options on some sequences and tells how they do on others.

python -m tracking.tune --gt DIR --detections DIR --tracking-method strongsort --hold-out SEQ --trials 100 --out DIR
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: the repository root, not this folder, is where imports start
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reid.command_flags import spelt_out
from reid.files import write_json, write_text
from reid.records import score_record
from tracking.benchmark_data import Workload, load_workload, uses_images
from tracking.benchmark_runs import Run, build_trackers, plan_runs
from tracking.benchmark_sources import prepare_sources, require_embeddings, run_detections
from tracking.checkpoints import open_checkpoints
from tracking.default_network import with_default_network
from tracking.layouts import footage
from tracking.progress_bar import progress_bar
from tracking.sequences import find_sequences, match_sequences, read_sequence
from tracking.tracker_file import write_tracker_file
from tracking.tune_options import TuneConfig
from tracking.tune_ranges import Range, chosen_ranges
from tracking.tune_report import DEFAULT, TUNED, draw_history, option_table, score_table
from tracking.tune_study import Trial, require_optuna, run_study
from tracking.tune_trials import Bench, Scores, Subject, data_fingerprint, objective_value
from tracking.workers import Workers, open_workers

JOURNAL = "study.journal"
OPTIONS = "options.yaml"


def tune(config: TuneConfig) -> dict[str, Any]:
    """Tunes a tracker and writes what `TuneConfig.out` tells.

    Returns:
        The record in result.json: its "scores" hold, for "tune" and "hold_out", the scores of the default and of the
        tuned options by sequence and COMBINED; then "options", the tuned ones, and "trials".

    Raises:
        OSError: When a file cannot be written.
        ValueError: When an option, a file or the data are wrong; the message says what to do.
    """
    config.check()
    require_optuna()  # said before an hour of detection is spent
    benchmark = config.as_benchmark()
    benchmark.check()
    benchmark = with_default_network(benchmark, build_trackers(benchmark).values())
    checkpoints = open_checkpoints(benchmark.reid, config.device, config.precision)
    run = plan_runs(benchmark, checkpoints)[0]
    fixed, method = config.fixed(), config.tracking_method
    ranges = chosen_ranges(method, run.tracker.options, config.params, fixed, config.min_confidence)
    workload = load_workload(benchmark, uses_images(benchmark, [run.tracker]))
    groups = split_sequences(workload, config.tune_on, config.hold_out)
    works = {name: workload.works[name] for names in groups.values() for name in names}
    workload = replace(workload, works=works)
    with open_workers(config.processes) as workers:
        subjects = _subjects(config, workload, run, workers)
        bench = Bench(run, workload.form, benchmark.cache_folder, workers, config.processes)
        chosen = {group: {name: subjects[name] for name in names} for group, names in groups.items()}
        default = bench.score({}, chosen["tune"])
        trials = _run_trials(config, bench, ranges, chosen["tune"])
        best = _best(trials, objective_value(default, config.objective))
        scores: dict[str, dict[str, Scores]] = {}
        for group, members in chosen.items():
            before = default if group == "tune" else bench.score({}, members)
            scores[group] = {DEFAULT: before, TUNED: bench.score(best, members)}
    return _write(config, workload, bench, ranges, trials, best, scores)


def split_sequences(
    workload: Workload, tune_on: tuple[str, ...] | None, hold_out: tuple[str, ...]
) -> dict[str, list[str]]:
    """Returns the names of the sequences to "tune" on and, where there are any, those to "hold_out".

    Args:
        workload: All sequences.
        tune_on: Names of detections or ground truth; None takes all that are not held out.
        hold_out: The same.

    Raises:
        ValueError: When a name is unknown, a sequence has no ground truth, nothing is left to tune on, or footage is
            on both sides.
    """
    held = _named(workload, "--hold-out", hold_out)
    tuned = [name for name in workload.works if name not in held]
    if tune_on is not None:
        tuned = _named(workload, "--tune-on", tune_on)
    films = {name: footage(workload.works[name].sequence.name)[0] for name in [*tuned, *held]}
    shared = sorted({films[name] for name in tuned} & {films[name] for name in held})
    if shared:
        raise ValueError(
            f"--tune-on, --hold-out: got {', '.join(shared)} in both, allowed: each footage in one of them"
        )
    if not tuned:
        raise ValueError("--hold-out: got all sequences, allowed: some, so that there are others to tune on")
    for name in [*tuned, *held]:
        if not workload.works[name].has_truth:
            raise ValueError(f"{workload.works[name].sequence.folder}: no gt/gt.txt to score {name} against")
    return {"tune": tuned, "hold_out": held} if held else {"tune": tuned}


def _named(workload: Workload, flag: str, wanted: tuple[str, ...]) -> list[str]:
    known = {name: {name, work.sequence.name} for name, work in workload.works.items()}
    for name in wanted:
        if not any(name in names for names in known.values()):
            raise ValueError(f"{flag}: got {name!r}, allowed: {', '.join(sorted(set().union(*known.values())))}")
    return [name for name, names in known.items() if names & set(wanted)]


def _subjects(config: TuneConfig, workload: Workload, run: Run, workers: Workers) -> dict[str, Subject]:
    checkpoints = [run.checkpoint] if run.checkpoint is not None and run.appearance else []
    sources = prepare_sources(config.as_benchmark(), workload, checkpoints, workers)
    require_embeddings([run], sources)
    truth = find_sequences(workload.truth)
    matched = match_sequences(workload.works, truth, workload.truth_names)
    return {
        name: Subject(work, read_sequence(truth[matched[name]]), run_detections(run, sources[name]))
        for name, work in workload.works.items()
    }


def _run_trials(
    config: TuneConfig, bench: Bench, ranges: Mapping[str, Range], subjects: Mapping[str, Subject]
) -> list[Trial]:
    options = vars(bench.run.tracker.options)
    setup = {
        "seed": config.seed,
        "tracking method": config.tracking_method,
        "objective": config.objective,
        "options to tune or range": {name: _plain(asdict(span)) for name, span in ranges.items()},
        "option of the tracker": {name: value for name, value in options.items() if name not in ranges},
        "offline step": {name: str(value) for name, value in vars(bench.run.offline).items()},
        "set of sequences, detections or embeddings": data_fingerprint(subjects),
    }

    def evaluate(params: Mapping[str, Any]) -> float:
        return objective_value(bench.score(params, subjects), config.objective)

    with progress_bar(f"tune {config.tracking_method}", config.trials) as advance:
        return run_study(config.out / JOURNAL, setup, ranges, options, evaluate, config.trials, advance)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _best(trials: list[Trial], default: float) -> dict[str, Any]:
    """Returns the options of the best trial, the first of equals; none where the default is as good."""
    best = max(trials, key=lambda trial: trial.value)
    return best.params if best.value > default else {}


def _write(
    config: TuneConfig,
    workload: Workload,
    bench: Bench,
    ranges: Mapping[str, Range],
    trials: list[Trial],
    best: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, Scores]],
) -> dict[str, Any]:
    """Prints and writes the tables, the picture, the options and the record."""
    run, tuned = bench.run, bench.options(best)
    record = score_record(
        {
            **scores,
            "objective": config.objective,
            "detector": config.detector,
            "sequences": {
                group: [name for name in both[DEFAULT] if name != "COMBINED"] for group, both in scores.items()
            },
            "options": vars(tuned),
            "default": run.settings,
            "trials": [asdict(trial) for trial in trials],
        },
        protocol="inductive",
        dataset=workload.dataset,
        split=workload.split,
        seed=config.seed,
        checkpoint=None if run.checkpoint is None else run.checkpoint.path,
    )
    tables = [score_table(scores), option_table(run.method, run.tracker.options, tuned, ranges)]
    for table in tables:
        table.show()
    facts = [f"- {name}: `{record[name]}`" for name in ("command", "commit", "date", "hardware")]
    facts.append(f"- {len(trials)} trials, {config.objective} made as high as possible, seed {config.seed}")
    text = "\n".join([f"# {run.method} tuned", "", *facts, "", *(table.markdown() for table in tables)])
    write_text(config.out / "tuning.md", text)
    default = objective_value(scores["tune"][DEFAULT], config.objective)
    draw_history(config.out / "history.png", trials, default, config.objective)
    heading = f"Tuned for {config.objective} on {', '.join(record['scores']['sequences']['tune'])}; see tuning.md."
    write_tracker_file(config.out / OPTIONS, run.method, tuned, heading)
    write_json(config.out / "result.json", record)
    print(f"\nwrote {config.out / OPTIONS}; python tracking/mot16_benchmark.py takes it as --tracker-options")
    return record


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    import tyro

    config = tyro.cli(TuneConfig, args=spelt_out(arguments, TuneConfig))
    try:
        tune(config)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
