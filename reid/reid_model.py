"""One object for notebooks: build, train, embed, save and load a re-identification network."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from reid.checkpoint import Card, save_checkpoint
from reid.data import read_dataset
from reid.data.base import ReIDDataset, Split, relabel
from reid.data.images import Preprocessing
from reid.data.triplets import TripletDataset
from reid.embedder import Embedder
from reid.losses import CombinedLoss
from reid.models import build_model
from reid.optim import OptimisationOptions
from reid.records import repository_commit
from reid.torch_backend import load_model
from reid.training import SamplingOptions, TrainingOptions, build_accelerator, build_image_trainer

WEIGHTS = {"cross_entropy": 1.0, "triplet": 1.0, "center": 5e-4}


class ReIDModel:
    """A network with its preprocessing; called with crops it embeds them, as the `Embedder` that trackers work with.

    Args:
        backbone: A name for `reid.models.build_model`.
        preprocessing: What the input wants; None takes 256 x 128 pixels and ImageNet's statistics.
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:N".
        seed: Of the initial weights, and of what `fit` draws unless told otherwise.
        options: Options of `build_model`.

    Attributes:
        model: The module.
        history: A row for each epoch of the last `fit`.
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
        self._set(model.eval(), backbone, options, preprocessing or Preprocessing(), device, seed)

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
        return loaded

    load = from_checkpoint

    def fit(
        self,
        data: str | os.PathLike[str] | ReIDDataset | TripletDataset,
        *,
        epochs: int = 20,
        freeze_backbone: bool = False,
        projection_dim: int = 0,
        learning_rate: float = 3.5e-4,
        batch_size: int = 64,
        num_instances: int = 4,
        seed: int | None = None,
        options: TrainingOptions | None = None,
        on_epoch_end: Callable[[dict[str, float]], None] | None = None,
    ) -> "ReIDModel":
        """Trains on the training split, by the loop of all trainings, with cross entropy, triplet and center loss.

        Args:
            data: A folder in Market-1501's layout, or what `reid.data.read_dataset` or `get_market1501_dataset` read;
                of triplets the images count, batches are drawn here.
            epochs: Passes over the training split.
            freeze_backbone: Trains the head alone: projection, BNNeck and classifier.
            projection_dim: Puts a linear layer to so many numbers behind a network of timm, new in each fit that gives
                it; 0 leaves the network as it is.
            learning_rate: Of Adam, after a warm-up over the first tenth.
            batch_size: Images a batch, lowered to what the identities allow.
            num_instances: Images an identity in a batch.
            seed: Of order and augmentation; None takes the model's.
            options: In the place of learning rate, batch size and images an identity.
            on_epoch_end: Given each epoch's row.

        Returns:
            The model itself.

        Raises:
            ValueError: When the data or the options do not fit.
        """
        if isinstance(data, TripletDataset):
            samples = list(data.samples)
        else:
            samples = (data if isinstance(data, ReIDDataset) else read_dataset("market1501", data)).train
        seed = self.seed if seed is None else seed
        accelerator = build_accelerator()
        if options is None:
            identities = len(relabel(samples))
            fitting = min(batch_size // num_instances, identities // accelerator.num_processes) * num_instances
            frozen = epochs if freeze_backbone else 0
            options = TrainingOptions(
                SamplingOptions(fitting, num_instances),
                optimisation=OptimisationOptions(lr=learning_rate, warmup_epochs=epochs / 10, freeze_epochs=frozen),
            )
        elif freeze_backbone:
            frozen_options = dataclasses.replace(options.optimisation, freeze_epochs=epochs)
            options = dataclasses.replace(options, optimisation=frozen_options)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._prepare(samples, projection_dim)
            size = int(self.model.embedding_size)  # type: ignore[arg-type]
            generator = torch.Generator().manual_seed(seed)
            classes = len(relabel(samples))
            loss = CombinedLoss(WEIGHTS, num_classes=classes, feature_size=size, generator=generator)
            self.history = []
            trainer = build_image_trainer(
                accelerator, self.model, loss, samples, self.preprocessing, options, epochs=epochs, seed=seed
            )
            trainer.train(epochs, lambda row: self._note(row, on_epoch_end))
            self.model = trainer.finish().eval()
        self._embedder = None
        return self

    def _note(self, row: dict[str, float], on_epoch_end: Callable[[dict[str, float]], None] | None) -> None:
        self.history.append(row)
        if on_epoch_end is not None:
            on_epoch_end(row)

    def _prepare(self, train: Split, projection_dim: int) -> None:
        """Gives the network a new classifier, and a new projection when one is asked for; the rest stays."""
        if projection_dim:
            self.options = self.options | {"projection_dim": projection_dim}
        # The weights follow; those of a file are in them already.
        options = {name: value for name, value in self.options.items() if name not in ("pretrained", "weights")}
        model = build_model(self.backbone, len(relabel(train)), **options)
        own = model.state_dict()
        old = {name: value for name, value in self.model.state_dict().items() if "classifier" not in name}
        model.load_state_dict(own | {k: v for k, v in old.items() if k in own and v.shape == own[k].shape})
        self.model = model

    def embed(self, images: Sequence[np.ndarray], camids: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Embeds crops.

        Args:
            images: uint8 RGB arrays (H, W, 3) of any size.
            camids: The camera of each crop, for a network with camera vectors.

        Returns:
            float32 (N, D) with rows of norm 1.
        """
        if self._embedder is None:
            self._embedder = Embedder.from_model(self.model, self.preprocessing, device=self._torch_device())
        return self._embedder(images, camids)

    __call__ = embed

    def _torch_device(self) -> torch.device:
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .safetensors checkpoint, which every command here takes."""
        classifier = next((w for name, w in self.model.state_dict().items() if name.endswith("classifier.weight")), ())
        card = Card(
            backbone=self.backbone,
            options=self.options,
            num_classes=len(classifier),
            embedding_size=int(self.model.embedding_size),  # type: ignore[arg-type]
            preprocessing=self.preprocessing,
            commit=repository_commit(),
        )
        save_checkpoint(path, self.model.state_dict(), card)
