"""Compares two networks on the same test split: `python -m reid.compare A.safetensors B.safetensors --root DIR`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import tyro
from rich.console import Console
from rich.table import Table

from reid.config import run_entry_point
from reid.data import read_dataset
from reid.data.base import ReIDDataset, describe
from reid.embedder import Embedder
from reid.evaluation import Ranking, embed_samples, protocol_of, rank, scores_of
from reid.files import write_json
from reid.metrics import RankResult
from reid.records import score_record
from reid.uncertainty import Comparison, Interval, compare_results


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Scores two networks on one test split and says how sure the difference is.

    Intervals are of other people in the test split (bootstrap over identities, the same draws for both networks); what
    another seed of the training would do is not in them. Distances are Euclidean and inductive.
    """

    first: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="A")]
    """A .safetensors checkpoint or an .onnx file."""
    second: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="B")]
    """Another one; differences are B minus A."""
    root: Path
    """Folder of the dataset."""
    dataset: str = "market1501"
    """Layout of the folder, a name of `reid.data.list_datasets()`."""
    out: Path | None = None
    """Writes the comparison there as JSON as well."""
    confidence: float = 0.95
    """Share of resamples inside the intervals."""
    resamples: int = 2000
    """Draws of identities."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch_size: int = 64
    """Images a forward pass."""
    seed: int = 0
    """Of the draws."""


def _score(path: Path, config: CompareConfig, data: ReIDDataset) -> Ranking:
    embed = Embedder(path, device=config.device, batch_size=config.batch_size)
    query = embed_samples(embed, data.query, f"{path.name}: query")
    gallery = embed_samples(embed, data.gallery, f"{path.name}: gallery")
    known = data.cameras_known
    ranked = rank(query, gallery, data.query, data.gallery, rerank=False, cameras_known=known, protocol=embed.protocol)
    return ranked["Euclidean"]


def _table(config: CompareConfig, found: dict[str, Comparison], result: RankResult, num_pids: int) -> Table:
    table = Table(
        title=f"{config.root.name}: {result.num_valid} queries of {num_pids} identities, Euclidean, inductive",
        caption=f"in brackets: {100 * config.confidence:g} % intervals over identities",
        title_justify="left",
        caption_justify="left",
    )
    for column in ("", f"A: {config.first.name}", f"B: {config.second.name}", "B - A", "p"):
        table.add_column(column, justify="right" if column else "left")
    for name, comparison in found.items():
        cells = [_cell(comparison.first), _cell(comparison.second), _cell(comparison.difference, sign="+")]
        table.add_row(name, *cells, f"{comparison.p_value:.4f}")
    return table


def _cell(interval: Interval, sign: str = "") -> str:
    value, low, high = (f"{100 * number:{sign}.1f}" for number in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def _verdict(name: str, comparison: Comparison) -> str:
    low, high = comparison.difference.low, comparison.difference.high
    if low > 0 or high < 0:
        return f"{name}: {'B' if low > 0 else 'A'} is better, and would be with other people of this kind."
    return f"{name}: no difference that other people of this kind could not turn round."


def main(config: CompareConfig) -> None:
    """Embeds with both networks, prints the table and writes the comparison."""
    console = Console()
    for path in (config.first, config.second):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such model file; give the path of a .safetensors or .onnx file")
    data = read_dataset(config.dataset, config.root)
    console.print(f"{config.root}: query {describe(data.query)}", highlight=False, soft_wrap=True)
    rankings = [_score(path, config, data) for path in (config.first, config.second)]
    if rankings[0].protocol != rankings[1].protocol:
        raise ValueError(
            f"{config.first} is {rankings[0].protocol}, {config.second} {rankings[1].protocol}: a network that has "
            "learnt from test images is no rival of one that has not"
        )
    first, second = (ranking.result for ranking in rankings)
    pids = [sample.pid for sample in data.query]
    options = {"resamples": config.resamples, "seed": config.seed}
    found = compare_results(first, second, pids, confidence=config.confidence, **options)
    valid = {pid for pid, match in zip(pids, first.first_match, strict=True) if match > 0}
    console.print(_table(config, found, first, len(valid)))
    for name, comparison in found.items():
        console.print(_verdict(name, comparison), highlight=False, soft_wrap=True)
    if config.out is not None:
        write_json(config.out, _record(config, rankings, found, data.cameras_known))
        console.print(f"wrote {config.out}", highlight=False, soft_wrap=True)


def _record(
    config: CompareConfig, rankings: list[Ranking], found: dict[str, Comparison], cameras_known: bool
) -> dict[str, Any]:
    records = [
        score_record(
            scores_of(ranking.result),
            protocol=ranking.protocol,
            dataset=config.root.name,
            split="query/gallery",
            seed=config.seed,
            checkpoint=path,
        )
        | protocol_of(cameras_known)
        for path, ranking in zip((config.first, config.second), rankings, strict=True)
    ]
    comparison = {name: dataclasses.asdict(comparison) for name, comparison in found.items()}
    return {
        "records": records,
        "comparison": comparison,
        "confidence": config.confidence,
        "resamples": config.resamples,
    }


if __name__ == "__main__":
    run_entry_point(main, CompareConfig)
