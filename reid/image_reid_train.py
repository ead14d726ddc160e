"""Trains an image re-identification network: `accelerate launch reid/image_reid_train.py --root DIR`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import tyro
from accelerate import Accelerator
from accelerate.utils import set_seed
from rich.console import Console

from reid.checkpoint import Card, save_checkpoint
from reid.config import run_entry_point
from reid.data.base import ReIDDataset, describe, relabel
from reid.data.images import Preprocessing
from reid.data.market1501 import read_market1501
from reid.data.transforms import Augmentation
from reid.embedder import Embedder
from reid.engine import Trainer
from reid.evaluation import embed_samples, rank, scores_of
from reid.losses import CombinedLoss, LossOptions
from reid.models import build_model
from reid.optim import OptimisationOptions
from reid.records import repository_commit, score_record
from reid.training import (
    LoadingOptions,
    SamplingOptions,
    TrainingOptions,
    build_accelerator,
    build_image_trainer,
    set_threads,
)
from reid.training_log import TrainingLog


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Trains a re-identification network on a folder in Market-1501's layout.

    Mixed precision and processes are accelerate's: `accelerate launch --mixed_precision bf16 --num_processes 2 ...`.
    `--config FILE.yaml` gives defaults, the command line wins.
    """

    root: Path
    """Folder with bounding_box_train, query and bounding_box_test."""
    out: Path = Path("runs/train")
    """Where model.safetensors, its card, metrics.jsonl and the TensorBoard log go."""
    backbone: str = "cares18"
    """One of cares18, seres18."""
    attention: Literal["default", "coordinate", "triplet"] = "default"
    """Attention of cares18; its default is coordinate."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["--bs"])] = 64
    """Images a batch and process: identities x instances."""
    num_instances: Annotated[int, tyro.conf.arg(aliases=["--instance"])] = 4
    """Images an identity in a batch."""
    epochs: int = 60
    """Passes over the training split; 0 writes the untrained network."""
    height: int = 256
    """Rows of the input, in pixels."""
    width: int = 128
    """Columns of the input, in pixels."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimiser of the network."""
    lr: float = 3.5e-4
    """Base learning rate."""
    weight_decay: float = 5e-4
    """Weight decay; biases and normalisation are spared."""
    warmup_epochs: float = 10.0
    """Epochs of linear warm-up before the cosine."""
    cross_entropy_weight: float = 1.0
    """Weight of the cross entropy."""
    smoothing: float = 0.1
    """Label smoothing of the cross entropy."""
    triplet_weight: float = 1.0
    """Weight of the batch-hard triplet loss."""
    margin: float = 0.3
    """Its margin; 0 or less is the soft margin."""
    center_weight: Annotated[float, tyro.conf.arg(aliases=["--center-lamda"])] = 5e-4
    """Weight of the center loss."""
    center_lr: float = 0.5
    """Learning rate of the centers."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    pad_crop: int = 10
    """Padding in pixels before the random crop."""
    jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    erasing: float = 0.5
    """Probability of random erasing."""
    max_grad_norm: float = 0.0
    """Clips gradients to this norm, after the backward pass; 0 does not clip."""
    eval_every: int = 0
    """Scores the test split every so many epochs as well; 0 only at the end."""
    workers: int = 2
    """Processes that decode images when these do not fit into the cache."""
    cache_megabytes: int = 2048
    """Decoded training images are kept in memory when all fit into this."""
    threads: int = 0
    """CPU threads a process; 0 shares the cores among the processes, where accelerate's launcher would take one."""
    seed: int = 0
    """Seed of weights, order and augmentation."""


def _model_options(config: TrainConfig) -> dict[str, str]:
    return {} if config.attention == "default" else {"attention": config.attention}


def _check(config: TrainConfig) -> None:
    if config.num_instances < 1 or config.batch_size < 1 or config.batch_size % config.num_instances:
        raise ValueError(
            f"batch_size: got {config.batch_size}, allowed: a multiple of num_instances ({config.num_instances})"
        )
    if config.epochs < 0:
        raise ValueError(f"epochs: got {config.epochs}, allowed: 0 or more")
    if config.threads < 0:
        raise ValueError(f"threads: got {config.threads}, allowed: 0 (all cores) or more")
    if config.eval_every < 0:
        raise ValueError(f"eval_every: got {config.eval_every}, allowed: 0 (only at the end) or more")


def _build_trainer(
    config: TrainConfig, accelerator: Accelerator, model: torch.nn.Module, data: ReIDDataset, size: Preprocessing
) -> Trainer:
    loss = CombinedLoss(
        {
            "cross_entropy": config.cross_entropy_weight,
            "triplet": config.triplet_weight,
            "center": config.center_weight,
        },
        num_classes=len(relabel(data.train)),
        feature_size=int(model.embedding_size),  # type: ignore[arg-type]
        options=LossOptions(margin=config.margin, smoothing=config.smoothing),
        generator=torch.Generator().manual_seed(config.seed),
    )
    options = TrainingOptions(
        SamplingOptions(config.batch_size, config.num_instances),
        LoadingOptions(config.workers, config.cache_megabytes),
        Augmentation(config.flip, config.pad_crop, config.jitter, config.erasing),
        OptimisationOptions(
            optimizer=config.optimizer,
            lr=config.lr,
            weight_decay=config.weight_decay,
            warmup_epochs=config.warmup_epochs,
            max_grad_norm=config.max_grad_norm,
            center_lr=config.center_lr,
        ),
    )
    return build_image_trainer(
        accelerator, model, loss, data.train, size, options, epochs=config.epochs, seed=config.seed
    )


def _score(
    model: torch.nn.Module, size: Preprocessing, data: ReIDDataset, device: torch.device
) -> dict[str, float | int]:
    embed = Embedder.from_model(model, size, device=device)
    query = embed_samples(embed, data.query, "query", quiet=True)
    gallery = embed_samples(embed, data.gallery, "gallery", quiet=True)
    return scores_of(rank(query, gallery, data.query, data.gallery, rerank=False)["Euclidean"].result)


def main(config: TrainConfig) -> None:
    """Trains, writing the checkpoint and the scores after the last epoch."""
    _check(config)
    accelerator = build_accelerator(classifier_unused=config.cross_entropy_weight == 0)
    set_threads(config.threads, accelerator)
    set_seed(config.seed)
    console = Console(quiet=not accelerator.is_main_process)
    data = read_market1501(config.root)
    console.print(f"{config.root}: train {describe(data.train)}; query {describe(data.query)}", soft_wrap=True)
    if data.skipped:
        console.print(f"note: {len(data.skipped)} images with other names are left out, e.g. {data.skipped[0]}")
    size = Preprocessing(config.height, config.width)
    model = build_model(config.backbone, len(relabel(data.train)), **_model_options(config))
    trainer = _build_trainer(config, accelerator, model, data, size)
    log = TrainingLog(config.out) if accelerator.is_main_process else None

    def on_epoch_end(row: dict[str, float]) -> None:
        epoch = int(row["epoch"])
        if log is None:
            return
        if config.eval_every and epoch % config.eval_every == 0 and epoch < config.epochs:
            row = row | {name: float(value) for name, value in scored().items()}
        log.write(row)
        terms = " ".join(f"{name} {row[name]:.4g}" for name in row if name != "epoch")
        console.print(f"epoch {epoch}/{config.epochs} {terms}", highlight=False, soft_wrap=True)

    def scored() -> dict[str, float | int]:
        with trainer.weights_to_keep() as weights:
            return _score(weights, size, data, accelerator.device)

    trainer.train(config.epochs, on_epoch_end)
    if log is None:
        return
    log.close()
    # Without accelerate's autocast wrapper: the scores in the card are those of the stored float32 weights.
    model = trainer.finish()
    launch = {"mixed_precision": accelerator.mixed_precision, "num_processes": accelerator.num_processes}
    card = _card(config, launch, model, size, data)
    path = config.out / "model.safetensors"
    # Stored before it is scored: an unreadable test image must not cost the training.
    save_checkpoint(path, model.state_dict(), card)
    scores = _score(model, size, data, accelerator.device)
    record = score_record(
        scores, protocol="inductive", dataset=config.root.name, split="query/bounding_box_test", seed=config.seed
    )
    scored_card = dataclasses.replace(card, scores=[record | {"distance": "Euclidean"}])
    save_checkpoint(path, model.state_dict(), scored_card)
    console.print(
        f"wrote {path}; Euclidean, inductive: Rank-1 {100 * scores['Rank-1']:.1f} mAP {100 * scores['mAP']:.1f} "
        f"mINP {100 * scores['mINP']:.1f}",
        highlight=False,
        soft_wrap=True,
    )


def _card(
    config: TrainConfig, launch: dict[str, str | int], model: torch.nn.Module, size: Preprocessing, data: ReIDDataset
) -> Card:
    values = {name: str(value) if isinstance(value, Path) else value for name, value in vars(config).items()}
    return Card(
        backbone=config.backbone,
        options=_model_options(config),
        num_classes=len(relabel(data.train)),
        embedding_size=int(model.embedding_size),  # type: ignore[arg-type]
        preprocessing=size,
        config=values | launch,
        commit=repository_commit(),
    )


if __name__ == "__main__":
    run_entry_point(main, TrainConfig)
