"""Continual training through the one loop: after a training, or on a checkpoint alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

from accelerate import Accelerator
from torch import nn

from reid.continual import Adaptation, Say, adapt, choose_unlabelled
from reid.continual_options import ContinualOptions
from reid.data.base import ReIDDataset, Split
from reid.data.images import Preprocessing
from reid.engine import Trainer
from reid.losses import CombinedLoss
from reid.training import TrainingOptions, build_image_trainer
from reid.training_state import StateFolder


def continue_training(
    model: nn.Module,
    loss: CombinedLoss,
    source: Split,
    target: ReIDDataset,
    options: ContinualOptions,
    training: TrainingOptions,
    *,
    preprocessing: Preprocessing,
    accelerator: Accelerator,
    on_epoch_end: Callable[[dict[str, float]], None],
    on_start: Callable[[Trainer], None] = lambda trainer: None,
    seed: int = 0,
    states: StateFolder | None = None,
    resume: bool = False,
    say: Say = print,
) -> tuple[Trainer, Adaptation]:
    """Adapts a trained network to images without labels, and trains it on them and the source images.

    Clusters depend on the network's weights alone, so that a resumed training finds the same ones again when it is
    given the weights that the source training ended with.

    Args:
        model: The trained network, `Trainer.finish()`'s or that of a checkpoint with its classifier. Changed in place.
        loss: The one of the source training, or a new one for the source identities. Changed in place.
        source: The images that the network was trained on.
        target: The dataset that is scored in the end.
        options: Which images, how they are clustered, how long and how fast they are learnt from.
        training: As for the source training; of its optimisation the optimiser, the rate and the schedule are
            replaced (`ContinualOptions.optimisation_changes`).
        preprocessing: What the network's input wants.
        accelerator: That of the source training.
        on_epoch_end: Given each epoch's row, epochs counted from 1 again.
        on_start: Given the trainer before its epochs.
        seed: Of order and augmentation.
        states: Where states for resuming are kept; not the folder of the source training.
        resume: Go on from the newest of these.
        say: Told what happens, on the main process only.

    Returns:
        The trainer after its epochs, to be finished by the caller, and what came of the clustering, whose protocol
        every score from now on carries.

    Raises:
        ValueError: As `reid.continual.adapt` and `reid.training.build_image_trainer`.
    """
    training, epochs = _changed(training, options), options.epochs()
    trainers: list[Trainer] = []

    def train(samples: Split) -> None:
        inputs = (accelerator, model, loss, samples, preprocessing, training)
        trainers.append(build_image_trainer(*inputs, epochs=epochs, seed=seed, states=states))
        on_start(trainers[0])
        trainers[0].train(epochs, on_epoch_end, resume=resume)

    unlabelled = choose_unlabelled(target, options)
    told: dict[str, Any] = {"preprocessing": preprocessing, "accelerator": accelerator, "options": options, "say": say}
    adaptation = adapt(model, loss, source, unlabelled, train, **told)
    return trainers[0], adaptation


def _changed(training: TrainingOptions, options: ContinualOptions) -> TrainingOptions:
    optimisation = dataclasses.replace(training.optimisation, **options.optimisation_changes())
    return dataclasses.replace(training, optimisation=optimisation)
