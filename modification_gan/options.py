"""What `synthetic_generate` is told: data, model, objective, condition, optimisation, the run."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from modification_gan.blocks import attention_stage, count_stages
from modification_gan.diff_augment import parse_augmentation
from modification_gan.generative_model import Architecture, Objective
from modification_gan.groups import Kind
from modification_gan.training import Schedule
from reid.config import option_values
from reid.data import list_datasets
from reid.dataset_options import parse_dataset_options

# An option of a group stands on the command line without the name of the group.
_FLAT = tyro.conf.arg(name="")
_GANS = ("dcgan", "vae-gan", "vae-wgangp")
# Options that only some models have a use for; given with another one they are an error.
_ACTS_ON = {
    "ndf": _GANS,
    "noise_size": _GANS,
    "spectral_norm": _GANS,
    "diff_augment": _GANS,
    "discriminator_lr": _GANS,
    "adversarial_loss": ("dcgan", "vae-gan"),
    "label_smoothing": ("dcgan", "vae-gan"),
    "label_sides": ("dcgan", "vae-gan"),
    "similarity_weight": ("vae-gan", "vae-wgangp"),
    "critic_steps": ("vae-wgangp",),
    "penalty_weight": ("vae-wgangp",),
    "ddim_steps": ("diffusion",),
}
# Options that act where images are made of a file's weights, without a training.
_ACT_ON_SAMPLING = ("sample_from", "out", "num_images", "sample_batch", "seed", "threads", "collapse_below")


def _check_least(options: Any, least: dict[str, float]) -> None:
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            raise ValueError(f"{name}: got {value}, allowed: {smallest} or more")


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What is learnt from: the training split of a dataset, never its query or gallery images.

    Raises:
        ValueError: When name, folder and options do not fit each other.
    """

    root: Path | None = None
    """Folder of the dataset; without it a world of people is written under runs/, as the re-ID training does."""
    dataset: str | None = None
    """Its name: world, market1501, dukemtmc, msmt17, cuhk03, veri776, mot, folder. Without --root: world; with it:
    market1501."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE of its reader: level=hard pids=150 of world, boxes=labeled of cuhk03, and so on."""

    def __post_init__(self) -> None:
        if self.name() not in list_datasets():
            raise ValueError(f"dataset: got {self.dataset!r}, allowed: {', '.join(list_datasets())}")
        if self.root is None and self.name() != "world":
            raise ValueError(f"root: got none, allowed: the folder of {self.name()}")
        self.options()

    def name(self) -> str:
        """Returns the dataset's name."""
        return self.dataset or ("world" if self.root is None else "market1501")

    def folder(self) -> Path:
        """Returns the dataset's folder; that of a world without one carries its options."""
        if self.root is not None:
            return self.root
        parts = [f"{name}-{value}" for name, value in sorted(self.options().items())]
        return Path("runs") / "-".join(["world", *parts])

    def options(self) -> dict[str, Any]:
        """Returns the options of the reader."""
        return parse_dataset_options(self.dataset_options)


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Which model, and its sizes.

    Raises:
        ValueError: When a size is outside its range.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {"ndf": 64, "noise_size": 128, "ddim_steps": 50}

    model: Literal["dcgan", "vae-gan", "vae-wgangp", "diffusion"] = "dcgan"
    """dcgan; vae-gan, an autoencoder whose likeness a discriminator learns; vae-wgangp, the same with a Wasserstein
    critic and gradient penalty; diffusion (needs: pip install diffusers)."""
    height: int = 128
    """Rows of the images, a multiple of 32."""
    width: int = 64
    """Columns of the images, a multiple of 16."""
    ngf: int = 64
    """Channels of the largest map of generator, encoder and U-Net."""
    ndf: int | None = None
    """Channels of the largest map of the discriminator, 64 unless told."""
    noise_size: int | None = None
    """Length of the noise, 128 unless told; diffusion's noise has the size of the images."""
    attention: int = 0
    """Rows of the map that gets self-attention, 32 for example; in diffusion the smallest map gets it as well. 0 for
    none."""
    spectral_norm: Literal["none", "discriminator", "both"] | None = None
    """Which networks have spectral normalisation: the discriminator unless told, none in vae-wgangp, whose penalty
    does that work."""
    ddim_steps: int | None = None
    """Steps from noise to image in diffusion's sampling, 50 unless told."""

    def __post_init__(self) -> None:
        stages = count_stages(self.height, self.width)
        if self.model != "diffusion":
            attention_stage(self.attention, self.height, stages)
        _check_least(self, {"ngf": 1, "ndf": 1, "noise_size": 1, "ddim_steps": 1})

    def architecture(self, num_groups: int) -> Architecture:
        """Returns the networks' sizes, with so many groups to ask for."""
        told = {name: getattr(self, name) for name in self.UNLESS_TOLD}
        sizes = {name: self.UNLESS_TOLD[name] if value is None else value for name, value in told.items()}
        spectral = self.spectral_norm or ("none" if self.model == "vae-wgangp" else "discriminator")
        return Architecture(
            height=self.height,
            width=self.width,
            ngf=self.ngf,
            num_groups=num_groups,
            attention=self.attention,
            spectral_generator=spectral == "both",
            spectral_discriminator=spectral != "none",
            **sizes,
        )


@dataclasses.dataclass(frozen=True)
class ObjectiveOptions:
    """What the networks are trained for.

    Raises:
        ValueError: When a value is outside its range, or an option is given that another one leaves without effect.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {
        "adversarial_loss": "non-saturating",
        "label_smoothing": 0.0,
        "label_sides": "one",
        "similarity_weight": 1.0,
        "critic_steps": 5,
        "penalty_weight": 10.0,
        "diff_augment": "color,translation,cutout",
    }

    adversarial_loss: Literal["non-saturating", "hinge"] | None = None
    """Of dcgan and vae-gan, non-saturating unless told."""
    label_smoothing: float | None = None
    """Real images count as 1 minus this, 0 unless told; with the non-saturating loss."""
    label_sides: Literal["one", "two"] | None = None
    """two lets generated images count as --label-smoothing as well; one unless told."""
    diff_augment: str | None = None
    """What happens to all that the discriminator sees: none, or some of color,translation,cutout; all three unless
    told."""
    similarity_weight: float | None = None
    """Of the learnt similarity in the decoder's loss of vae-gan and vae-wgangp, 1 unless told."""
    critic_steps: int | None = None
    """Steps of the critic to one of the others in vae-wgangp, 5 unless told."""
    penalty_weight: float | None = None
    """Of the gradient penalty in vae-wgangp, 10 unless told."""

    def __post_init__(self) -> None:
        _check_least(self, {"similarity_weight": 0, "critic_steps": 1, "penalty_weight": 0})
        smoothing = self.label_smoothing or 0.0
        if not 0 <= smoothing < 0.5:
            raise ValueError(f"label_smoothing: got {smoothing}, allowed: 0 to below 0.5")
        if smoothing and self.adversarial_loss == "hinge":
            raise ValueError(f"label_smoothing: got {smoothing} with hinge, which has no labels, allowed: 0")
        if self.label_sides is not None and not smoothing:
            raise ValueError(f"label_sides: got {self.label_sides} without --label-smoothing, which it acts on")
        self.objective()

    def objective(self) -> Objective:
        """Returns what the model is told."""
        told = {name: getattr(self, name) for name in self.UNLESS_TOLD}
        values = {name: self.UNLESS_TOLD[name] if value is None else value for name, value in told.items()}
        return Objective(**values | {"diff_augment": parse_augmentation(values["diff_augment"])})


@dataclasses.dataclass(frozen=True)
class ConditionOptions:
    """What may be asked of the model.

    Raises:
        ValueError: When an option is given that another one leaves without effect, or one is missing.
    """

    groups: int | None = None
    """Groups of training images that k-means makes and the model is asked for; without it, and without --group-by, the
    model has no condition."""
    group_by: Literal["embeddings", "colours", "identities", "cameras"] | None = None
    """What images are grouped by: k-means of the embeddings of --ckpt or of colour histograms, or the dataset's
    identities or cameras. With --groups: embeddings if there is a --ckpt, otherwise colours."""
    ckpt: Path | None = None
    """A re-ID network (.safetensors, .onnx or zoo:NAME), for embeddings."""

    def __post_init__(self) -> None:
        kind = self.kind()
        if self.groups is not None and self.groups < 2:
            raise ValueError(f"groups: got {self.groups}, allowed: 2 or more")
        if kind in ("identities", "cameras") and self.groups is not None:
            raise ValueError(f"groups: got {self.groups} with {kind}, whose number the dataset says; leave it out")
        if kind in ("embeddings", "colours") and self.groups is None:
            raise ValueError(f"groups: got none, allowed: 2 or more with {kind}")
        if kind == "embeddings" and self.ckpt is None:
            raise ValueError("ckpt: got none, allowed: a re-ID network, whose embeddings are grouped")
        if kind != "embeddings" and self.ckpt is not None:
            raise ValueError(f"ckpt: got {self.ckpt}, which groups of the kind {kind} have no use for")

    def kind(self) -> Kind:
        """Returns what groups are made of."""
        if self.group_by is not None:
            return self.group_by
        if self.groups is None:
            return "none"
        return "colours" if self.ckpt is None else "embeddings"


@dataclasses.dataclass(frozen=True)
class OptimisationOptions:
    """How long and how fast.

    Raises:
        ValueError: When a value is outside its range, or an option is given that another one leaves without effect.
    """

    steps: int = 2000
    """Training steps; in each the generator is moved once."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["--bs"])] = 64
    """Images a batch and process."""
    generator_lr: float | None = None
    """Adam's rate of all networks but the discriminator: 0.0002 unless told, 0.0001 in vae-wgangp."""
    discriminator_lr: float | None = None
    """That of the discriminator: 0.0004 unless told (two time scales), 0.0001 in vae-wgangp, whose critic has more
    steps instead."""
    beta1: float | None = None
    """Adam's memory of gradients: 0.5 unless told, 0 in vae-wgangp, 0.9 in diffusion."""
    beta2: float | None = None
    """Adam's memory of their squares: 0.999 unless told, 0.9 in vae-wgangp."""
    ema: bool = False
    """Samples, grids and the stored weights are of the generator's average over steps."""
    ema_decay: float | None = None
    """Of that average a step, 0.999 unless told."""

    def __post_init__(self) -> None:
        _check_least(self, {"steps": 1, "batch_size": 2, "generator_lr": 0, "discriminator_lr": 0})
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name}: got {value}, allowed: 0 to below 1")
        if self.ema_decay is not None and not self.ema:
            raise ValueError(f"ema_decay: got {self.ema_decay} without --ema, which it acts on")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay: got {self.ema_decay}, allowed: above 0, below 1")

    def decay(self) -> float | None:
        """Returns the decay of the average, None without one."""
        return (0.999 if self.ema_decay is None else self.ema_decay) if self.ema else None

    def schedule(self, model: str, run: "RunOptions") -> Schedule:
        """Returns what the training loop is told for a model."""
        wasserstein = model == "vae-wgangp"
        defaults = {
            "generator_lr": 1e-4 if wasserstein else 2e-4,
            "discriminator_lr": 1e-4 if wasserstein else 4e-4,
            "beta1": {"vae-wgangp": 0.0, "diffusion": 0.9}.get(model, 0.5),
            "beta2": 0.9 if wasserstein else 0.999,
        }
        told = {name: getattr(self, name) for name in defaults}
        values = {name: defaults[name] if value is None else value for name, value in told.items()}
        return Schedule(
            steps=self.steps,
            generator_lr=values["generator_lr"],
            discriminator_lr=values["discriminator_lr"],
            betas=(values["beta1"], values["beta2"]),
            log_every=run.log_every,
            grid_every=run.grid_every,
            state_every=run.state_every,
            seed=run.seed,
        )


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Where everything goes, and what is made.

    Raises:
        ValueError: When a value is outside its range.
    """

    out: Path = Path("runs/generated")
    """Folder of the run: images, manifest.csv, card.json, model.safetensors with its card, samples, curves.png."""
    num_images: int = 2000
    """Images to make after the training; 0 leaves none, not even those of an earlier run."""
    sample_from: Path | None = None
    """A generator's file, model.safetensors of a run: makes --num-images of --seed with it in another --out, and trains
    nothing; it needs no --root."""
    sample_batch: int = 256
    """Images made at a time."""
    resume: bool = False
    """Goes on from the newest state in --out, if there is one; a training that is over goes straight to its images.
    Give the same command otherwise; learning rates, more steps, state_every and collapse_* may be others."""
    log_every: int = 50
    """Steps between two lines of losses."""
    grid_every: int = 500
    """Steps between two sample grids."""
    state_every: int = 500
    """Steps between two states, from which --resume goes on; the diversity of samples is judged before each."""
    collapse_below: float = 0.02
    """Samples of fixed noise that vary less than this share of what training images do are a collapse: said once, the
    end the second time; 0 does not look."""
    collapse_after: int | None = None
    """A generator that has never varied is not judged before this step: 1000 unless told, half the steps of a training
    of fewer than 2000."""
    precision: Annotated[Literal["launcher", "no", "bf16"], tyro.conf.arg(aliases=["--mixed-precision"])] = "launcher"
    """Of the networks' arithmetic in training; launcher takes what accelerate was launched with."""
    threads: int = 0
    """CPU threads a process; 0 shares the cores among the processes."""
    seed: int = 0
    """Seed of weights, groups, order, noise and images."""

    def __post_init__(self) -> None:
        _check_least(self, {"num_images": 0, "threads": 0, "seed": 0, "collapse_after": 0})
        _check_least(self, {"sample_batch": 1, "log_every": 1, "grid_every": 1, "state_every": 1})
        if not 0 <= self.collapse_below < 1:
            raise ValueError(f"collapse_below: got {self.collapse_below}, allowed: 0 (off) to below 1")
        if self.collapse_after is not None and not self.collapse_below:
            raise ValueError(f"collapse_after: got {self.collapse_after} with --collapse-below 0, which does not look")

    def patience(self, steps: int) -> int:
        """Returns the step from which on a generator has to vary, in a training of so many."""
        return min(1000, steps // 2) if self.collapse_after is None else self.collapse_after


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """Trains a generative model on a re-ID training split and makes images with it.

    Without --root on a world of people that is written for it. Processes and machines are accelerate's. `--config
    FILE.yaml` gives defaults, the command line wins; each run leaves such a file.
    """

    data: Annotated[DataOptions, _FLAT] = dataclasses.field(default_factory=DataOptions)
    network: Annotated[ModelOptions, _FLAT] = dataclasses.field(default_factory=ModelOptions)
    objective: Annotated[ObjectiveOptions, _FLAT] = dataclasses.field(default_factory=ObjectiveOptions)
    condition: Annotated[ConditionOptions, _FLAT] = dataclasses.field(default_factory=ConditionOptions)
    optimisation: Annotated[OptimisationOptions, _FLAT] = dataclasses.field(default_factory=OptimisationOptions)
    run: Annotated[RunOptions, _FLAT] = dataclasses.field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if self.run.sample_from is not None:
            self._check_sampling()
        model = self.network.model
        for name, models in _ACTS_ON.items():
            group = next(part for part in (self.network, self.objective, self.optimisation) if hasattr(part, name))
            value = getattr(group, name)
            if value is not None and model not in models:
                raise ValueError(f"{name}: got {value} with {model}, which has no use for it; of {', '.join(models)}")

    def _check_sampling(self) -> None:
        values, untold = option_values(self), option_values(GenerateConfig())
        for name, value in values.items():
            if name not in _ACT_ON_SAMPLING and value != untold[name]:
                raise ValueError(f"{name}: got {value} with --sample-from, which trains nothing; leave it out")
        if not self.run.num_images:
            raise ValueError("num_images: got 0 with --sample-from, allowed: 1 or more")
