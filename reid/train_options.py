"""What image training is told: data, network, losses, batches, optimisation, continual training, the run."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from reid.continual_options import ContinualOptions
from reid.data.images import Preprocessing
from reid.data.transforms import Augmentation
from reid.dataset_options import parse_dataset_options
from reid.distillation import DistillationOptions
from reid.loss_config import LossConfig
from reid.models import input_size, is_vit
from reid.models.options import GenericOptions
from reid.optim import OptimisationOptions
from reid.synthetic_options import SyntheticOptions
from reid.training import LoadingOptions, Precision, SamplingOptions, TrainingOptions

# An option of a group stands on the command line without the name of the group.
_FLAT = tyro.conf.arg(name="")


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What is trained on and scored.

    Raises:
        ValueError: When names, folders and options do not fit each other.
    """

    dataset: tuple[str, ...] = ()
    """Names of one or more datasets: world, market1501, dukemtmc, msmt17, cuhk03, veri776, mot, folder. Several are
    trained on together and scored one by one. Without --root: world; with it: market1501."""
    root: tuple[Path, ...] = ()
    """Folder of each dataset, in the same order. A world without one lies under runs/ and is written when missing."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE, for the datasets that know them: level=hard pids=150 of world, boxes=labeled of cuhk03, and so on."""

    def __post_init__(self) -> None:
        names = self.names()
        if self.root and len(self.root) != len(names):
            raise ValueError(f"root: got {len(self.root)} folders, allowed: one for each dataset ({', '.join(names)})")
        homeless = [name for name in names if name != "world"]
        if not self.root and homeless:
            raise ValueError(f"root: got none, allowed: the folder of {', '.join(homeless)}")
        self.options()

    def names(self) -> tuple[str, ...]:
        """Returns the datasets' names."""
        return self.dataset or (("market1501",) * len(self.root) if self.root else ("world",))

    def folders(self) -> tuple[Path, ...]:
        """Returns the datasets' folders; that of a world without one carries its options."""
        if self.root:
            return self.root
        parts = [f"{name}-{value}" for name, value in sorted(self.options().items())]
        return (Path("runs") / "-".join(["world", *parts]),) * len(self.names())

    def options(self) -> dict[str, Any]:
        """Returns the options of the readers.

        Raises:
            ValueError: When one is no NAME=VALUE.
        """
        return parse_dataset_options(self.dataset_options)


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """Which network, and what it is told.

    Raises:
        ValueError: When an option is given that another one leaves without effect.
    """

    backbone: str = "cares18"
    """Its name, or timm:NAME for a network of timm."""
    attention: str | None = None
    """Attention of cares18: coordinate, its default, or triplet."""
    ibn: bool | None = None
    """Half instance normalisation in cares18 and seres18; on unless told."""
    pooling: str | None = None
    """gem, avg or max, where the network ends in a map. Unless told: gem in cares18, its relatives and agw, avg in
    ResNet, OSNet and Swin, and for timm what the network itself does. OSNet takes another one only with
    --backbone-options head=bnneck; plr_osnet and ViT have none."""
    pretrained: bool = False
    """timm: starts with its published weights, from checkpoints/timm/NAME.safetensors or from --weights, of which no
    parameter may be missing then. Other networks have --weights alone."""
    weights: Path | None = None
    """Starts with the weights of this file (.safetensors, .pth, .pt, .tar), for every network: of this project, timm,
    torchvision, torchreid, fast-reid, and of the authors of many. What is loaded, missing, left over or of another
    shape is printed by name; the weights of another network are an error."""
    projection_dim: int | None = None
    """timm: size of the embeddings after a linear layer; what the network gives unless told."""
    backbone_options: tuple[str, ...] = ()
    """NAME=VALUE, for backbones with options that no other flag tells: stride=12 jpm=true of vit_base, window=16 of
    swinv2_tiny, and so on; an unknown one is answered with those that the backbone has."""
    height: int | None = None
    """Rows of the input, in pixels; 256 unless told, 192 for reidlite."""
    width: int | None = None
    """Columns of the input, in pixels; 128 unless told, 96 for reidlite."""
    renorm: bool = False
    """Batch renormalisation in the place of batch normalisation."""
    renorm_pk: bool = False
    """Its variant for batches of P identities with K images; with --renorm."""
    renorm_warmup: int | None = None
    """Steps of batch normalisation before it, 500 unless told; with --renorm."""
    sie: bool = False
    """Learns a vector of each camera, which is added to the embeddings (side information)."""
    cam_factor: float | None = None
    """Factor of these vectors in training and inference alike; 0 is off. Unless told 3 for vit_tiny, vit_small and
    vit_base, as in TransReID, and 1 for the others. With --sie."""

    def __post_init__(self) -> None:
        if (self.renorm_pk or self.renorm_warmup is not None) and not self.renorm:
            name = "renorm_pk" if self.renorm_pk else "renorm_warmup"
            raise ValueError(f"{name}: got {getattr(self, name)} without --renorm, which it needs")
        if self.cam_factor is not None and not self.sie:
            raise ValueError(f"cam_factor: got {self.cam_factor} without --sie, which it needs")
        if self.pretrained and not self.backbone.startswith("timm:"):
            raise ValueError(f"pretrained: got True with {self.backbone}, allowed: with timm:NAME; give --weights FILE")
        if self.cam_factor is not None and self.cam_factor < 0:
            raise ValueError(f"cam_factor: got {self.cam_factor}, allowed: 0 (off) or more")
        told = {field.name for options in (NetworkOptions, GenericOptions) for field in dataclasses.fields(options)}
        twice = sorted(told & set(self.own_options()))
        if twice:
            raise ValueError(f"backbone_options: got {twice[0]}, allowed: options without a flag of their own")
        self.preprocessing()

    def own_options(self) -> dict[str, Any]:
        """Returns what `backbone_options` say.

        Raises:
            ValueError: When one is no NAME=VALUE.
        """
        return parse_dataset_options(self.backbone_options, "backbone_options")

    def preprocessing(self) -> Preprocessing:
        """Returns what the input wants."""
        height, width = input_size(self.backbone)
        return Preprocessing(
            height if self.height is None else self.height, width if self.width is None else self.width
        )

    def model_options(self, num_cameras: int, num_instances: int) -> dict[str, Any]:
        """Returns the options of `reid.models.build_model`; those not told are left to it."""
        told = {name: getattr(self, name) for name in ("attention", "ibn", "pooling", "projection_dim")}
        options = {name: value for name, value in told.items() if value is not None} | self.own_options()
        if is_vit(self.backbone):
            options.setdefault("image_size", [self.preprocessing().height, self.preprocessing().width])
        if self.pretrained:
            options["pretrained"] = True
            if self.weights is not None:
                options["weights"] = str(self.weights)
        if self.renorm:
            options["renorm"] = "pk" if self.renorm_pk else "batch"
            if self.renorm_pk:
                options["renorm_instances"] = num_instances
            if self.renorm_warmup is not None:
                options["renorm_warmup"] = self.renorm_warmup
        if self.camera_factor() > 0:
            options |= {"num_cameras": num_cameras, "cam_factor": self.camera_factor()}
        return options

    def camera_factor(self) -> float:
        """Returns the factor of the camera vectors, 0 without."""
        if not self.sie:
            return 0.0
        unless_told = 3.0 if is_vit(self.backbone) else 1.0
        return unless_told if self.cam_factor is None else self.cam_factor

    def start_weights(self) -> Path | None:
        """Returns the file that is loaded into the built network, None where there is none or timm reads it itself."""
        return None if self.pretrained else self.weights


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Where the run goes, how long, and how it can be gone on with.

    Raises:
        ValueError: When a value is outside its range, or an option is given that another one leaves without effect.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {"accelerate": False}  # said by files of earlier versions alone

    out: Path = Path("runs/train")
    """Folder of the run: config.yaml, metrics.jsonl, tensorboard, curves.png, model.safetensors and card, states."""
    epochs: int = 60
    """Passes over the training split; 0 writes the untrained network."""
    eval_every: int = 0
    """Scores the test split every so many epochs as well, and keeps the best network, in best.safetensors or, once it
    has learnt from test images, in best-transductive.safetensors; 0 only at the end."""
    resume: bool = False
    """Goes on from the newest state in the run's folder, if there is one; give the same command otherwise."""
    state_every: int = 1
    """Epochs between two states, the last of which is that of the last epoch; 0 writes none at the ends of epochs."""
    state_steps: int = 0
    """Batches between two states within an epoch, each at the next whole step of the optimiser; 0 writes none there."""
    log: Literal["files", "wandb"] = "files"
    """wandb sends the rows there as well (WANDB_MODE=offline keeps them here)."""
    accelerate: bool | None = None
    """Accepted for the sake of older command lines: accelerate is always on, and cannot be turned off."""
    precision: Annotated[Precision, tyro.conf.arg(aliases=["--mixed-precision"])] = "launcher"
    """Of the network's arithmetic; launcher takes what accelerate was launched with."""
    compile: bool = False
    """Runs the network through torch.compile."""
    threads: int = 0
    """CPU threads a process; 0 shares the cores among the processes, where accelerate's launcher would take one."""
    seed: int = 0
    """Seed of weights, order and augmentation."""

    def __post_init__(self) -> None:
        for name, allowed in {
            "epochs": "0 or more",
            "eval_every": "0 (only at the end) or more",
            "state_every": "0 (none) or more",
            "state_steps": "0 (none) or more",
            "threads": "0 (all cores) or more",
            "seed": "0 or more",
        }.items():
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {allowed}")
        if self.accelerate is False:
            raise ValueError("accelerate: got False, allowed: True; every training goes through accelerate")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Trains a re-identification network; without --root on a world of people that is written for it.

    Processes and machines are accelerate's: `accelerate launch --num_processes 2 ...`. `--config FILE.yaml` gives
    defaults, the command line wins; each run leaves such a file.
    """

    data: Annotated[DataOptions, _FLAT] = dataclasses.field(default_factory=DataOptions)
    network: Annotated[NetworkOptions, _FLAT] = dataclasses.field(default_factory=NetworkOptions)
    loss: Annotated[LossConfig, _FLAT] = dataclasses.field(default_factory=LossConfig)
    distillation: Annotated[DistillationOptions, _FLAT] = dataclasses.field(default_factory=DistillationOptions)
    synthetic: Annotated[SyntheticOptions, _FLAT] = dataclasses.field(default_factory=SyntheticOptions)
    sampling: Annotated[SamplingOptions, _FLAT] = dataclasses.field(default_factory=SamplingOptions)
    augmentation: Annotated[Augmentation, _FLAT] = dataclasses.field(default_factory=Augmentation)
    optimisation: Annotated[OptimisationOptions, _FLAT] = dataclasses.field(default_factory=OptimisationOptions)
    continual: Annotated[ContinualOptions, _FLAT] = dataclasses.field(default_factory=ContinualOptions)
    loading: Annotated[LoadingOptions, _FLAT] = dataclasses.field(default_factory=LoadingOptions)
    run: Annotated[RunOptions, _FLAT] = dataclasses.field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if self.optimisation.activation_checkpointing and self.run.compile:
            raise ValueError("activation_checkpointing: got True with --compile, allowed: one of them")
        self.optimisation.check_epochs(self.run.epochs)
        if self.run.eval_every > self.epochs():
            raise ValueError(f"eval_every: got {self.run.eval_every}, allowed: 0 to the {self.epochs()} epochs")
        self.loss.check_sampler(self.sampling.sampler)
        self.loss.check_center_rate(self.optimisation.center_lr)
        if self.network.renorm_pk and self.sampling.sampler == "random":
            raise ValueError("renorm_pk: got True with sampler random, allowed: with P x K batches")
        self._check_cross_domain(self.continual.cross_domain)
        self.synthetic.check_training(
            epochs=self.run.epochs,
            cross_entropy=self.loss.cross_entropy_weight,
            datasets=len(self.data.names()),
            cameras=self.network.camera_factor() > 0,
            renorm=self.network.renorm,
            pk_layers=self.network.renorm_pk,
        )
        others = [name for name in ("cross_domain", "unlabelled") if getattr(self.continual, name) is not None]
        if self.network.camera_factor() > 0 and others:
            raise ValueError(
                f"{others[0]}: got a folder with --sie, whose vectors are those of the training set's cameras; "
                "allowed: without --sie, or with --cam-factor 0"
            )

    def _check_cross_domain(self, folder: Path | None) -> None:
        if folder is None:
            return
        if len(self.data.names()) > 1:
            raise ValueError("cross_domain: got a folder with several datasets, allowed: one training set")
        if folder.resolve() == self.data.folders()[0].resolve():
            raise ValueError(f"cross_domain: got {folder}, which is the training set; allowed: another one's folder")

    def epochs(self) -> int:
        """Returns the epochs of the training and of the continual training after it."""
        return self.run.epochs + (self.continual.epochs() if self.continual.continual else 0)

    def training(self) -> TrainingOptions:
        """Returns what `reid.training.build_image_trainer` is told."""
        return TrainingOptions(self.sampling, self.loading, self.augmentation, self.optimisation)
