"""Trains a video re-identification network: `python reid/video_reid_train.py --crop_factor 1.0`."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from accelerate import Accelerator
from accelerate.utils import set_seed
from rich.console import Console
from torch import nn

from reid.batch_fitting import fitting_batch_size
from reid.checkpoint import Card, save_checkpoint
from reid.config import option_values, run_entry_point, unless_told
from reid.data.crops import image_fault
from reid.data.tracklet_images import drop_unreadable_frames
from reid.data.tracklets import VideoDataset, checked_tracklets, describe_tracklets
from reid.data.video_datasets import VIDEO_DATASETS
from reid.devices import check_precision
from reid.engine import Trainer
from reid.epoch_reports import epoch_reporter, keep_best
from reid.evaluation import protocol_of, scores_of
from reid.models.foreign_weights import LoadReport, load_foreign
from reid.models.video import build_video_model
from reid.records import TRACKLETS, repository_commit, score_record
from reid.run_folder import RunFolder
from reid.training import build_accelerator, set_threads
from reid.video_embedder import CARD_PREFIX, VideoEmbedder, score_tracklets
from reid.video_options import TrackletOptions, VideoTrainConfig
from reid.video_training import build_video_trainer, tracklet_labels

_UNKNOWN = {"cameras": "unknown: nothing left out but the query tracklet itself"}


@dataclasses.dataclass(frozen=True)
class Session:
    """What the steps of a run share.

    Attributes:
        config: The options.
        accelerator: Device and processes.
        say: Prints on the main process.
        data: What is trained on and scored.
        folder: Where the run goes.
        told: What was said of the weights of a file; the network is built more than once, and that is said once.
    """

    config: VideoTrainConfig
    accelerator: Accelerator
    say: Callable[[str], None]
    data: VideoDataset
    folder: RunFolder
    told: list[LoadReport] = dataclasses.field(default_factory=list)

    def model(self) -> nn.Module:
        """Builds the network with the weights of the seed, or of the file that training starts with."""
        set_seed(self.config.run.seed)
        network = self.config.network
        classes = max(tracklet_labels(self.data.train)) + 1
        model = build_video_model(
            network.temporal,
            num_classes=classes,
            height=network.height,
            width=network.width,
            **network.model_options(),
        )
        if network.weights is not None:
            report = load_foreign(model, network.weights)
            if not self.told:
                self.say(str(report))
                self.told.append(report)
        return model

    def untrained(self) -> str:
        """Returns what the network before training is called."""
        weights = self.config.network.weights
        return "untrained network" if weights is None else f"network with the weights of {weights.name}, untrained"


def read_data(options: TrackletOptions, say: Callable[[str], None]) -> VideoDataset:
    """Reads the dataset, leaves out frames that cannot be decoded, and says what is in it.

    Raises:
        ValueError: As the readers do.
        FileNotFoundError: When the dataset is not there.
    """
    folder = options.folder()
    data = VIDEO_DATASETS[options.dataset](folder, **options.reader_options())
    (train, query, gallery), faults = drop_unreadable_frames([data.train, data.query, data.gallery], image_fault)
    data = checked_tracklets(
        dataclasses.replace(data, train=train, query=query, gallery=gallery, skipped=(*data.skipped, *faults))
    )
    for name in ("train", "query", "gallery"):
        counts = describe_tracklets(getattr(data, name))
        say(f"{folder} {name}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    for note in data.notes:
        say(f"note: {note}")
    if data.skipped:
        say(f"note: {len(data.skipped)} files are left out, e.g. {data.skipped[0]}")
    return data


def _open(config: VideoTrainConfig, accelerator: Accelerator) -> Session:
    console = Console(quiet=not accelerator.is_main_process, highlight=False, markup=False, soft_wrap=True)
    if config.run.accelerate is not None:
        console.print("note: --accelerate changes nothing, accelerate is always on")
    data = read_data(config.data, console.print)
    folder = RunFolder(
        config.run,
        option_values(config),
        console.print,
        main=accelerator.is_main_process,
        unless_told=unless_told(VideoTrainConfig),
    )
    return Session(config, accelerator, console.print, data, folder)


def _embedder(session: Session, model: nn.Module) -> VideoEmbedder:
    options = session.config.data
    size = session.config.network.preprocessing()
    return VideoEmbedder.from_model(model, size, options.frames, options.crop_factor, session.accelerator.device)


def _record(session: Session, embed: VideoEmbedder, method: str) -> dict[str, Any]:
    """Scores tracklet against tracklet."""
    options = session.config.data
    name = options.folder().name
    record = score_record(
        scores_of(score_tracklets(embed, session.data)),
        protocol="inductive",
        dataset=name if options.dataset == "world" else f"{options.dataset} ({name})",
        split="query/gallery tracklets",
        seed=session.config.run.seed,
    )
    facts = {"distance": "Euclidean", "items": TRACKLETS, "method": method}
    return record | facts | (protocol_of(True) if session.data.cameras_known else _UNKNOWN)


def _baselines(session: Session) -> list[dict[str, Any]]:
    """Scores what has learnt nothing: the network before training, and colours alone. The other processes wait."""
    if not session.accelerator.is_main_process:
        return []
    histogram = VideoEmbedder.from_histogram(session.config.data.frames, session.config.data.crop_factor)
    records = [
        _record(session, _embedder(session, session.model()), session.untrained()),
        _record(session, histogram, "colour histogram, mean of the frames"),
    ]
    return [record | {"baseline": True} for record in records]


def _train(session: Session, batch_size: int) -> Trainer:
    """Trains with P x K batches of this size."""
    config = session.config
    model = session.model()
    labels = tracklet_labels(session.data.train)
    loss = config.loss.build(labels, int(model.embedding_size), config.run.seed)  # type: ignore[arg-type]
    sampling = dataclasses.replace(config.sampling, batch_size=batch_size)
    trainer = build_video_trainer(
        session.accelerator,
        model,
        loss,
        session.data.train,
        config.network.preprocessing(),
        dataclasses.replace(config.training(), sampling=sampling),
        frames=config.data.frames,
        crop_factor=config.data.crop_factor,
        epochs=config.run.epochs,
        seed=config.run.seed,
        states=session.folder.states("source"),
    )

    report = epoch_reporter(
        session.folder,
        lambda: trainer,
        lambda kept: _record(session, _embedder(session, kept), "trained network"),
        functools.partial(_store, session),
        session.say,
        epochs=config.run.epochs,
        every=config.run.eval_every,
    )
    trainer.train(config.run.epochs, report, resume=config.run.resume)
    return trainer


def _store(session: Session, model: nn.Module, path: Path, scores: list[dict[str, Any]]) -> None:
    config, accelerator = session.config, session.accelerator
    launch = {"mixed_precision": accelerator.mixed_precision, "num_processes": accelerator.num_processes}
    card = Card(
        backbone=CARD_PREFIX + config.network.temporal,
        options=config.network.model_options(),
        num_classes=max(tracklet_labels(session.data.train)) + 1,
        embedding_size=int(model.embedding_size),  # type: ignore[arg-type]
        preprocessing=config.network.preprocessing(),
        config=option_values(config) | launch,
        commit=repository_commit(),
        scores=scores,
    )
    save_checkpoint(path, model.state_dict(), card)


def _store_and_score(session: Session, trainer: Trainer, baselines: list[dict[str, Any]]) -> None:
    """Ends the training: the main process stores the weights and scores them, the others wait."""
    run, folder = session.config.run, session.folder
    # Without accelerate's autocast wrapper: the scores in the card are those of the stored float32 weights.
    model = trainer.finish()
    if session.accelerator.is_main_process:
        # Stored before it is scored: an unreadable test image must not cost the training.
        _store(session, model, folder.last, [])
        trained = "trained network" if run.epochs else f"{session.untrained()}, as stored"
        records = [_record(session, _embedder(session, model), trained), *baselines]
        _store(session, model, folder.last, records)
        if run.eval_every:
            keep_best(folder, model, records[0], run.epochs, functools.partial(_store, session))
        folder.write_result(records)
        for record in reversed(records):
            ratios = " ".join(f"{name} {100 * record['scores'][name]:.1f}" for name in ("Rank-1", "mAP", "mINP"))
            session.say(f"{record['method']} (Euclidean, {record['protocol']}): {ratios}")
        session.say(f"wrote {folder.last}")
    session.accelerator.wait_for_everyone()


def main(config: VideoTrainConfig) -> None:
    """Trains, writing the checkpoint and the scores after the last epoch."""
    accelerator = build_accelerator(
        precision=config.run.precision,
        compiled=config.run.compile,
        classifier_unused=config.loss.cross_entropy_weight == 0,
    )
    check_precision(accelerator.mixed_precision, accelerator.device.type, config.network.width)
    set_threads(config.run.threads, accelerator)
    session = _open(config, accelerator)
    baselines = _baselines(session)
    trainer, _ = fitting_batch_size(lambda size: _train(session, size), config.sampling, accelerator, session.say)
    _store_and_score(session, trainer, baselines)
    session.folder.close()


if __name__ == "__main__":
    run_entry_point(main, VideoTrainConfig)
