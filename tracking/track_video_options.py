"""The options of the video command."""

from dataclasses import dataclass, fields
from pathlib import Path

from tracking import tracker_options
from tracking.annotated_video import CODECS
from tracking.benchmark_options import Mot16BenchmarkConfig
from tracking.detectors.base import DetectorOptions
from tracking.offline import OFFLINE_DEFAULTS
from tracking.options import require_count, require_range
from tracking.tracker_flags import TrackerFlags

# Where ReidSort begins a track unless told: its own default suits detections of benchmarks, which are sifted already.
# These were chosen on one indoor video, where lower limits gave identities to walls (HOG), and one to the feet of two.
NEW_CONFIDENCE = {"hog": 0.8, "torchvision": 0.5, "yolo": 0.5}

# Chosen on the same video: heads and shoulders of people who came in took the identities of those who had left.
BORDER = 0.03


@dataclass(frozen=True, kw_only=True)
class TrackVideoConfig(TrackerFlags):
    """Tracks the people of a video, a folder of images, a camera or a stream, frame by frame.

    Options of trackers come first, then the command's own. Those of trackers are as in the benchmark, but for
    --new-confidence of reidsort, which is 0.5 for yolo and torchvision and 0.8 for hog unless told.

    At least one of --save, --save-txt, --save-crops and --save-summary says what to keep. Ctrl-C ends the run with what
    was done so far; so does a video that breaks off. The exit status is 0 when all went well, 3 when a video could not
    be read to its end or was stopped before it (the files are whole and hold what was done), and 2 for an error, after
    which no video and no text is left.

    Attributes:
        source: A video file, a folder of images, a MOT sequence folder, a camera's number, or a stream's address.
        detector: hog, which needs no weights, yolo:WEIGHTS, torchvision:MODEL=WEIGHTS, a Python function as
            package.module:function, or a file of detections (.txt, .npy).
        detector_confidence: Detections below are left out.
        detector_size: hog, yolo, torchvision: the longer side of the image as the detector sees it.
        detector_overlap: hog, yolo: of boxes with a higher IoU only the most confident one stays.
        reid: Checkpoint (.safetensors, .onnx, or zoo:NAME) that embeds the crops, for trackers that look at people;
            zoo:reidlite_distilled_world unless told. --no-appearance leaves people to overlap and motion.
        border: With a network: people whose box comes so near to the left, right or lower border, as a share of the
            image's height, are cut off there, so that their look says little and is not taken; 0.03 unless told. 0
            takes every look, for cameras that never see people whole.
        gate_fmr: False match rate at which the card of --reid tells the highest appearance distance (max_cosine of
            botsort, deepsort, strongsort); 0.03 unless told, where the card has it. See python -m reid.calibrate.
        tracker: botsort, bytetrack, deepocsort, deepsort, ocsort, reidsort, sort or strongsort.
        save: Annotated video, .mp4, .mkv or .avi: boxes, identities, trails; an identity keeps its colour.
        save_txt: MOT results, as the benchmark writes them.
        save_crops: Folder, new or empty, of crops: <identity>/<frame>.jpg.
        crop_step: With --save-crops: of the frames in which an identity was detected, every so many-th gives a crop.
        save_summary: JSON: of each track its frames, first and last, seconds, mean confidence and path; the options,
            notes on what could not be read, and where the time went.
        max_frames: Ends after so many frames.
        fps: Frames a second, for the video and for times; the source's own unless told, 25 where it does not tell.
        device: Device of detector and checkpoint.
        precision: Precision of the checkpoint.
    """

    source: str
    detector: str = "hog"
    detector_confidence: float | None = None
    detector_size: int | None = None
    detector_overlap: float | None = None
    reid: Path | None = None
    border: float | None = None
    gate_fmr: float | None = None
    tracker: str = "reidsort"
    save: Path | None = None
    save_txt: Path | None = None
    save_crops: Path | None = None
    crop_step: int = 1
    save_summary: Path | None = None
    max_frames: int | None = None
    fps: float | None = None
    device: str = "auto"
    precision: str = "fp32"

    def check(self) -> None:
        """Raises a ValueError when an option is wrong or would change nothing."""
        if self.tracker in OFFLINE_DEFAULTS:
            raise ValueError(
                f"tracker: got {self.tracker}, whose offline steps need whole tracks; give its online part"
            )
        tracker_options(self.tracker)
        targets = {"save": self.save, "save_txt": self.save_txt, "save_summary": self.save_summary}
        files = [path.resolve() for path in targets.values() if path is not None]
        if not files and self.save_crops is None:
            raise ValueError("--save, --save-txt, --save-crops, --save-summary: got none, allowed: one or more")
        if len(set(files)) < len(files):
            raise ValueError(f"--save, --save-txt, --save-summary: got {files[0]} twice, allowed: a file each")
        if Path(self.source).resolve() in files:
            raise ValueError(f"source: {self.source} would be overwritten; give another name to the result")
        if self.save is not None and self.save.suffix.lower() not in CODECS:
            raise ValueError(f"--save: got {self.save}, allowed: a name that ends in {', '.join(CODECS)}")
        for path in (path for path in targets.values() if path is not None and path.is_dir()):
            raise ValueError(f"{path}: is a folder, allowed: the name of a file")
        if self.save_crops is None and self.crop_step != 1:
            raise ValueError("--crop-step: not used without --save-crops")
        if self.save_crops is not None and self.save_crops.is_dir() and any(self.save_crops.iterdir()):
            raise ValueError(f"--save-crops: {self.save_crops} is not empty; other identities would be mixed in")
        require_count("crop_step", self.crop_step, 1)
        if self.border is not None:
            if self.reid is None and not self.wants_looks:
                raise ValueError("--border: not used without a network")
            require_range("border", self.border, 0, 0.5)
        if self.max_frames is not None:
            require_count("max_frames", self.max_frames, 1)
        if self.fps is not None:
            require_range("fps", self.fps, 0.01, 1000)

    @property
    def detector_options(self) -> DetectorOptions:
        """The options that go to the detector."""
        # Exported networks, files and HOG run where they run; the device is the checkpoint's alone then.
        chosen = self.detector.startswith("torchvision:") or self.detector.endswith((".pt", ".yaml"))
        device = self.device if chosen else "auto"
        return DetectorOptions(self.detector_confidence, self.detector_size, self.detector_overlap, device)

    @property
    def wants_looks(self) -> bool:
        """Whether the tracker is to use embeddings and nothing that the user told gives any."""
        silent = self.detector == "hog" or self.detector.startswith(("yolo:", "torchvision:"))
        silent = silent or Path(self.detector).suffix == ".txt"
        return self.appearance and silent and self.reid is None and "appearance" in tracker_options(self.tracker)

    def as_benchmark(self, reid: Path | None) -> Mot16BenchmarkConfig:
        """Returns what the benchmark would be told, so that both choose trackers and options alike.

        Args:
            reid: The network, the user's or the default one.
        """
        flags = {field.name: getattr(self, field.name) for field in fields(TrackerFlags)}
        flags["appearance"] = self.appearance and not (self.wants_looks and reid is None)
        if self.tracker == "reidsort" and self.new_confidence is None:
            flags["new_confidence"] = NEW_CONFIDENCE.get(self.detector.partition(":")[0])
        return Mot16BenchmarkConfig(
            gt=Path(),
            out=Path(),
            tracking_method=(self.tracker,),
            reid=() if reid is None else (reid,),
            gate_fmr=self.gate_fmr,
            device=self.device,
            precision=self.precision,
            **flags,
        )
