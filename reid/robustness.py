"""Scores networks on damaged test images: `python -m reid.robustness --ckpt FILE --root DIR --out DIR`."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from reid.config import run_entry_point
from reid.corruptions import CORRUPTIONS, corrupt_all
from reid.data.base import Sample
from reid.data.crops import load_crops
from reid.dataset_options import parse_dataset_options
from reid.embedder import Embedder
from reid.evaluation import EmbedFunction, check_cameras, protocol_of, rank, scores_of
from reid.files import write_json, write_text
from reid.histogram import ColourHistogram
from reid.records import by_protocol, score_record
from reid.report.robustness_page import curves_of, robustness_page, rows_of
from reid.report.robustness_picture import draw_robustness
from reid.training_data import TestSet, read_test_set

_CHUNK = 256  # decoded images in memory at a time
Record = dict[str, Any]
Condition = tuple[str, float]


@dataclasses.dataclass(frozen=True)
class RobustnessConfig:
    """Scores networks on the same test set under occlusion, blur, darkness, low resolution and shifted cameras.

    Distances are Euclidean, without re-ranking. What an image gets depends on the seed and its name alone, so that all
    networks see the same damage, and stronger damage is more of the same.

    Raises:
        ValueError: When there is no network, or an option is out of its range or has nothing to act on.
    """

    root: Path
    """Folder of the dataset."""
    ckpt: tuple[Path, ...] = ()
    """.safetensors checkpoints or .onnx files; several come into one picture."""
    baseline: Literal["none", "colour-histogram"] = "none"
    """Scores this as well, or instead of a checkpoint."""
    dataset: str = "market1501"
    """Layout of the folder, a name of `reid.data.list_datasets()`."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE, for the datasets that know them."""
    what: Literal["query", "gallery", "both"] = "query"
    """Which images are damaged."""
    corruption: tuple[str, ...] = ()
    """Names of those to try; all unless told."""
    strengths: tuple[float, ...] = ()
    """Strengths in the place of the usual ones; with one --corruption."""
    out: Path = Path("runs/robustness")
    """Where result.json, robustness.png and report.html go."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch_size: int = 64
    """Images a forward pass."""
    seed: int = 0
    """Of the damage."""

    def __post_init__(self) -> None:
        if not self.ckpt and self.baseline == "none":
            raise ValueError("give --ckpt FILE, several files, or --baseline colour-histogram")
        unknown = [name for name in self.corruption if name not in CORRUPTIONS]
        if unknown or len(set(self.corruption)) < len(self.corruption):
            raise ValueError(
                f"corruption: got {', '.join(self.corruption)}, allowed: each of {', '.join(CORRUPTIONS)} once"
            )
        if self.strengths and len(self.corruption) != 1:
            raise ValueError(f"strengths: got {self.strengths}, allowed: with one --corruption")
        for name, strength in self.conditions():
            if not 0 < strength <= CORRUPTIONS[name].largest:
                largest, unit = CORRUPTIONS[name].largest, CORRUPTIONS[name].unit
                raise ValueError(f"strengths: got {strength}, allowed: above 0, up to {largest} ({unit})")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: got {self.batch_size}, allowed: 1 or more")
        parse_dataset_options(self.dataset_options)

    def conditions(self) -> list[Condition]:
        """Returns name and strength of each damage, the weakest first."""
        names = self.corruption or tuple(CORRUPTIONS)
        return [(name, value) for name in names for value in sorted(set(self.strengths or CORRUPTIONS[name].strengths))]


@dataclasses.dataclass(frozen=True)
class Network:
    """Something that embeds.

    Attributes:
        name: In tables and pictures.
        path: Its file, None for a baseline.
        embed: Maps images to features.
        protocol: "transductive" when it has learnt from test images.
    """

    name: str
    path: Path | None
    embed: EmbedFunction
    protocol: str


def _networks(config: RobustnessConfig) -> list[Network]:
    if len({path.resolve() for path in config.ckpt}) < len(config.ckpt):
        raise ValueError("ckpt: got a file twice, allowed: once")
    names = [path.name for path in config.ckpt]
    networks = []
    for path in config.ckpt:
        embed = Embedder(path, device=config.device, batch_size=config.batch_size)
        name = path.name if names.count(path.name) == 1 else str(path)
        networks.append(Network(name, path, embed, embed.protocol))
    if config.baseline != "none":
        networks.append(Network(config.baseline, None, ColourHistogram(), "inductive"))
    return networks


def embed_corrupted(
    embed: EmbedFunction,
    samples: list[Sample],
    condition: Condition | None,
    seed: int,
    done: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """Embeds damaged images.

    Args:
        embed: Maps uint8 RGB images to float32 (N, D).
        samples: Their files are read in order.
        condition: Name and strength of the damage; None leaves the images as they are.
        seed: Of the damage.
        done: Told how many images were embedded since the last time.

    Returns:
        float32 (len(samples), D).

    Raises:
        ValueError: When an image cannot be read, or the corruption or its strength is unknown.
    """
    rows = []
    for start in range(0, len(samples), _CHUNK):
        part = samples[start : start + _CHUNK]
        crops, camids = load_crops(part), [sample.camid for sample in part]
        if condition is not None:
            crops = corrupt_all(crops, *condition, seed=seed, paths=[sample.path for sample in part], camids=camids)
        told = getattr(embed, "needs_cameras", False)
        rows.append(embed(crops, camids=camids) if told else embed(crops))  # type: ignore[call-arg]
        done(len(part))
    return np.concatenate(rows)


def _score(
    config: RobustnessConfig, network: Network, test: TestSet, say: Callable[[str], None], done: Callable[[int], None]
) -> Iterator[Record]:
    """Yields the record of the undamaged images, then one a condition."""
    data = test.data
    sides = {"query": data.query, "gallery": data.gallery}
    clean = {side: embed_corrupted(network.embed, samples, None, config.seed, done) for side, samples in sides.items()}
    first: Record = {}
    for condition in (None, *config.conditions()):
        features = dict(clean)
        if condition is not None:
            say(f"{network.name}: {condition[0]} {condition[1]:g}")
            for side in sides if config.what == "both" else (config.what,):
                features[side] = embed_corrupted(network.embed, sides[side], condition, config.seed, done)
        ranking = rank(
            features["query"],
            features["gallery"],
            data.query,
            data.gallery,
            rerank=False,
            cameras_known=data.cameras_known,
            protocol=network.protocol,
        )["Euclidean"]
        if condition is None:
            first = score_record(
                scores_of(ranking.result),
                protocol=ranking.protocol,
                dataset=test.name,
                split=test.split,
                seed=config.seed,
                checkpoint=network.path,
            )
            first |= protocol_of(data.cameras_known)
            first |= {"distance": "Euclidean", "method": network.name, "corruption": None}
            yield first
            continue
        name, strength = condition
        yield first | {
            "scores": scores_of(ranking.result),
            "split": f"{test.split}, {config.what} images with {name} {strength:g}",
            "corruption": {"name": name, "strength": strength, "unit": CORRUPTIONS[name].unit, "images": config.what},
        }


def _print(console: Console, config: RobustnessConfig, records: list[Record]) -> None:
    for protocol, group in by_protocol(records).items():
        methods, rows = rows_of(group)
        title = f"{group[0]['dataset']}: {config.what} images damaged, Euclidean, {protocol}"
        printed = Table(title=title, title_justify="left")
        printed.add_column("images")
        for method in methods:
            printed.add_column(f"{method}\nRank-1", justify="right")
            printed.add_column("mAP", justify="right")
        for name, own in rows:
            scores = [f"{100 * record['scores'][metric]:.1f}" for record in own for metric in ("Rank-1", "mAP")]
            printed.add_row(name, *scores)
        console.print(printed)


def main(config: RobustnessConfig) -> None:
    """Scores every network under every condition; prints the tables, writes records, picture and page."""
    console = Console()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    networks = _networks(config)
    test = read_test_set(config.dataset, config.root, say, **parse_dataset_options(config.dataset_options))
    for network in networks:
        check_cameras(network.embed, test.data.cameras_known)
    counts = {"query": len(test.data.query), "gallery": len(test.data.gallery)}
    damaged = sum(counts.values()) if config.what == "both" else counts[config.what]
    total = len(networks) * (sum(counts.values()) + len(config.conditions()) * damaged)
    records: list[Record] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("images", total=total)

        def tell(text: str) -> None:
            progress.update(task, description=text)

        for network in networks:
            tell(f"{network.name}: undamaged")
            for record in _score(config, network, test, tell, lambda count: progress.advance(task, count)):
                records.append(record)
                # What is there stays when the run is interrupted.
                write_json(config.out / "result.json", records)
    _print(console, config, records)
    draw_robustness(curves_of(records), config.out / "robustness.png")
    write_text(config.out / "report.html", robustness_page(records, config.what, config.out / "robustness.png"))
    say(f"wrote {config.out / 'report.html'}")


if __name__ == "__main__":
    run_entry_point(main, RobustnessConfig)
