"""From a model, a loss and images to a `Trainer`: what every training here shares.

Image training, video training, continual adaptation and `ReIDModel.fit` assemble themselves from these parts. Batches
are global: `batch_size` counts the images of one process, the sampler draws batch_size x processes images, and each
process works on an equal share of them. A training depends on the global batch, not on the number of processes.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import torch
import tyro
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn
from torch.utils.data import DataLoader

from reid.activation_checkpointing import checkpoint_activations
from reid.data.base import Split, relabel
from reid.data.generated_mix import GeneratedMix
from reid.data.images import Preprocessing
from reid.data.loader import training_loader
from reid.data.samplers import CameraBalancedPKBatchSampler, PKBatchSampler, RandomBatchSampler
from reid.data.sharding import BatchSampler, BatchShare
from reid.data.transforms import Augmentation, TrainTransform
from reid.distances import available_threads
from reid.engine import Trainer, to_device
from reid.losses import CombinedLoss, LossWithGenerated
from reid.models.split_batch_norm import split_statistics
from reid.optim import (
    JointOptimizer,
    OptimisationOptions,
    build_center_optimizer,
    build_optimizer,
    build_schedule,
)
from reid.synthetic_training import BeforeEpoch, GeneratedPart, RealDistillation
from reid.training_state import StateFolder
from reid.weight_average import WeightAverage

Precision = Literal["launcher", "no", "bf16", "fp16"]


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """Which images make a batch.

    Raises:
        ValueError: When a value is outside its range, the two sizes do not fit, or an option has no effect.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {"num_instances": 4}

    batch_size: Annotated[int, tyro.conf.arg(aliases=["--bs"])] = 64
    """Images a batch and process: identities x instances."""
    num_instances: Annotated[int | None, tyro.conf.arg(aliases=["--instance"])] = None
    """Images an identity in a batch, 4 unless told; not with random batches."""
    sampler: Literal["pk", "camera-balanced", "random"] = "pk"
    """P identities with K images each; the same with each identity's cameras in turn; or random images, for losses
    that need no pairs."""

    def __post_init__(self) -> None:
        if self.instances() < 1 or self.batch_size < 1:
            raise ValueError(
                f"batch_size, num_instances: got {self.batch_size}, {self.instances()}, allowed: 1 or more"
            )
        if self.sampler == "random" and self.num_instances is not None:
            raise ValueError(
                f"num_instances: got {self.num_instances} with sampler random, which it would not act on; allowed: "
                "with pk and camera-balanced"
            )
        if self.sampler != "random" and self.batch_size % self.instances():
            raise ValueError(
                f"batch_size: got {self.batch_size}, allowed: a multiple of num_instances ({self.instances()})"
            )

    def instances(self) -> int:
        """Returns the images an identity in a batch; 1 for random batches, which promise no second one."""
        if self.sampler == "random" and self.num_instances is None:
            return 1
        return self.UNLESS_TOLD["num_instances"] if self.num_instances is None else self.num_instances


@dataclasses.dataclass(frozen=True)
class LoadingOptions:
    """How images get into memory."""

    workers: int = 2
    """Processes that decode images when these do not fit into the cache."""
    cache_megabytes: int = 2048
    """Decoded training images are kept in memory when all fit into this."""

    def __post_init__(self) -> None:
        if self.workers < 0 or self.cache_megabytes < 0:
            raise ValueError(
                f"workers, cache_megabytes: got {self.workers}, {self.cache_megabytes}, allowed: 0 or more"
            )


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """All that a training on images is told beside model, loss and data."""

    sampling: SamplingOptions = dataclasses.field(default_factory=SamplingOptions)
    loading: LoadingOptions = dataclasses.field(default_factory=LoadingOptions)
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    optimisation: OptimisationOptions = dataclasses.field(default_factory=OptimisationOptions)


def build_accelerator(
    *, precision: Precision = "launcher", compiled: bool = False, classifier_unused: bool = False, cpu: bool = False
) -> Accelerator:
    """Builds the accelerator of a training.

    Args:
        precision: "launcher" takes what accelerate was launched with.
        compiled: Runs the model through torch.compile (inductor), whatever accelerate was launched with.
        classifier_unused: The loss leaves parameters without a gradient, which the distributed wrapper has to be told.
        cpu: Trains on the CPU although there is a GPU.

    Raises:
        ValueError: When the machine does not know the precision.
    """
    unused = DistributedDataParallelKwargs(find_unused_parameters=classifier_unused)
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=None if precision == "launcher" else precision,
        dynamo_backend="inductor" if compiled else None,
        kwargs_handlers=[unused],
    )
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        # accelerate scales the loss on GPUs only; without it small gradients are lost.
        raise ValueError("precision: got fp16 on the CPU, allowed: no, bf16")
    return accelerator


def set_threads(threads: int, accelerator: Accelerator) -> None:
    """Sets the CPU threads of this process; 0 shares the cores among the processes of this machine."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
    torch.set_num_threads(threads or max(1, available_threads() // processes))


def build_sampler(
    samples: Split, labels: dict[int, int], options: SamplingOptions, seed: int, accelerator: Accelerator
) -> BatchShare:
    """Builds this process's share of the sampler.

    Raises:
        ValueError: When the images do not fill a batch of all processes, or cannot be balanced.
    """
    count = accelerator.num_processes
    classes = [labels[sample.pid] for sample in samples]
    instances = options.instances()
    num_pids = options.batch_size * count // instances
    if options.sampler != "random" and num_pids > len(set(classes)):
        raise ValueError(
            f"batch_size: got {options.batch_size} x {count} processes = {num_pids} identities x "
            f"{instances} images, allowed: at most the {len(set(classes))} identities of the training "
            "split; lower --batch-size or raise --num-instances"
        )
    sampler: BatchSampler
    if options.sampler == "random":
        sampler = RandomBatchSampler(len(samples), options.batch_size * count, seed)
    elif options.sampler == "pk":
        sampler = PKBatchSampler(classes, num_pids, instances, seed)
    else:
        camids = [sample.camid for sample in samples]
        if len(set(camids)) < 2:
            raise ValueError("sampler: got camera-balanced, but the training images are of one camera; allowed: pk")
        sampler = CameraBalancedPKBatchSampler(classes, camids, num_pids, instances, seed)
    return BatchShare(sampler, accelerator.process_index, count)


def build_image_trainer(
    accelerator: Accelerator,
    model: nn.Module,
    loss: CombinedLoss | LossWithGenerated,
    samples: Split,
    preprocessing: Preprocessing,
    options: TrainingOptions,
    *,
    epochs: int,
    seed: int = 0,
    states: StateFolder | None = None,
    distillation: nn.Module | None = None,
    generated: GeneratedPart | None = None,
) -> Trainer:
    """Builds the trainer of a model on images, labelled by `relabel(samples)`.

    Args:
        accelerator: From `build_accelerator`.
        model: Moved to the device and changed in place.
        loss: For the identities of the samples.
        samples: The training images.
        preprocessing: What the model's input wants.
        options: Everything else.
        epochs: Length of the schedule.
        seed: Of order and augmentation.
        states: Where states for resuming are kept.
        distillation: What a teacher adds to the loss (`reid.distillation`), on the device.
        generated: Generated images that come behind the real ones of each batch; `loss` is its loss then.

    Raises:
        ValueError: When the options do not fit the images or the model.
    """
    labels = relabel(samples)
    sampler: BatchShare | GeneratedMix = build_sampler(samples, labels, options.sampling, seed, accelerator)
    loading, count = options.loading, len(samples)
    if generated is not None:
        if distillation is not None:
            distillation = RealDistillation(distillation, sampler.batch_size)
        if generated.options.apart():
            split_statistics(model, sampler.batch_size)
        sampler = generated.mix(sampler, count, seed)  # type: ignore[arg-type]
        samples, labels = [*samples, *generated.images.samples], labels | generated.images.labels()
    loader = training_loader(samples, labels, preprocessing, sampler, loading.workers, loading.cache_megabytes)  # type: ignore[arg-type]
    label = None if generated is None else generated.before_epoch(loader.dataset, count, preprocessing, accelerator)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed + 1000 * accelerator.process_index)
    transform = TrainTransform(preprocessing, options.augmentation, generator)
    return build_trainer(
        accelerator,
        model,
        loss,
        loader,
        sampler,
        transform,
        options.optimisation,
        epochs=epochs,
        generator=generator,
        states=states,
        distillation=distillation,
        before_epoch=label,
    )


def _optimisation(
    model: nn.Module,
    loss: CombinedLoss | LossWithGenerated,
    options: OptimisationOptions,
    accelerator: Accelerator,
    epochs: int,
    epoch_steps: int,
    distillation: nn.Module | None = None,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    fused = options.fused == "on" or (options.fused == "auto" and accelerator.device.type == "cuda")
    fused = fused and options.optimizer != "sgd"
    main = build_optimizer(options.optimizer, model, options.lr, options.weight_decay, fused)
    if distillation is not None and (learnt := list(distillation.parameters())):
        main.add_param_group({"params": learnt, "weight_decay": options.weight_decay})
    schedule = build_schedule(main, options, epochs, epoch_steps)
    centers = loss.center_parameters()
    if options.center_lr is not None and not centers:
        raise ValueError(f"center_lr: got {options.center_lr} without a center loss, which it would act on")
    if not centers:
        return main, schedule
    return JointOptimizer(main, build_center_optimizer(centers, options.center_rate())), schedule


def build_trainer(
    accelerator: Accelerator,
    model: nn.Module,
    loss: CombinedLoss | LossWithGenerated,
    loader: DataLoader,
    sampler: BatchShare | GeneratedMix,
    transform: Callable[[torch.Tensor], torch.Tensor],
    options: OptimisationOptions,
    *,
    epochs: int,
    generator: torch.Generator | None = None,
    states: StateFolder | None = None,
    distillation: nn.Module | None = None,
    before_epoch: BeforeEpoch | None = None,
) -> Trainer:
    """Builds the trainer of any model and loader: optimisers, schedule, average, checkpointing.

    Args:
        accelerator: From `build_accelerator`.
        model: Moved to the device and changed in place; a submodule `head` is needed for freezing.
        loss: Moved to the device.
        loader: Yields this process's batches (images uint8, pids, camids); `sampler` is its batch sampler.
        sampler: This process's share of the global batches.
        transform: From the uint8 images of a batch to the model's input, on the device.
        options: How weights are moved.
        epochs: Length of the schedule.
        generator: The transform's random numbers.
        states: Where states for resuming are kept.
        distillation: What a teacher adds to the loss (`reid.distillation`), on the device.
        before_epoch: See `Trainer`.

    Raises:
        ValueError: When the options do not fit the model.
    """
    if options.freeze_epochs > epochs:
        raise ValueError(f"freeze_epochs: got {options.freeze_epochs}, allowed: 0 to the {epochs} epochs")
    model, loss = to_device(model, accelerator.device), loss.to(accelerator.device)
    accumulate = options.accumulate or accelerator.gradient_accumulation_steps
    steps = -(-len(sampler) // accumulate)
    optimizer, schedule = _optimisation(model, loss, options, accelerator, epochs, steps, distillation)
    if options.activation_checkpointing:
        checkpoint_activations(model)
    return Trainer(
        accelerator,
        model,
        loss,
        optimizer,
        schedule,
        loader,
        sampler,
        transform,
        options.max_grad_norm,
        accumulate=accumulate,
        average=WeightAverage(model, options.ema) if options.ema else None,
        freeze_epochs=options.freeze_epochs,
        generator=generator,
        states=states,
        distillation=distillation,
        before_epoch=before_epoch,
    )
