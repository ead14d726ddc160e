"""Trains an image re-identification network: `accelerate launch reid/image_reid_train.py`."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from rich.console import Console
from torch import nn

from reid.batch_fitting import fitting_batch_size, rehearse
from reid.calibration import calibrate, describe_calibration
from reid.checkpoint import Card, save_checkpoint
from reid.config import option_values, run_entry_point, unless_told
from reid.continual import choose_unlabelled
from reid.continual_training import continue_training
from reid.data.base import ReIDDataset, relabel
from reid.devices import check_precision
from reid.embedder import Embedder
from reid.engine import Trainer
from reid.epoch_reports import Store, epoch_reporter, keep_best
from reid.evaluation import embed_samples, protocol_of, rank, scores_of
from reid.losses import CombinedLoss
from reid.models import build_model
from reid.models.foreign_weights import load_foreign
from reid.models.split_batch_norm import join_statistics
from reid.records import repository_commit, score_record
from reid.run_folder import RunFolder
from reid.synthetic_images import GeneratedImages, read_generated
from reid.synthetic_training import GeneratedPart, build_generated, real_loss
from reid.train_options import TrainConfig
from reid.training import build_accelerator, build_image_trainer, set_threads
from reid.training_data import TestSet, TrainingData, read_test_set, read_training_data


@dataclasses.dataclass(frozen=True)
class Session:
    """What the steps of a run share.

    Attributes:
        config: The options.
        accelerator: Device and processes.
        say: Prints on the main process.
        data: What is trained on.
        tests: What is scored: the data's own tests, or the --cross-domain set.
        folder: Where the run goes.
        generated: Generated images beside the training data, None without --synthetic.
    """

    config: TrainConfig
    accelerator: Accelerator
    say: Callable[[str], None]
    data: TrainingData
    tests: tuple[TestSet, ...]
    folder: RunFolder
    generated: GeneratedImages | None

    def model_options(self) -> dict[str, Any]:
        """Returns the options of `build_model`."""
        return self.config.network.model_options(self.data.num_cameras, self.config.sampling.instances())


def _open(config: TrainConfig, accelerator: Accelerator) -> Session:
    console = Console(quiet=not accelerator.is_main_process, highlight=False, markup=False, soft_wrap=True)
    if config.run.accelerate:
        console.print("note: --accelerate changes nothing, accelerate is always on")
    names, folders = config.data.names(), config.data.folders()
    data = read_training_data(names, folders, config.data.options(), console.print)
    tests, continual = data.tests, config.continual
    unknown = [test.name for test in tests if not test.data.cameras_known]
    if config.network.camera_factor() > 0 and unknown:
        raise ValueError(f"sie: got True with {unknown[0]}, whose cameras are unknown; allowed: datasets with cameras")
    if continual.cross_domain is not None:
        target = read_test_set(continual.cross_dataset or names[0], continual.cross_domain, console.print)
        tests = (dataclasses.replace(target, name=f"{tests[0].name} -> {target.name}"),)
    if continual.continual:
        # A folder without images is an error now, not after hours of training.
        choose_unlabelled(_target(tests, config), continual)
    generated = None
    if config.synthetic.synthetic is not None:
        splits = [split for test in tests for split in (test.data.query, test.data.gallery)]
        generated = read_generated(config.synthetic.synthetic, data.train, splits, console.print)
        if config.synthetic.acts() and config.synthetic.labels() == "group":
            # Labels of other people are refused before the folder loses what an earlier run left there.
            generated.group_targets(relabel(data.train))
    size = config.network.preprocessing()
    folder = RunFolder(
        config.run,
        option_values(config),
        console.print,
        main=accelerator.is_main_process,
        unless_told=unless_told(TrainConfig) | {"height": size.height, "width": size.width},
    )
    return Session(config, accelerator, console.print, data, tests, folder, generated)


def _target(tests: tuple[TestSet, ...], config: TrainConfig) -> ReIDDataset:
    """Returns what is adapted to; a folder of one's own is compared with the images of all tests that are scored."""
    target = tests[0].data
    if config.continual.unlabelled is None:
        return target
    query = [sample for test in tests for sample in test.data.query]
    return dataclasses.replace(target, query=query, gallery=[s for test in tests for s in test.data.gallery])


def _embed(model: nn.Module, test: TestSet, session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Returns the embeddings of query and gallery."""
    embed = Embedder.from_model(model, session.config.network.preprocessing(), device=session.accelerator.device)
    query = embed_samples(embed, test.data.query, "query", quiet=True)
    return query, embed_samples(embed, test.data.gallery, "gallery", quiet=True)


def _score(features: tuple[np.ndarray, np.ndarray], test: TestSet) -> dict[str, float | int]:
    data = test.data
    rankings = rank(*features, data.query, data.gallery, rerank=False, cameras_known=data.cameras_known)
    return scores_of(rankings["Euclidean"].result)


def _calibrate(
    features: tuple[np.ndarray, np.ndarray], test: TestSet, session: Session, protocol: str
) -> dict[str, Any] | None:
    """Returns the distances of false match rates for the card, None where there are not two people."""
    try:
        record = calibrate(*features, test, protocol=protocol, seed=session.config.run.seed)
    except ValueError as error:
        session.say(f"note: no distances of false match rates: {error}")
        return None
    for line in describe_calibration(record):
        session.say(line)
    return record


def _reporter(
    session: Session, trainer: Callable[[], Trainer], first: int, epochs: int, protocol: str
) -> Callable[[dict[str, float]], None]:
    """Returns what stores an epoch's row, with scores where they are due; epochs count on from `first`."""
    test = session.tests[0]
    return epoch_reporter(
        session.folder,
        trainer,
        lambda model: _record(session, test, _score(_embed(model, test, session), test), protocol),
        _store(session, trainer),
        session.say,
        epochs=epochs,
        every=session.config.run.eval_every,
        first=first,
    )


def _generated(session: Session, loss: CombinedLoss, batch_size: int) -> GeneratedPart | None:
    """Returns the part of the generated images in the training, None where there are none or --synthetic-ratio is 0."""
    config = session.config
    if session.generated is None or not config.synthetic.acts():
        return None
    part = build_generated(
        session.generated,
        config.synthetic,
        loss,
        session.data.train,
        cross_entropy_weight=config.loss.cross_entropy_weight,
        temperature=1.0 if config.loss.temperature is None else config.loss.temperature,
        device=session.accelerator.device,
    )
    session.say(
        f"labels {config.synthetic.labels()}; {batch_size} real + {part.per_batch(batch_size)} generated a batch"
    )
    return part


def _train(session: Session, batch_size: int) -> Trainer:
    """Trains on the source images with P x K batches of this size."""
    config = session.config
    set_seed(config.run.seed)
    labels = session.data.labels()
    model = build_model(config.network.backbone, max(labels) + 1, **session.model_options())
    if (weights := config.network.start_weights()) is not None:
        session.say(str(load_foreign(model, weights)))
    size = int(model.embedding_size)  # type: ignore[arg-type]
    loss = config.loss.build(labels, size, config.run.seed)
    generated = _generated(session, loss, batch_size)
    taught = config.distillation.build(size, config.network.preprocessing(), session.accelerator, config.run.seed)
    sampling = dataclasses.replace(config.sampling, batch_size=batch_size)
    trainer = build_image_trainer(
        session.accelerator,
        model,
        loss if generated is None else generated.loss,
        session.data.train,
        config.network.preprocessing(),
        dataclasses.replace(config.training(), sampling=sampling),
        epochs=config.run.epochs,
        seed=config.run.seed,
        states=session.folder.states("source"),
        distillation=taught,
        generated=generated,
    )
    batches = len(trainer.loader)
    if config.run.state_steps >= batches and not config.continual.continual:
        raise ValueError(f"state_steps: got {config.run.state_steps}, allowed: below the {batches} batches of an epoch")
    images = config.network.preprocessing()
    more = 0 if generated is None else generated.per_batch(batch_size)
    rehearse(trainer, (batch_size + more, 3, images.height, images.width))
    report = _reporter(session, lambda: trainer, 0, config.run.epochs, "inductive")
    trainer.train(config.run.epochs, report, resume=config.run.resume)
    join_statistics(trainer.bare_model)
    return trainer


def _continue(session: Session, source: Trainer, batch_size: int) -> None:
    """Adapts the trained model to images without labels and stores and scores it once more."""
    config = session.config
    target = _target(session.tests, config)
    sampling = dataclasses.replace(config.sampling, batch_size=batch_size)
    protocol = choose_unlabelled(target, config.continual).protocol
    epochs, trainers = config.continual.epochs(), []  # type: tuple[int, list[Trainer]]
    trainer, adaptation = continue_training(
        source.bare_model,
        real_loss(source.loss),
        session.data.train,
        target,
        config.continual,
        dataclasses.replace(config.training(), sampling=sampling),
        preprocessing=config.network.preprocessing(),
        accelerator=session.accelerator,
        on_epoch_end=_reporter(session, lambda: trainers[0], config.run.epochs, epochs, protocol),
        on_start=trainers.append,
        seed=config.run.seed,
        states=session.folder.states("continual"),
        resume=config.run.resume,
        say=session.say,
    )
    facts = {"continual": adaptation.facts()}
    _store_and_score(session, trainer, session.folder.last, adaptation.protocol, facts)


def _store(session: Session, trainer: Callable[[], Trainer], calibration: dict[str, Any] | None = None) -> Store:
    """Returns what writes a network of a trainer, its score records and distances of false match rates."""
    accelerator = session.accelerator
    launch = {"mixed_precision": accelerator.mixed_precision, "num_processes": accelerator.num_processes}

    def store(model: nn.Module, path: Path, scores: list[dict[str, Any]]) -> None:
        card = Card(
            backbone=session.config.network.backbone,
            options=session.model_options(),
            num_classes=int(trainer().loss.num_classes),  # type: ignore[arg-type]
            embedding_size=int(model.embedding_size),  # type: ignore[arg-type]
            preprocessing=session.config.network.preprocessing(),
            config=option_values(session.config) | launch,
            commit=repository_commit(),
            scores=scores,
            calibration=calibration,
        )
        save_checkpoint(path, model.state_dict(), card)

    return store


def _record(session: Session, test: TestSet, scores: dict[str, Any], protocol: str) -> dict[str, Any]:
    record = score_record(scores, protocol=protocol, dataset=test.name, split=test.split, seed=session.config.run.seed)
    return record | protocol_of(test.data.cameras_known) | {"distance": "Euclidean"}


def _store_and_score(session: Session, trainer: Trainer, path: Path, protocol: str, facts: dict[str, Any]) -> None:
    """Ends a training: the main process stores the weights and scores them, the others wait."""
    run = session.config.run
    epoch = session.config.epochs() if facts else run.epochs  # facts of the adaptation
    # Without accelerate's autocast wrapper: the scores in the card are those of the stored float32 weights.
    model = trainer.finish()
    if session.accelerator.is_main_process:
        store = _store(session, lambda: trainer)
        # Stored before it is scored: an unreadable test image must not cost the training.
        store(model, path, [])
        records, calibration = [], None
        for test in session.tests:
            features = _embed(model, test, session)
            scores = _score(features, test)
            records.append(_record(session, test, scores, protocol) | facts)
            ratios = " ".join(f"{name} {100 * scores[name]:.1f}" for name in ("Rank-1", "mAP", "mINP"))
            session.say(f"wrote {path}; {test.name}, Euclidean, {protocol}: {ratios}")
            if test is session.tests[0]:
                calibration = _calibrate(features, test, session, protocol)
        _store(session, lambda: trainer, calibration)(model, path, records)
        if run.eval_every:
            keep_best(session.folder, model, records[0], epoch, store)
        session.folder.write_result(records)
    session.accelerator.wait_for_everyone()


def main(config: TrainConfig) -> None:
    """Trains, writing the checkpoint and the scores after the last epoch."""
    accelerator = build_accelerator(
        precision=config.run.precision,
        compiled=config.run.compile,
        classifier_unused=config.loss.cross_entropy_weight == 0,
    )
    check_precision(accelerator.mixed_precision, accelerator.device.type, config.network.preprocessing().width)
    set_threads(config.run.threads, accelerator)
    session = _open(config, accelerator)
    trainer, batch_size = fitting_batch_size(
        lambda size: _train(session, size), config.sampling, accelerator, session.say
    )
    goes_on = config.continual.continual
    _store_and_score(session, trainer, session.folder.source if goes_on else session.folder.last, "inductive", {})
    if goes_on:
        _continue(session, trainer, batch_size)
    session.folder.close()


if __name__ == "__main__":
    run_entry_point(main, TrainConfig)
