"""From a model, a loss and tracklets to a `Trainer`."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import nn

from reid.data.base import relabel
from reid.data.images import Preprocessing
from reid.data.tracklet_loader import TrackletSampler, tracklet_loader
from reid.data.tracklet_transform import TrackletTransform
from reid.data.tracklets import Tracklet, first_frames
from reid.data.transforms import TrainTransform
from reid.engine import Trainer
from reid.losses import CombinedLoss
from reid.training import TrainingOptions, build_sampler, build_trainer
from reid.training_state import StateFolder


def tracklet_labels(tracklets: Sequence[Tracklet]) -> list[int]:
    """Returns the label of each training tracklet, 0..C-1."""
    first = first_frames(tracklets)
    labels = relabel(first)
    return [labels[sample.pid] for sample in first]


def build_video_trainer(
    accelerator: Accelerator,
    model: nn.Module,
    loss: CombinedLoss,
    tracklets: Sequence[Tracklet],
    preprocessing: Preprocessing,
    options: TrainingOptions,
    *,
    frames: int,
    crop_factor: float,
    epochs: int,
    seed: int = 0,
    states: StateFolder | None = None,
) -> Trainer:
    """Builds the trainer of a model on tracklets, labelled by `tracklet_labels`.

    Args:
        accelerator: From `reid.training.build_accelerator`.
        model: Moved to the device and changed in place.
        loss: For the identities of the tracklets.
        tracklets: The training tracklets; their frames must be readable.
        preprocessing: Height and width of the frames.
        options: Everything else; batches count tracklets.
        frames: How many of each tracklet make a clip.
        crop_factor: Scales each box before it is cut.
        epochs: Length of the schedule.
        seed: Of order, frames and augmentation.
        states: Where states for resuming are kept.

    Raises:
        ValueError: When the options do not fit the tracklets or the model.
    """
    first = first_frames(tracklets)
    labels = relabel(first)
    share = build_sampler(first, labels, options.sampling, seed, accelerator)
    # Inside the share, so that what the frames are drawn with does not depend on the number of processes.
    share.sampler = TrackletSampler(share.sampler, seed)  # type: ignore[assignment]
    loader = tracklet_loader(
        tracklets,
        labels,
        preprocessing,
        share,
        frames=frames,
        crop_factor=crop_factor,
        workers=options.loading.workers,
        cache_megabytes=options.loading.cache_megabytes,
    )
    generator = torch.Generator().manual_seed(seed + 1000 * accelerator.process_index)
    transform = TrackletTransform(TrainTransform(preprocessing, options.augmentation, generator), generator)
    parts = (accelerator, model, loss, loader, share, transform, options.optimisation)
    return build_trainer(*parts, epochs=epochs, generator=generator, states=states)
