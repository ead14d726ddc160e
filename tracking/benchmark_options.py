"""The options of the benchmark command."""

from dataclasses import dataclass, fields
from pathlib import Path

from tracking.detectors.base import DetectorOptions
from tracking.offline import OfflineFlags
from tracking.options import require_count
from tracking.tracker_flags import TrackerFlags

PUBLIC = "public"  # detector: the files that come with the sequences
TRUTH = "truth"  # detector: the boxes of the ground truth


@dataclass(frozen=True, kw_only=True)
class Mot16BenchmarkConfig(TrackerFlags, OfflineFlags):
    """Tracks the sequences of a benchmark with one or more trackers, and scores each against the ground truth.

    The sequences are those below --gt, or those of --benchmark and --split below --root. Options of trackers come
    first, then the benchmark's own.

    Attributes:
        gt: Folder of sequence folders (gt/gt.txt, seqinfo.ini, and img1 where images are needed).
        benchmark: MOT15, MOT16, MOT17, MOT20, DanceTrack or SportsMOT, in place of --gt.
        split: With --benchmark: train (the default), val, test, train-half or val-half. Test splits have no ground
            truth and are not scored.
        root: With --benchmark: its folder, or one above it.
        out: Folder for <run>/<sequence>.txt, <run>.zip, result.json, curves.json, scores.csv, scores.md, scores.html
            and the cache. A run is a tracker, or tracker@checkpoint where there are several checkpoints.
        detector: public (det/det.txt, or --detections), truth (the ground truth's own boxes), hog, yolo:WEIGHTS,
            torchvision:MODEL=WEIGHTS, a Python function as package.module:function, or a path as for --detections.
        detector_confidence: Detections below are left out; truth: boxes less visible than this (0.1) are.
        detector_size: hog, yolo, torchvision: the longer side of the image as the detector sees it.
        detector_overlap: hog, yolo: of boxes with a higher IoU only the most confident one stays.
        detections: Folder of sequence folders with det/det.txt, folder of DeepSORT .npy files, or one such file; the
            sequences' own det/det.txt when left out.
        tracking_method: Trackers, one or more: botsort, bytetrack, deepocsort, deepsort, ocsort, reidsort,
            reidsort++, sort, strongsort, strongsort++.
        tracker_options: YAML file of options, tracker -> option -> value, as python -m tracking.tune writes it. What
            the command line says itself wins; detections below either min_confidence are ignored.
        reid: Checkpoints (.safetensors, .onnx, or zoo:NAME) that embed the crops; features in .npy files give way to
            them. Where nothing gives embeddings and images are there, zoo:reidlite_distilled_world does.
        gate_fmr: False match rate at which the card of --reid tells the highest appearance distance (max_cosine of
            botsort, deepsort, strongsort); 0.03 unless told, where the card has it. See python -m reid.calibrate.
        ablate: A tracker, of which each flag is switched in turn, in place of --tracking-method.
        resamples: With --ablate: resamples of the sequences for the intervals.
        seed: With --ablate: of the resampling.
        log_costs: Keep each run beside its result, <run>/<sequence>.run.npz, from which `python -m tracking.evaluation
            explain <out>/<run>` tells the costs that decided.
        sequences: Only these sequences, by the name of their detections or ground truth.
        sequence_map: Pairs of detection name and ground-truth name, where neither name nor number tells them.
        detection_columns: 7 or 10, for .npy files that do not tell.
        cache: Folder of cached detections, embeddings and camera motions; <out>/cache when left out. It may serve many
            runs.
        processes: Sequences that are worked on at a time.
        cluster: Ray in place of processes: local (with as many CPUs as --processes), auto, or the address of a
            cluster, whose machines must find the data at the same paths.
        device: Device of detectors and checkpoints.
        precision: Precision of the checkpoints.
    """

    out: Path
    gt: Path | None = None
    benchmark: str | None = None
    split: str | None = None
    root: Path | None = None
    detector: str = PUBLIC
    detector_confidence: float | None = None
    detector_size: int | None = None
    detector_overlap: float | None = None
    detections: Path | None = None
    tracking_method: tuple[str, ...] = ("strongsort",)
    tracker_options: Path | None = None
    reid: tuple[Path, ...] = ()
    gate_fmr: float | None = None
    ablate: str | None = None
    resamples: int = 1000
    seed: int = 0
    log_costs: bool = False
    sequences: tuple[str, ...] | None = None
    sequence_map: dict[str, str] | None = None
    detection_columns: int | None = None
    cache: Path | None = None
    processes: int = 1
    cluster: str | None = None
    device: str = "auto"
    precision: str = "fp32"

    def check(self) -> None:
        """Raises a ValueError when options contradict each other, or one would change nothing."""
        if (self.gt is None) == (self.benchmark is None):
            raise ValueError("--gt, --benchmark: got both or neither, allowed: one of them")
        if self.benchmark is not None and self.root is None:
            raise ValueError("--root: got none, allowed with --benchmark: the folder of the benchmark")
        if self.gt is not None:
            self._refuse("--gt", "split", "root")
        if self.ablate is None:
            self._refuse("no --ablate", "resamples", "seed")
        elif self.tracking_method != Mot16BenchmarkConfig.tracking_method:
            raise ValueError("--ablate, --tracking-method: got both, allowed: one of them")
        elif len(self.reid) > 1:
            raise ValueError(f"--reid: got {len(self.reid)} checkpoints with --ablate, allowed: one")
        require_count("resamples", self.resamples, 10)
        if self.detector != PUBLIC:
            self._refuse(f"--detector {self.detector}", "detections")
        if self.file_source is not None:
            self._refuse("detections of files; filter them by --min-confidence", "detector_confidence")
        if self.file_source is not None or self.detector == TRUTH:
            self._refuse(f"--detector {self.detector}", "detector_size", "detector_overlap")

    def _refuse(self, where: str, *names: str) -> None:
        """Raises a ValueError when an option was given that would change nothing."""
        defaults = {field.name: field.default for field in fields(self)}
        for name in names:
            if getattr(self, name) != defaults[name]:
                raise ValueError(f"--{name.replace('_', '-')}: not used with {where}")

    @property
    def methods(self) -> tuple[str, ...]:
        """The trackers to run."""
        return self.tracking_method if self.ablate is None else (self.ablate,)

    @property
    def file_source(self) -> Path | str | None:
        """Where files of detections are: a path, `PUBLIC` for those of the sequences, None for a detector."""
        if self.detector == PUBLIC:
            return self.detections or PUBLIC
        path = Path(self.detector)
        return path if path.is_dir() or path.suffix in (".npy", ".txt") else None

    @property
    def detector_options(self) -> DetectorOptions:
        """The options that go to the detector."""
        networks = ("yolo:", "torchvision:")  # others run where they run
        device = self.device if self.detector.startswith(networks) else "auto"
        return DetectorOptions(self.detector_confidence, self.detector_size, self.detector_overlap, device)

    @property
    def cache_folder(self) -> Path:
        """Where detections and embeddings are cached."""
        return self.cache or self.out / "cache"
