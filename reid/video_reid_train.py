"""Trains a video re-identification network: `python reid/video_reid_train.py --crop_factor 1.0`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import tyro
import yaml
from accelerate import Accelerator
from accelerate.utils import set_seed
from rich.console import Console

from reid.checkpoint import Card, save_checkpoint
from reid.config import option_values, run_entry_point
from reid.data.base import relabel
from reid.data.crops import image_fault
from reid.data.images import Preprocessing
from reid.data.tracklet_images import check_crop_factor, drop_unreadable_frames
from reid.data.tracklet_loader import TrackletSampler, tracklet_loader
from reid.data.tracklet_transform import TrackletTransform
from reid.data.tracklets import VideoDataset, checked_tracklets, describe_tracklets, first_frames
from reid.data.transforms import Augmentation, TrainTransform
from reid.data.video_datasets import VIDEO_DATASETS
from reid.engine import Trainer
from reid.evaluation import scores_of
from reid.files import write_text
from reid.loss_config import LossConfig
from reid.models.video import build_video_model
from reid.optim import OptimisationOptions
from reid.pictures import draw_loss_curve
from reid.records import repository_commit, score_record
from reid.run_folder import check_same_options
from reid.training import LoadingOptions, SamplingOptions, build_accelerator, build_sampler, build_trainer, set_threads
from reid.training_log import TrainingLog
from reid.training_state import StateFolder
from reid.video_embedder import CARD_PREFIX, VideoEmbedder, score_tracklets


@dataclasses.dataclass(frozen=True)
class VideoTrainConfig:
    """Trains a network that compares tracklets. Without options it writes a small world and trains on that.

    Mixed precision and processes are accelerate's. `--config FILE.yaml` gives defaults, the command line wins.
    """

    dataset: Literal["world", "mot", "mars"] = "world"
    """A world that is written when it is missing, MOT sequences with ground truth, or MARS."""
    root: Path = Path("runs/video-world")
    """Folder of the dataset."""
    out: Path = Path("runs/video")
    """Where config.yaml, model.safetensors, its card, metrics.jsonl, curves.png and the TensorBoard log go."""
    temporal: Literal["average", "attention", "lstm", "resnet3d18", "resnet3d50"] = "average"
    """How frames become one vector: pooled over time, or by 3-D convolutions."""
    backbone: str = "default"
    """Network of the frames, a name of the image training; the default is cares18. 3-D networks have none."""
    frames: int = 4
    """Frames of a tracklet that are looked at, in training and at test."""
    crop_factor: float = 1.0
    """Scales each box around its centre before it is cut out; 1 is the box itself."""
    min_visibility: float | None = None
    """MOT: leaves boxes out of which less is visible (0.4)."""
    min_height: int | None = None
    """MOT: leaves lower boxes out, in pixels (32)."""
    min_width: int | None = None
    """MOT: leaves narrower boxes out, in pixels (12)."""
    min_length: int | None = None
    """MOT: leaves shorter tracklets out, in boxes (4)."""
    max_length: int | None = None
    """MOT: cuts longer tracks into several tracklets, in boxes (30)."""
    max_gap: int | None = None
    """MOT: cuts a track where somebody is not seen for more frames (10)."""
    test_fraction: float | None = None
    """MOT: share of the identities for testing (0.5)."""
    split_seed: int | None = None
    """MOT: chooses the identities for testing (0)."""
    loss: Annotated[LossConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=LossConfig)
    sampling: Annotated[SamplingOptions, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: SamplingOptions(batch_size=16)
    )
    loading: Annotated[LoadingOptions, tyro.conf.arg(name="")] = dataclasses.field(default_factory=LoadingOptions)
    augmentation: Annotated[Augmentation, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: Augmentation(pad_crop=5)
    )
    optimisation: Annotated[OptimisationOptions, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: OptimisationOptions(warmup_epochs=1.0)
    )
    epochs: int = 6
    """Passes over the training tracklets; 0 writes the untrained network."""
    height: int = 128
    """Rows of the frames, in pixels; the people of the small world are some 90 high. Real data want 256."""
    width: int = 64
    """Columns of the frames, in pixels."""
    threads: int = 0
    """CPU threads a process; 0 shares the cores among the processes."""
    seed: int = 0
    """Seed of weights, order, frames and augmentation."""
    resume: bool = False
    """Goes on from the newest state in the out folder, if there is one; give the same command otherwise."""


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


def _check(config: VideoTrainConfig) -> None:
    for name, least in {"epochs": 0, "threads": 0, "frames": 1}.items():
        if getattr(config, name) < least:
            raise ValueError(f"{name}: got {getattr(config, name)}, allowed: {least} or more")
    config.loss.check_sampler(config.sampling.sampler)
    check_crop_factor(config.crop_factor, cropped=config.dataset == "mars")


def read_data(config: VideoTrainConfig) -> VideoDataset:
    """Reads the dataset and leaves out frames that cannot be decoded.

    Raises:
        ValueError: On options that do not belong to the dataset, or as the readers do.
        FileNotFoundError: When the dataset is not there.
    """
    given = {name: getattr(config, name) for name in _MOT_OPTIONS if getattr(config, name) is not None}
    if given and config.dataset == "mars":
        raise ValueError(f"{', '.join(given)}: got a value with mars, allowed: with MOT sequences only")
    options = {_MOT_OPTIONS[name]: value for name, value in given.items()}
    data = VIDEO_DATASETS[config.dataset](config.root, **options)
    (train, query, gallery), faults = drop_unreadable_frames([data.train, data.query, data.gallery], image_fault)
    return checked_tracklets(
        dataclasses.replace(data, train=train, query=query, gallery=gallery, skipped=(*data.skipped, *faults))
    )


def _build_trainer(
    config: VideoTrainConfig, accelerator: Accelerator, model: torch.nn.Module, data: VideoDataset, size: Preprocessing
) -> Trainer:
    first = first_frames(data.train)
    labels = relabel(first)
    share = build_sampler(first, labels, config.sampling, config.seed, accelerator)
    # Inside the share, so that what the frames are drawn with does not depend on the number of processes.
    share.sampler = TrackletSampler(share.sampler, config.seed)  # type: ignore[assignment]
    loading = config.loading
    loader = tracklet_loader(
        data.train,
        labels,
        size,
        share,
        frames=config.frames,
        crop_factor=config.crop_factor,
        workers=loading.workers,
        cache_megabytes=loading.cache_megabytes,
    )
    generator = torch.Generator().manual_seed(config.seed + 1000 * accelerator.process_index)
    loss = config.loss.build(
        [labels[sample.pid] for sample in first],
        int(model.embedding_size),  # type: ignore[arg-type]
        config.seed,
    )
    states = StateFolder(config.out / "states")
    if not config.resume and accelerator.is_main_process:
        states.clear()
    return build_trainer(
        accelerator,
        model,
        loss,
        loader,
        share,
        TrackletTransform(TrainTransform(size, config.augmentation, generator), generator),
        config.optimisation,
        epochs=config.epochs,
        generator=generator,
        states=states,
    )


def _record(config: VideoTrainConfig, data: VideoDataset, embed: VideoEmbedder, method: str) -> dict[str, Any]:
    scores = scores_of(score_tracklets(embed, data))
    record = score_record(
        scores, protocol="inductive", dataset=config.root.name, split="query/gallery tracklets", seed=config.seed
    )
    return record | {"distance": "Euclidean", "method": method, "cameras_known": data.cameras_known}


def _report(data: VideoDataset, config: VideoTrainConfig, console: Console) -> None:
    for name in ("train", "query", "gallery"):
        counts = describe_tracklets(getattr(data, name))
        text = ", ".join(f"{count} {what}" for what, count in counts.items())
        console.print(f"{config.root} {name}: {text}", highlight=False, soft_wrap=True)
    for note in data.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if data.skipped:
        console.print(f"note: {len(data.skipped)} files are left out, e.g. {data.skipped[0]}", soft_wrap=True)


def _embedder(
    config: VideoTrainConfig, accelerator: Accelerator, model: torch.nn.Module, size: Preprocessing
) -> VideoEmbedder:
    return VideoEmbedder.from_model(model, size, config.frames, config.crop_factor, accelerator.device)


def main(config: VideoTrainConfig) -> None:
    """Trains, writing the checkpoint and the scores after the last epoch."""
    _check(config)
    values = option_values(config)
    accelerator = build_accelerator(classifier_unused=config.loss.cross_entropy_weight == 0)
    set_threads(config.threads, accelerator)
    set_seed(config.seed)
    console = Console(quiet=not accelerator.is_main_process)
    if config.resume:
        check_same_options(config.out, values, console.print)
    with accelerator.local_main_process_first():  # the first one writes the world
        data = read_data(config)
    _report(data, config, console)
    size = Preprocessing(config.height, config.width)
    model = build_video_model(
        config.temporal, config.backbone, len(relabel(first_frames(data.train))), height=size.height, width=size.width
    )
    records = []
    if accelerator.is_main_process:
        histogram = VideoEmbedder.from_histogram(config.frames, config.crop_factor)
        records.append(_record(config, data, histogram, "colour histogram, mean of the frames"))
        records.append(_record(config, data, _embedder(config, accelerator, model, size), "untrained network"))
    trainer = _build_trainer(config, accelerator, model, data, size)
    log = None
    if accelerator.is_main_process:
        log = TrainingLog(config.out, keep=config.resume)
        write_text(config.out / "config.yaml", yaml.safe_dump(values | {"resume": False}, sort_keys=False))

    def on_epoch_end(row: dict[str, float]) -> None:
        if log is not None:
            log.write(row)
            terms = " ".join(f"{name} {row[name]:.4g}" for name in row if name != "epoch")
            console.print(f"epoch {int(row['epoch'])}/{config.epochs} {terms}", highlight=False, soft_wrap=True)

    trainer.train(config.epochs, on_epoch_end, resume=config.resume)
    if log is None:
        return
    log.close()
    if log.rows:
        draw_loss_curve(log.rows, config.out / "curves.png")
    # Without accelerate's autocast wrapper: the scores in the card are those of the stored float32 weights.
    model = trainer.finish()
    launch = {"mixed_precision": accelerator.mixed_precision, "num_processes": accelerator.num_processes}
    card = _card(config, launch, model, size, len(relabel(first_frames(data.train))))
    path = config.out / "model.safetensors"
    # Stored before it is scored: an unreadable test image must not cost the training.
    save_checkpoint(path, model.state_dict(), card)
    trained = "trained network" if config.epochs else "untrained network, as stored"
    records.append(_record(config, data, _embedder(config, accelerator, model, size), trained))
    save_checkpoint(path, model.state_dict(), dataclasses.replace(card, scores=records[::-1]))
    for record in records:
        shown = " ".join(f"{name} {100 * record['scores'][name]:.1f}" for name in ("Rank-1", "mAP", "mINP"))
        console.print(f"{record['method']} (Euclidean, inductive): {shown}", highlight=False, soft_wrap=True)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _card(
    config: VideoTrainConfig, launch: dict[str, Any], model: torch.nn.Module, size: Preprocessing, num_classes: int
) -> Card:
    return Card(
        backbone=CARD_PREFIX + config.temporal,
        options={"backbone": config.backbone},
        num_classes=num_classes,
        embedding_size=int(model.embedding_size),  # type: ignore[arg-type]
        preprocessing=size,
        config=option_values(config) | launch,
        commit=repository_commit(),
    )


if __name__ == "__main__":
    run_entry_point(main, VideoTrainConfig)
