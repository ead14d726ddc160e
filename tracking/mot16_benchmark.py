"""Tracks the sequences of a benchmark, writes MOT results and scores them with TrackEval.

python tracking/mot16_benchmark.py --gt DIR --detections DIR --tracking-method strongsort sort --reid CKPT --out DIR
python tracking/mot16_benchmark.py --benchmark MOT17 --split val-half --root DIR --detector yolo:WEIGHTS --out DIR
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: the repository root, not this folder, is where imports start
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reid.command_flags import spelt_out
from reid.files import write_json, write_text
from reid.records import score_record
from tracking.ablation_table import ablation_table
from tracking.benchmark_data import Workload, load_workload, uses_images
from tracking.benchmark_jobs import Sources, TrackJob, track
from tracking.benchmark_options import Mot16BenchmarkConfig
from tracking.benchmark_runs import Run, ablation_runs, build_trackers, plan_runs
from tracking.benchmark_sources import prepare_sources, require_embeddings, run_detections
from tracking.checkpoints import open_checkpoints
from tracking.default_network import with_default_network
from tracking.evaluation import evaluate_mot
from tracking.progress_bar import progress_bar
from tracking.run_record import SUFFIX, record_run, write_run
from tracking.runner import TrackedSequence
from tracking.score_page import score_page
from tracking.score_tables import ScoredRun, TextTable, matrix_table, run_table, scores_csv, summary_table
from tracking.submission import write_submission
from tracking.workers import Workers, open_workers

__all__ = ["Mot16BenchmarkConfig", "build_trackers", "main", "run_benchmark"]


def run_benchmark(config: Mot16BenchmarkConfig) -> dict[str, Any]:
    """Tracks, scores, prints tables and writes what `Mot16BenchmarkConfig.out` tells.

    Returns:
        Run to score record. Its "scores" are those of `evaluate_mot` without the curves, where there is ground truth,
        plus "frames_per_second", update() alone, for which the camera's motion is found beforehand, the tracker's
        "options" and its "offline" steps.

    Raises:
        ValueError: When the options, a file or the data are wrong; the message says what to do.
    """
    config.check()
    trackers = build_trackers(config)  # what is wrong with the options is said before anything is read
    config = with_default_network(config, trackers.values())
    checkpoints = open_checkpoints(config.reid, config.device, config.precision)
    runs = plan_runs(config, checkpoints)
    for limit in dict.fromkeys(str(run.gate) for run in runs if run.gate is not None):
        print(f"appearance limit: {limit}")
    workload = load_workload(config, uses_images(config, trackers.values()))
    if config.ablate is not None and not workload.truth_names:
        raise ValueError(f"--ablate: {workload.dataset}, {workload.split} has no ground truth to score against")
    with open_workers(config.processes, config.cluster) as workers:
        sources = prepare_sources(config, workload, checkpoints if any(run.appearance for run in runs) else [], workers)
        if config.ablate is not None:
            runs = _ablation(runs[0], workload, sources)
        require_embeddings(runs, sources)
        tracked = _track(config, runs, workload, sources, workers)
    scored = [_score(config, run, workload, tracked[run.label]) for run in runs]
    if config.log_costs:
        _keep_runs(config, runs, workload, sources)
    tables = _tables(config, scored)
    for table in tables:
        table.show()
    records = {run.label: _record(config, run, workload, result) for run, result in zip(runs, scored)}
    _write(config, workload, scored, tables, records)
    return records


def _ablation(base: Run, workload: Workload, sources: Mapping[str, Sources]) -> list[Run]:
    label = "" if base.checkpoint is None else base.checkpoint.label
    images = all(work.sequence.images for work in workload.works.values())
    embeddings = all(source[label].embeddings is not None for source in sources.values() if label in source)
    return list(ablation_runs(base, images, embeddings))


def _track(
    config: Mot16BenchmarkConfig,
    runs: Sequence[Run],
    workload: Workload,
    sources: Mapping[str, Sources],
    workers: Workers,
) -> dict[str, dict[str, TrackedSequence]]:
    """Returns the tracks by run and sequence."""
    jobs, tracked = [], {run.label: {} for run in runs}  # type: ignore[var-annotated]
    for run in runs:
        for name, work in workload.works.items():
            detections = run_detections(run, sources[name])
            settings = (config.cache_folder, workers.count > 1)
            jobs.append(TrackJob(run.label, run.tracker, run.offline, work, detections, *settings))
    with progress_bar("tracks", len(jobs), quiet=workers.count == 1) as advance:
        for job, result in zip(jobs, workers.map(track, jobs)):
            tracked[job.title][job.work.name] = result
            advance(1)
    return tracked


def _keep_runs(
    config: Mot16BenchmarkConfig, runs: Sequence[Run], workload: Workload, sources: Mapping[str, Sources]
) -> None:
    """Writes what each tracker was given beside its results."""
    for run in runs:
        for name, work in workload.works.items():
            record = record_run(run.tracker, run.offline, run_detections(run, sources[name]), work.sequence.frames)
            write_run(config.out / run.label / f"{name}{SUFFIX}", record)


def _score(
    config: Mot16BenchmarkConfig, run: Run, workload: Workload, tracked: Mapping[str, TrackedSequence]
) -> ScoredRun:
    """Writes the results of a run and their archive, and scores those that have ground truth."""
    folder = config.out / run.label
    for stale in (*folder.glob("*.txt"), *folder.glob(f"*{SUFFIX}")):
        stale.unlink()  # a result of an earlier run over other sequences would be scored along
    for name, result in tracked.items():
        result.write(folder / f"{name}.txt")
    archive = {alias: folder / f"{name}.txt" for name in tracked for alias in workload.archive_names[name]}
    write_submission(archive, config.out / f"{run.label}.zip", workload.archive_folder)
    speed = {name: result.frames / max(result.seconds, 1e-9) for name, result in tracked.items()}
    frames = {name: result.frames for name, result in tracked.items()}
    speed["COMBINED"] = sum(frames.values()) / max(sum(result.seconds for result in tracked.values()), 1e-9)
    evaluation = None
    if workload.truth_names:
        processes = 1 if config.cluster is not None else config.processes
        evaluation = evaluate_mot(workload.truth, folder, workload.truth_names, workload.form, processes)
    checkpoint = "" if run.checkpoint is None else run.checkpoint.label
    return ScoredRun(run.label, run.method, checkpoint, evaluation, speed, frames, run.switched)


def _tables(config: Mot16BenchmarkConfig, scored: Sequence[ScoredRun]) -> list[TextTable]:
    """Returns the tables for the console."""
    if config.ablate is not None:
        return [run_table(scored[0]), ablation_table(scored, config.resamples, config.seed)]
    tables = [run_table(run) for run in scored]
    if len(scored) > 1 and scored[0].evaluation is not None:
        tables.append(summary_table(scored))
    matrix = matrix_table(scored)
    return tables if matrix is None else [*tables, matrix]


def _record(config: Mot16BenchmarkConfig, run: Run, workload: Workload, scored: ScoredRun) -> dict[str, Any]:
    scores = {key: value for key, value in (scored.evaluation or {}).items() if key != "curves"}
    scores |= {
        "frames": dict(scored.frames),
        "frames_per_second": dict(scored.speed),
        "detector": config.detector,
        **run.settings,
    }
    return score_record(
        scores,
        protocol="inductive",
        dataset=workload.dataset,
        split=workload.split,
        seed=None if config.ablate is None else config.seed,
        checkpoint=None if run.checkpoint is None else run.checkpoint.path,
    )


def _write(
    config: Mot16BenchmarkConfig,
    workload: Workload,
    scored: Sequence[ScoredRun],
    tables: Sequence[TextTable],
    records: Mapping[str, Mapping[str, Any]],
) -> None:
    """Writes result.json, curves.json, scores.csv, scores.md and scores.html."""
    write_json(config.out / "result.json", dict(records))
    curves = {run.label: run.evaluation["curves"] for run in scored if run.evaluation is not None}
    write_json(config.out / "curves.json", curves)
    write_text(config.out / "scores.csv", scores_csv(scored))
    first = next(iter(records.values()))
    title = f"{workload.dataset}, {workload.split}"
    facts = {key: str(first[key]) for key in ("command", "commit", "date", "hardware")}
    lines = [f"# {title}", "", *(f"- {name}: `{text}`" for name, text in facts.items()), ""]
    write_text(config.out / "scores.md", "\n".join([*lines, *(table.markdown() for table in tables)]))
    own = [table for table in tables if table.title not in records]  # those of the runs stand below the curves
    if config.ablate is None and len(scored) == 1 and scored[0].evaluation is not None:
        own = [summary_table(scored)]
    write_text(config.out / "scores.html", score_page(title, facts, own, scored))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    import tyro

    try:
        run_benchmark(tyro.cli(Mot16BenchmarkConfig, args=spelt_out(arguments, Mot16BenchmarkConfig)))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
