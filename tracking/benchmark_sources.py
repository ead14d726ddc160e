"""What the runs of a benchmark are given: the detections of every sequence, with the embeddings of each network."""

from collections.abc import Mapping, Sequence

from tracking.benchmark_data import Workload
from tracking.benchmark_jobs import PrepareJob, Sources, prepare
from tracking.benchmark_options import Mot16BenchmarkConfig
from tracking.benchmark_runs import Run
from tracking.checkpoints import Checkpoint
from tracking.progress_bar import progress_bar
from tracking.sources import SequenceDetections
from tracking.workers import Workers


def prepare_sources(
    config: Mot16BenchmarkConfig, workload: Workload, checkpoints: Sequence[Checkpoint], workers: Workers
) -> dict[str, Sources]:
    """Returns the detections of each sequence, with each checkpoint's embeddings."""
    settings = (config.detector, config.detector_options, tuple(checkpoints), config.min_confidence)
    jobs = [
        PrepareJob(work, *settings, config.detection_columns, config.cache_folder, workers.count > 1)
        for work in workload.works.values()
    ]
    with progress_bar("sequences", len(jobs), quiet=workers.count == 1) as advance:
        found = {}
        for job, sources in zip(jobs, workers.map(prepare, jobs)):
            found[job.work.name] = sources
            advance(1)
    return found


def require_embeddings(runs: Sequence[Run], sources: Mapping[str, Sources]) -> None:
    """Raises a ValueError when a run needs embeddings that nothing gives."""
    for run in runs:
        for name, source in sources.items():
            if run.appearance and run.checkpoint is None and source[""].embeddings is None:
                raise ValueError(
                    f"{name}: {run.label} needs appearance and the detections have no features; "
                    "pass --reid CHECKPOINT, or --no-appearance, or .npy files with features"
                )


def run_detections(run: Run, sources: Sources) -> SequenceDetections:
    """Returns what a run's tracker is given of a sequence."""
    label = run.checkpoint.label if run.checkpoint is not None and run.appearance else ""
    return sources.get(label, sources[""])
