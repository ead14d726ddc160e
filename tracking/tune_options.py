"""The options of the tuning command."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from tracking import tracker_options
from tracking.benchmark_options import PUBLIC, Mot16BenchmarkConfig
from tracking.offline import OfflineFlags
from tracking.options import require_count
from tracking.tracker_flags import TrackerFlags

Objective = Literal["HOTA", "IDF1", "MOTA", "mean"]
MEAN_OF = ("HOTA", "IDF1", "MOTA")


@dataclass(frozen=True, kw_only=True)
class TuneConfig(TrackerFlags, OfflineFlags):
    """Tunes the options of one tracker on some sequences and tells how they do on others.

    Options of the tracker and its offline steps that are given stay as they are; the rest is tuned, by Optuna's
    tree-structured Parzen estimator (pip install optuna). The first trial is what the tracker does by default. Run the
    same command again to go on, with more --trials as well; the trials depend on --seed and on nothing else. Sequences
    come as in the benchmark command.

    Attributes:
        out: Folder for options.yaml (for --tracker-options of the benchmark), result.json, tuning.md, history.png,
            study.journal, from which the run goes on, and the cache.
        tracking_method: The tracker: botsort, bytetrack, deepocsort, deepsort, ocsort, reidsort, reidsort++, sort,
            strongsort or strongsort++.
        trials: How many in all, those of earlier runs included.
        seed: Of the trials.
        objective: What is made as high as possible, over all sequences tuned on: HOTA, IDF1, MOTA, or their mean.
        tune_on: Sequences to tune on, by the name of their detections or ground truth; all that are not held out
            unless told.
        hold_out: Sequences that no trial sees, scored at the end.
        params: Options to tune; unless told, all of the tracker's in tracking/tune_ranges.py that are not given.
        gt: As in the benchmark command, as is the rest.
        benchmark: With --split and --root, in place of --gt.
        split: As there.
        root: As there.
        detector: As there.
        detector_confidence: As there.
        detector_size: As there.
        detector_overlap: As there.
        detections: As there.
        reid: Checkpoint that embeds the crops.
        gate_fmr: As there, for the default that the tuned options are compared with.
        sequence_map: As there.
        detection_columns: As there.
        cache: As there.
        processes: Sequences that are worked on at a time; the trials stay the same.
        device: As there.
        precision: As there.
    """

    out: Path
    tracking_method: str = "strongsort"
    trials: int = 100
    seed: int = 0
    objective: Objective = "HOTA"
    tune_on: tuple[str, ...] | None = None
    hold_out: tuple[str, ...] = ()
    params: tuple[str, ...] | None = None
    gt: Path | None = None
    benchmark: str | None = None
    split: str | None = None
    root: Path | None = None
    detector: str = PUBLIC
    detector_confidence: float | None = None
    detector_size: int | None = None
    detector_overlap: float | None = None
    detections: Path | None = None
    reid: Path | None = None
    gate_fmr: float | None = None
    sequence_map: dict[str, str] | None = None
    detection_columns: int | None = None
    cache: Path | None = None
    processes: int = 1
    device: str = "auto"
    precision: str = "fp32"

    def check(self) -> None:
        """Raises a ValueError when an option is wrong or two contradict each other."""
        tracker_options(self.tracking_method)
        require_count("trials", self.trials, 1)
        require_count("seed", self.seed, 0)
        if self.tune_on is not None and not self.tune_on:
            raise ValueError("--tune-on: got none, allowed: one or more sequences, or leave it out")

    def as_benchmark(self) -> Mot16BenchmarkConfig:
        """Returns what the benchmark would be told, so that both find sequences, detections and defaults alike."""
        own = {"tracking_method", "trials", "seed", "objective", "tune_on", "hold_out", "params", "reid"}
        shared: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in own
        }
        reid = () if self.reid is None else (self.reid,)
        return Mot16BenchmarkConfig(**shared, tracking_method=(self.tracking_method,), reid=reid)

    def fixed(self) -> dict[str, Any]:
        """Returns the tracker's options that the command line set.

        The lowest confidence is never among them: it has a default, below which nothing is looked at anyway.
        """
        names = set(tracker_options(self.tracking_method)) - {"min_confidence"}
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.appearance:
            given.pop("appearance", None)
        return given
