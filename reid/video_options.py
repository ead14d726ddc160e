"""What video training is told: tracklets, network, losses, batches, optimisation, the run."""

import dataclasses
import inspect
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from reid.data.images import Preprocessing
from reid.data.mot_tracklets import read_mot_tracklets
from reid.data.tracklet_images import check_crop_factor
from reid.data.transforms import Augmentation
from reid.loss_config import LossConfig
from reid.models import is_vit
from reid.optim import OptimisationOptions
from reid.train_options import RunOptions
from reid.training import LoadingOptions, SamplingOptions, TrainingOptions

# An option of a group stands on the command line without the name of the group.
_FLAT = tyro.conf.arg(name="")
_POOLINGS = ("average", "attention", "lstm")
# Options of the MOT reader, by the name that it has for each.
_MOT_OPTIONS = {
    "min_visibility": "min_visibility",
    "min_height": "min_height",
    "min_width": "min_width",
    "min_length": "min_length",
    "max_length": "max_length",
    "max_gap": "max_gap",
    "test_fraction": "test_fraction",
    "split_seed": "seed",
}


@dataclasses.dataclass(frozen=True)
class TrackletOptions:
    """Which tracklets are trained on and scored, and what of their frames is looked at.

    Raises:
        ValueError: When a value is outside its range, or an option is given that another one leaves without effect.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {
        name: inspect.signature(read_mot_tracklets).parameters[own].default for name, own in _MOT_OPTIONS.items()
    }

    dataset: Literal["world", "mot", "mars"] = "world"
    """A world that is written when it is missing, MOT sequences with ground truth, or MARS."""
    root: Path | None = None
    """Folder of the dataset; the world's is runs/video-world unless told."""
    frames: int = 4
    """Frames of a tracklet that are looked at, in training and at test."""
    crop_factor: float = 1.0
    """Scales each box around its centre before it is cut out; 1 is the box itself. MARS is cut out: at most 1."""
    min_visibility: float | None = None
    """world, mot: leaves boxes out of which less is visible, 0.4 unless told."""
    min_height: int | None = None
    """world, mot: leaves lower boxes out, in pixels, 32 unless told."""
    min_width: int | None = None
    """world, mot: leaves narrower boxes out, in pixels, 12 unless told."""
    min_length: int | None = None
    """world, mot: leaves shorter tracklets out, in boxes, 4 unless told."""
    max_length: int | None = None
    """world, mot: cuts longer tracks into several tracklets, in boxes, 30 unless told."""
    max_gap: int | None = None
    """world, mot: cuts a track where somebody is not seen for more frames, 10 unless told."""
    test_fraction: float | None = None
    """world, mot: share of the identities for testing, 0.5 unless told."""
    split_seed: int | None = None
    """world, mot: chooses the identities for testing, 0 unless told."""

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames: got {self.frames}, allowed: 1 or more")
        check_crop_factor(self.crop_factor, cropped=self.dataset == "mars")
        if self.root is None and self.dataset != "world":
            raise ValueError(f"root: got none, allowed: the folder of {self.dataset}")
        given = [name for name in _MOT_OPTIONS if getattr(self, name) is not None]
        if given and self.dataset == "mars":
            raise ValueError(f"{', '.join(given)}: got a value with mars, allowed: with MOT sequences only")

    def folder(self) -> Path:
        """Returns the dataset's folder."""
        return Path("runs/video-world") if self.root is None else self.root

    def reader_options(self) -> dict[str, Any]:
        """Returns what the dataset's reader is told beside its folder."""
        given = {name: getattr(self, option) for option, name in _MOT_OPTIONS.items()}
        return {name: value for name, value in given.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class VideoNetworkOptions:
    """Which network looks at the frames.

    Raises:
        ValueError: When a value is outside its range, or an option is given that another one leaves without effect.
    """

    temporal: Literal["average", "attention", "lstm", "resnet3d18", "resnet3d50"] = "average"
    """How frames become one vector: pooled over time, or by 3-D convolutions."""
    backbone: str = "default"
    """Network of the frames, a name of the image training; the default is cares18. 3-D networks have none."""
    weights: Path | None = None
    """Starts with the weights of this file (.safetensors, .pth, .pt, .tar): of a network like this one, or of that of
    the frames alone, as image training and other libraries write them. What is loaded, missing, left over or of another
    shape is printed by name; the weights of another network are an error."""
    hidden: int | None = None
    """attention: channels between its two convolutions, 256 unless told; lstm: size of its state, 512 unless told."""
    height: int = 128
    """Rows of the frames, in pixels; the people of the small world are some 90 high. Real data want 256."""
    width: int = 64
    """Columns of the frames, in pixels."""

    def __post_init__(self) -> None:
        if self.backbone != "default" and self.temporal not in _POOLINGS:
            raise ValueError(
                f"backbone: got {self.backbone!r} with {self.temporal}, which is a network of its own; leave it out"
            )
        if self.hidden is not None:
            if self.temporal not in ("attention", "lstm"):
                raise ValueError(f"hidden: got {self.hidden} with {self.temporal}, allowed: with attention and lstm")
            if self.hidden < 1:
                raise ValueError(f"hidden: got {self.hidden}, allowed: 1 or more")
        self.preprocessing()

    def preprocessing(self) -> Preprocessing:
        """Returns what the frames become."""
        return Preprocessing(self.height, self.width)

    def model_options(self) -> dict[str, Any]:
        """Returns the options of `build_video_model`; those not told are left to it."""
        size = {"image_size": [self.height, self.width]} if is_vit(self.backbone) else {}
        return {"backbone": self.backbone} | size | ({} if self.hidden is None else {"hidden": self.hidden})


@dataclasses.dataclass(frozen=True)
class VideoTrainConfig:
    """Trains a network that compares tracklets. Without options it writes a small world and trains on that.

    Processes and machines are accelerate's. `--config FILE.yaml` gives defaults, the command line wins; each run leaves
    such a file.
    """

    data: Annotated[TrackletOptions, _FLAT] = dataclasses.field(default_factory=TrackletOptions)
    network: Annotated[VideoNetworkOptions, _FLAT] = dataclasses.field(default_factory=VideoNetworkOptions)
    loss: Annotated[LossConfig, _FLAT] = dataclasses.field(default_factory=LossConfig)
    sampling: Annotated[SamplingOptions, _FLAT] = dataclasses.field(
        default_factory=lambda: SamplingOptions(batch_size=16)
    )
    # A short training wants a high rate, and no erasing, which pays only after many epochs.
    augmentation: Annotated[Augmentation, _FLAT] = dataclasses.field(
        default_factory=lambda: Augmentation(pad_crop=5, jitter=0.2, erasing=0.0)
    )
    optimisation: Annotated[OptimisationOptions, _FLAT] = dataclasses.field(
        default_factory=lambda: OptimisationOptions(lr=1e-3, warmup_epochs=1.0)
    )
    loading: Annotated[LoadingOptions, _FLAT] = dataclasses.field(default_factory=LoadingOptions)
    run: Annotated[RunOptions, _FLAT] = dataclasses.field(
        default_factory=lambda: RunOptions(out=Path("runs/video"), epochs=6)
    )

    def __post_init__(self) -> None:
        if self.data.frames == 1 and self.network.temporal == "attention":
            raise ValueError("temporal: got attention with 1 frame, whose weight is always 1; allowed: more frames")
        if self.optimisation.activation_checkpointing and self.run.compile:
            raise ValueError("activation_checkpointing: got True with --compile, allowed: one of them")
        self.optimisation.check_epochs(self.run.epochs)
        if self.run.eval_every > self.run.epochs:
            raise ValueError(f"eval_every: got {self.run.eval_every}, allowed: 0 to the {self.run.epochs} epochs")
        self.loss.check_sampler(self.sampling.sampler)
        self.loss.check_center_rate(self.optimisation.center_lr)

    def training(self) -> TrainingOptions:
        """Returns what `reid.video_training.build_video_trainer` is told."""
        return TrainingOptions(self.sampling, self.loading, self.augmentation, self.optimisation)
