"""Scores a network on a test split: `python reid/image_reid_inference.py --ckpt FILE --root DIR`."""

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from rich.console import Console

from reid.config import run_entry_point
from reid.cuhk03_protocol import check_single_shot
from reid.data.base import DISTRACTOR_PID, ReIDDataset
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.evaluation import (
    EmbedFunction,
    Ranking,
    check_cameras,
    embed_samples,
    protocol_of,
    protocol_samples,
    rank,
    scores_of,
)
from reid.files import write_json
from reid.histogram import ColourHistogram
from reid.inference_options import InferenceConfig, SourceOptions
from reid.nearest_lists import write_nearest
from reid.neighbour_search import check_search
from reid.pictures import draw_cmc, draw_ranked_lists
from reid.post_processing import TestFeatures, describe_steps, needs_training, post_process, strictest
from reid.records import score_record
from reid.report import ReportOptions, write_report
from reid.score_tables import Intervals, score_tables
from reid.training_data import TestSet, read_test_set
from reid.uncertainty import bootstrap_intervals, count_identities
from reid.views import AveragedViews

_BOOTSTRAP, _CONFIDENCE = 1000, 0.95


@dataclasses.dataclass(frozen=True)
class Session:
    """What the steps of a run share.

    Attributes:
        config: The options.
        console: Where they print.
        test: What is scored.
        embed: Maps images to features.
        protocol: Of the network: "transductive" when it has learnt from test images.
        say: Prints a line.
    """

    config: InferenceConfig
    console: Console
    test: TestSet
    embed: EmbedFunction
    protocol: str
    say: Callable[[str], None]

    @property
    def data(self) -> ReIDDataset:
        """The test set's splits."""
        return self.test.data


def _open_source(options: SourceOptions) -> tuple[EmbedFunction, str]:
    """Returns the embedder and its protocol."""
    embed: EmbedFunction
    protocol = "inductive"
    if options.ckpt is None:
        embed = ColourHistogram()
    else:
        size = None
        if options.height is not None and options.width is not None:
            size = Preprocessing(options.height, options.width)
        embed = Embedder(
            options.ckpt,
            device=options.device,
            precision=options.precision,
            batch_size=options.batch_size,
            preprocessing=size,
        )
        protocol = embed.protocol
    if options.flip or options.multi_crop is not None:
        embed = AveragedViews(embed, flip=options.flip, multi_crop=options.multi_crop)
    return embed, protocol


def _open(config: InferenceConfig) -> Session:
    """Opens network and data, and refuses what cannot be done with them before anything is embedded."""
    console = Console()
    ranking = config.ranking()
    check_search(ranking.neighbours, ranking.device)
    embed, protocol = _open_source(config.source)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    test = read_test_set(config.data.dataset, config.data.root, say, **config.data.reader_options())
    check_cameras(embed, test.data.cameras_known)
    if config.steps.camera_bias and not test.data.cameras_known:
        raise ValueError(f"camera_bias: got True, but the cameras of {config.data.root} are unknown; leave it out")
    if config.score.single_shot is not None:
        check_single_shot([sample.pid for sample in test.data.gallery], DISTRACTOR_PID)
    if config.steps.pca is not None:
        size = embed_samples(embed, test.data.query[:1], "query", quiet=True).shape[1]
        fitted_on = test.data.gallery if config.steps.pca_on == "gallery" else test.data.train
        most = min(size, len(fitted_on) - 1)
        if config.steps.pca > most:
            raise ValueError(
                f"pca: got {config.steps.pca}, allowed: 1 to {most} for {len(fitted_on)} images to fit on and {size} "
                "dimensions"
            )
    return Session(config, console, test, embed, protocol, say)


def _embed(session: Session) -> tuple[TestFeatures, float]:
    """Returns the features of the test set, and of the training images where a step needs them, and images a second."""
    data, names = session.data, session.config.steps.names()
    training = None
    if needs_training(names):
        training = embed_samples(session.embed, data.train, "train")
    start = time.perf_counter()
    query = embed_samples(session.embed, data.query, "query")
    gallery = embed_samples(session.embed, data.gallery, "gallery")
    speed = (len(query) + len(gallery)) / (time.perf_counter() - start)
    zeros = sum(int(np.count_nonzero(~side.any(axis=1))) for side in (query, gallery))
    if zeros:
        session.say(f"note: {zeros} images have features of zeros; their distances say nothing")
    features = TestFeatures(query, gallery, training=training)
    if data.cameras_known:
        cameras = [np.array([sample.camid for sample in side]) for side in (data.query, data.gallery)]
        features = dataclasses.replace(features, query_camids=cameras[0], gallery_camids=cameras[1])
    return features, speed


def _steps(config: InferenceConfig) -> list[dict[str, Any]]:
    """Returns what the records say of everything that was done to the features, in its order."""
    steps: list[dict[str, Any]] = []
    if config.source.multi_crop is not None:
        steps.append({"step": "multi_crop", "protocol": "inductive", "share": config.source.multi_crop})
    if config.source.flip:
        steps.append({"step": "flip", "protocol": "inductive"})
    return steps + describe_steps(config.steps.names(), config.steps.numbers())


def _rank(session: Session, features: TestFeatures, protocol: str) -> dict[str, Ranking]:
    config, data = session.config, session.data
    options = config.ranking()
    count = (len(data.query), len(data.gallery))
    if options.blockwise(*count):
        size = 4e-9 * count[0] * count[1]
        session.say(f"distances: blockwise; all {count[0]} x {count[1]} at once would take {size:.2f} GB")
    if config.distance.rerank and (options.neighbours, options.device) != ("exact", "cpu"):
        session.say(f"re-ranking: {options.neighbours} neighbours on {options.device}")
    return rank(
        np.asarray(features.query),
        np.asarray(features.gallery),
        data.query,
        data.gallery,
        rerank=config.distance.rerank,
        **config.distance.numbers(),
        cameras_known=data.cameras_known,
        protocol=protocol,
        options=options,
        say=session.say,
    )


def _intervals(session: Session, rankings: dict[str, Ranking]) -> Intervals:
    score, pids = session.config.score, [sample.pid for sample in session.data.query]
    if score.bootstrap == 0:
        return {}
    if score.bootstrap is None and count_identities(next(iter(rankings.values())).result, pids) < 2:
        session.say("note: no intervals, because the valid queries are all of one identity")
        return {}
    return {
        name: bootstrap_intervals(
            ranking.result,
            pids,
            confidence=score.confidence or _CONFIDENCE,
            resamples=score.bootstrap or _BOOTSTRAP,
            seed=score.seed,
        )
        for name, ranking in rankings.items()
    }


def _print(session: Session, rankings: dict[str, Ranking], intervals: Intervals) -> None:
    config = session.config
    steps = _steps(config)
    if steps:
        session.say("steps: " + ", ".join(f"{step['step']} ({step['protocol']})" for step in steps))
    method = config.source.baseline if config.source.ckpt is None else config.source.ckpt.name
    title, confidence = f"{method} on {session.test.name}", config.score.confidence or _CONFIDENCE
    for table in score_tables(title, rankings, intervals, confidence, session.data.cameras_known):
        session.console.print(table)


def _records(
    session: Session, rankings: dict[str, Ranking], intervals: Intervals, images_per_second: float
) -> list[dict[str, Any]]:
    config, test = session.config, session.test
    blockwise = config.ranking().blockwise(len(test.data.query), len(test.data.gallery))
    records = []
    for name, ranking in rankings.items():
        record = score_record(
            scores_of(ranking.result),
            protocol=ranking.protocol,
            dataset=test.name,
            split=test.split,
            seed=config.score.seed,
            checkpoint=config.source.ckpt,
        )
        record |= protocol_of(test.data.cameras_known) | {
            "distance": name,
            "method": config.source.baseline if config.source.ckpt is None else str(config.source.ckpt),
            "steps": _steps(config),
            "distances": "blockwise" if blockwise else "matrix",
            "images_per_second": images_per_second,
            "cmc": [float(value) for value in ranking.result.cmc],
        }
        if config.source.height is not None:
            record["input"] = [config.source.height, config.source.width]
        if name == "Jaccard":
            options = config.ranking()
            record |= {"neighbours": options.neighbours, "rerank_device": options.device}
        if name in intervals:
            bounds = {metric: [interval.low, interval.high] for metric, interval in intervals[name].items()}
            told = {"confidence": config.score.confidence or _CONFIDENCE, "draws": config.score.bootstrap or _BOOTSTRAP}
            record["intervals"] = told | bounds
        if ranking.single_shot is not None:
            cmc = [float(value) for value in ranking.single_shot]
            record["single_shot"] = {"draws": config.score.single_shot, "cmc": cmc}
        records.append(record)
    return records


def _write_files(session: Session, rankings: dict[str, Ranking]) -> None:
    """Writes the nearest gallery images and the pictures that were asked for."""
    output, data = session.config.output, session.data
    query, gallery = protocol_samples(data.query, data.gallery, data.cameras_known)
    if output.top_k is not None:
        for name, ranking in rankings.items():
            write_nearest(output.out / f"nearest_{name.lower()}.csv", ranking, query, gallery)
    if not output.pictures:
        return
    draw_cmc({name: ranking.result.cmc for name, ranking in rankings.items()}, output.out / "cmc.png")
    for name, ranking in rankings.items():
        path = output.out / f"ranked_lists_{name.lower()}.jpg"
        rows, seed = ranking.of_queries(query), session.config.score.seed
        draw_ranked_lists(ranking.distmat, rows, gallery, path, top=output.top or 10, seed=seed)


def _report(
    session: Session, rankings: dict[str, Ranking], features: TestFeatures, records: list[dict[str, Any]]
) -> None:
    """Writes the report that was asked for."""
    output, seed = session.config.output, session.config.score.seed
    if output.pictures and output.report:
        options = ReportOptions(fmr=output.fmr or ReportOptions.fmr, top=output.top or 10, seed=seed)
        path = write_report(output.out, rankings, session.data, features, records, options, say=session.say)
        session.say(f"wrote {path}")


def main(config: InferenceConfig) -> None:
    """Embeds query and gallery, prints the tables, writes result.json, the pictures and the report."""
    session = _open(config)
    embedded, images_per_second = _embed(session)
    features, protocol = post_process(config.steps.names(), embedded, config.steps.numbers())
    rankings = _rank(session, features, strictest([protocol, session.protocol]))
    intervals = _intervals(session, rankings)
    records = _records(session, rankings, intervals, images_per_second)
    _print(session, rankings, intervals)
    write_json(config.output.out / "result.json", records)
    _write_files(session, rankings)
    _report(session, rankings, features, records)
    session.say(f"wrote {config.output.out / 'result.json'}")


if __name__ == "__main__":
    run_entry_point(main, InferenceConfig)
