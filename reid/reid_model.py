"""One object for notebooks: build, train, embed, save and load a re-identification network."""

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from reid.checkpoint import Card, save_checkpoint
from reid.config import option_values
from reid.data import read_dataset
from reid.data.base import ReIDDataset, Split, relabel
from reid.data.crops import drop_unreadable
from reid.data.images import Preprocessing
from reid.data.triplets import TripletDataset
from reid.devices import check_precision
from reid.distillation import DistillationOptions
from reid.embedder import Embedder
from reid.engine import Trainer
from reid.losses import CombinedLoss
from reid.models import build_model, input_size
from reid.optim import OptimisationOptions
from reid.records import repository_commit
from reid.torch_backend import load_model, open_device
from reid.training import SamplingOptions, TrainingOptions, build_accelerator, build_image_trainer

WEIGHTS = {"cross_entropy": 1.0, "triplet": 1.0, "center": 5e-4}

FitData = str | os.PathLike[str] | ReIDDataset | TripletDataset


class ReIDModel:
    """A network with its preprocessing; called with crops it embeds them, as the `Embedder` that trackers work with.

    Args:
        backbone: A name for `reid.models.build_model`.
        preprocessing: What the input wants; None takes the pixels that the network is made for, 256 x 128 unless
            `reid.models.input_size` says otherwise, and ImageNet's statistics.
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:N".
        seed: Of the initial weights, and of what `fit` draws unless told otherwise.
        options: Options of `build_model`.

    Attributes:
        model: The module.
        history: A row for each epoch of the last `fit`.
        config: How it was trained last, for the card that `save` writes.
        scores: Score records of the checkpoint that it came from; a `fit` empties them.
        calibration: The distances of false match rates on that checkpoint's card; a `fit` makes them None.
    """

    def __init__(
        self,
        backbone: str,
        *,
        preprocessing: Preprocessing | None = None,
        device: str = "auto",
        seed: int = 0,
        **options: Any,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build_model(backbone, 0, **options)
        self._set(model.eval(), backbone, options, preprocessing or Preprocessing(*input_size(backbone)), device, seed)

    def _set(
        self,
        model: nn.Module,
        backbone: str,
        options: dict[str, Any],
        preprocessing: Preprocessing,
        device: str,
        seed: int,
    ) -> None:
        self.model = model
        self.backbone = backbone
        self.options = options
        self.preprocessing = preprocessing
        self.device = device
        self.seed = seed
        self.history: list[dict[str, float]] = []
        self.config: dict[str, Any] = {}
        self.scores: list[dict[str, Any]] = []
        self.calibration: dict[str, Any] | None = None
        self._embedder: Embedder | None = None

    @classmethod
    def from_timm(cls, name: str, *, pretrained: bool = False, **options: Any) -> "ReIDModel":
        """Builds any network of timm.

        Args:
            name: Its name in timm.
            pretrained: Start with published weights, from a file on this machine (see `reid.models.timm_backbone`).
            options: Those of the class, and of `TimmBackbone`.
        """
        return cls(f"timm:{name}", pretrained=pretrained, **options)

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], *, device: str = "auto") -> "ReIDModel":
        """Loads a checkpoint of this project, of the command line's training or of `save`.

        Raises:
            FileNotFoundError: When the file is missing.
            ValueError: When it is damaged.
        """
        model, card = load_model(Path(path), with_classifier=False)
        loaded = cls.__new__(cls)
        loaded._set(model, card.backbone, card.options, card.preprocessing, device, 0)
        loaded.config, loaded.scores, loaded.calibration = card.config, card.scores, card.calibration
        return loaded

    load = from_checkpoint

    def fit(
        self,
        data: FitData,
        *,
        epochs: int = 20,
        freeze_backbone: bool = False,
        projection_dim: int = 0,
        learning_rate: float = 3.5e-4,
        batch_size: int = 64,
        num_instances: int = 4,
        seed: int | None = None,
        options: TrainingOptions | None = None,
        teacher: DistillationOptions | None = None,
        on_epoch_end: Callable[[dict[str, float]], None] | None = None,
    ) -> "ReIDModel":
        """Trains on the training split, by the loop of all trainings, with cross entropy, triplet and center loss.

        The classifier is new in each fit, the other weights go on from where they are. An interrupted fit keeps what
        it has learned.

        Args:
            data: A folder in Market-1501's layout, what `reid.data.read_dataset` read, or one of the two datasets of
                `get_market1501_dataset`: of triplets the images count, batches are drawn here. Images that cannot be
                read are left out, with a warning.
            epochs: Passes over the training split.
            freeze_backbone: Trains the head alone: projection, BNNeck and classifier.
            projection_dim: Puts a linear layer to so many numbers behind a network of timm, new together with BNNeck
                unless the network has one of this size; 0 leaves the network as it is.
            learning_rate: Of Adam, after a warm-up over the first tenth.
            batch_size: Images a batch, lowered to what the identities allow.
            num_instances: Images an identity in a batch.
            seed: Of order and augmentation; None takes the model's.
            options: In the place of learning rate, batch size and images an identity.
            teacher: Another network to learn from as well, and how much.
            on_epoch_end: Given each epoch's row.

        Returns:
            The model itself.

        Raises:
            FileNotFoundError: When the folder or a part of it is missing.
            ValueError: When the data, the options or the device do not fit.
        """
        samples, seed = _training_images(data), self.seed if seed is None else seed
        labels = relabel(samples)
        with self._on_device() as accelerator:
            if options is None:
                identities = len(labels) // accelerator.num_processes
                options = _options(learning_rate, batch_size, num_instances, epochs, identities)
            if freeze_backbone:
                options = _frozen(options, epochs)
            torch.manual_seed(seed)
            self._prepare(len(labels), projection_dim)
            size = int(self.model.embedding_size)  # type: ignore[arg-type]
            generator = torch.Generator().manual_seed(seed)
            loss = CombinedLoss(WEIGHTS, num_classes=len(labels), feature_size=size, generator=generator)
            inputs = (accelerator, self.model, loss, samples, self.preprocessing, options)
            taught = (teacher or DistillationOptions()).build(size, self.preprocessing, accelerator, seed)
            trainer = build_image_trainer(*inputs, epochs=epochs, seed=seed, distillation=taught)
            self.config = {"epochs": epochs, "seed": seed, "images": len(samples)} | dataclasses.asdict(options)
            if teacher is not None:
                self.config |= option_values(teacher)
            self._run(trainer, epochs, on_epoch_end)
        return self

    @contextlib.contextmanager
    def _on_device(self) -> Iterator[Accelerator]:
        """Yields an accelerator on the model's device; random numbers of torch are those of before afterwards."""
        device = open_device(self.device)
        place = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
        with torch.random.fork_rng(), place:
            accelerator = build_accelerator(cpu=self.device == "cpu")
            if self.device != "auto" and device.type != accelerator.device.type:
                raise ValueError(
                    f"device: got {self.device}, but trainings of this process run on {accelerator.device.type}, which "
                    "the first of them and accelerate's settings decide; start a new process"
                )
            check_precision(accelerator.mixed_precision, accelerator.device.type, self.preprocessing.width)
            yield accelerator

    def _run(self, trainer: Trainer, epochs: int, on_epoch_end: Callable[[dict[str, float]], None] | None) -> None:
        def note(row: dict[str, float]) -> None:
            self.history.append(row)
            if on_epoch_end is not None:
                on_epoch_end(row)

        try:
            trainer.train(epochs, note)
        finally:
            self.model = trainer.finish().eval()
            if trainer.frozen is not None:
                trainer.frozen.thaw()

    def _prepare(self, num_classes: int, projection_dim: int) -> None:
        """Gives the network a new classifier, and a new head when another projection is asked for; the rest stays."""
        new, options = ["head.classifier."], self.options
        if projection_dim and projection_dim != options.get("projection_dim", 0):
            new += ["head.projection.", "head.bottleneck.", "head.cameras."]
            options = options | {"projection_dim": projection_dim}
        # The weights follow; those of a file are in them already.
        build = {name: value for name, value in options.items() if name not in ("pretrained", "weights")}
        model = build_model(self.backbone, num_classes, **build)
        old = {
            name: value
            for name, value in self.model.state_dict().items()
            if not name.startswith(tuple(new)) and ".classifier." not in name  # branches have one each
        }
        model.load_state_dict(model.state_dict() | old)
        self.model, self.options, self._embedder = model, options, None
        self.history, self.scores, self.calibration = [], [], None

    def embed(self, images: Sequence[np.ndarray], camids: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Embeds crops.

        Args:
            images: uint8 RGB arrays (H, W, 3) of any size.
            camids: The camera of each crop, for a network with camera vectors.

        Returns:
            float32 (N, D) with rows of norm 1.
        """
        if self._embedder is None:
            self._embedder = Embedder.from_model(self.model, self.preprocessing, device=self.device)
        return self._embedder(images, camids)

    __call__ = embed

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .safetensors checkpoint, which every command here takes."""
        classifier = next((w for name, w in self.model.state_dict().items() if name.endswith("classifier.weight")), ())
        card = Card(
            backbone=self.backbone,
            options=self.options,
            num_classes=len(classifier),
            embedding_size=int(self.model.embedding_size),  # type: ignore[arg-type]
            preprocessing=self.preprocessing,
            config=self.config,
            commit=repository_commit(),
            scores=self.scores,
            calibration=self.calibration,
        )
        save_checkpoint(path, self.model.state_dict(), card)


def _training_images(data: FitData) -> Split:
    if isinstance(data, TripletDataset):
        samples = data.samples
    elif isinstance(data, ReIDDataset):
        samples = data.train
    elif isinstance(data, str | os.PathLike):
        samples = read_dataset("market1501", data).train
    else:
        raise ValueError(
            f"data: got a {type(data).__name__}, allowed: a folder, what read_dataset returns, or one of the two that "
            "get_market1501_dataset returns"
        )
    readable, faults = drop_unreadable(samples)
    if not readable:
        raise ValueError(f"data: none of {len(samples)} training images can be read, e.g. {', '.join(faults[:1])}")
    if faults:
        warnings.warn(f"{len(faults)} training images cannot be read and are left out, e.g. {faults[0]}", stacklevel=3)
    return readable


def _options(
    learning_rate: float, batch_size: int, num_instances: int, epochs: int, identities: int
) -> TrainingOptions:
    SamplingOptions(batch_size, num_instances)  # says what is wrong with the two before they are lowered
    fitting = min(batch_size, identities * num_instances)
    optimisation = OptimisationOptions(lr=learning_rate, warmup_epochs=epochs / 10)
    return TrainingOptions(SamplingOptions(fitting, num_instances), optimisation=optimisation)


def _frozen(options: TrainingOptions, epochs: int) -> TrainingOptions:
    return dataclasses.replace(options, optimisation=dataclasses.replace(options.optimisation, freeze_epochs=epochs))
