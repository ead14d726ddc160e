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
from reid.dataset_options import parse_dataset_options
from reid.embedder import Embedder
from reid.evaluation import Ranking, check_cameras, embed_samples, protocol_of, rank, scores_of
from reid.files import write_json
from reid.records import score_record
from reid.score_tables import cell
from reid.uncertainty import Comparison, compare_results, count_identities


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Scores two networks on one test split and says how sure the difference is.

    Intervals are of other people in the test split (bootstrap over identities, the same draws for both networks); what
    another seed of the training would do is not in them. Distances are Euclidean, inductive unless both networks have
    learnt from test images; re-ranking has a table of its own.
    """

    first: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="A")]
    """A .safetensors checkpoint or an .onnx file."""
    second: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="B")]
    """Another one; differences are B minus A."""
    root: Path
    """Folder of the dataset."""
    dataset: str = "market1501"
    """Layout of the folder, a name of `reid.data.list_datasets()`."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE, for the datasets that know them: boxes=labeled of cuhk03, and so on."""
    rerank: bool = False
    """Compares after Jaccard re-ranking as well. Transductive."""
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


def _score(path: Path, config: CompareConfig, data: ReIDDataset) -> dict[str, Ranking]:
    embed = Embedder(path, device=config.device, batch_size=config.batch_size)
    check_cameras(embed, data.cameras_known)
    query = embed_samples(embed, data.query, f"{path.name}: query")
    gallery = embed_samples(embed, data.gallery, f"{path.name}: gallery")
    return rank(
        query,
        gallery,
        data.query,
        data.gallery,
        rerank=config.rerank,
        cameras_known=data.cameras_known,
        protocol=embed.protocol,
    )


def _table(config: CompareConfig, name: str, ranking: Ranking, found: dict[str, Comparison], num_pids: int) -> Table:
    queries = f"{ranking.result.num_valid} queries of {num_pids} identities"
    table = Table(
        title=f"{config.root.name}: {queries}, {name}, {ranking.protocol}",
        caption=f"in brackets: {100 * config.confidence:g} % intervals over identities",
        title_justify="left",
        caption_justify="left",
    )
    for column in ("", f"A: {config.first.name}", f"B: {config.second.name}", "B - A", "p"):
        table.add_column(column, justify="right" if column else "left")
    for metric, comparison in found.items():
        sides = (comparison.first, comparison.second, comparison.difference)
        cells = [cell(side.value, side, sign) for side, sign in zip(sides, ("", "", "+"), strict=True)]
        table.add_row(metric, *cells, f"{comparison.p_value:.4f}")
    return table


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
    data = read_dataset(config.dataset, config.root, **parse_dataset_options(config.dataset_options))
    console.print(f"{config.root}: query {describe(data.query)}", highlight=False, soft_wrap=True)
    for note in data.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    rankings = [_score(path, config, data) for path in (config.first, config.second)]
    protocols = [ranking["Euclidean"].protocol for ranking in rankings]
    if protocols[0] != protocols[1]:
        raise ValueError(
            f"{config.first} is {protocols[0]}, {config.second} {protocols[1]}: a network that has learnt from test "
            "images is no rival of one that has not"
        )
    pids = [sample.pid for sample in data.query]
    found = {}
    for name, first in rankings[0].items():
        found[name] = compare_results(
            first.result,
            rankings[1][name].result,
            pids,
            confidence=config.confidence,
            resamples=config.resamples,
            seed=config.seed,
        )
        console.print(_table(config, name, first, found[name], count_identities(first.result, pids)))
        for metric, comparison in found[name].items():
            console.print(_verdict(f"{metric}, {name}", comparison), highlight=False, soft_wrap=True)
    if config.out is not None:
        write_json(config.out, _record(config, rankings, found, data.cameras_known))
        console.print(f"wrote {config.out}", highlight=False, soft_wrap=True)


def _record(
    config: CompareConfig,
    rankings: list[dict[str, Ranking]],
    found: dict[str, dict[str, Comparison]],
    cameras_known: bool,
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
        | {"distance": name, "method": str(path)}
        for path, group in zip((config.first, config.second), rankings, strict=True)
        for name, ranking in group.items()
    ]
    comparison = {
        name: {metric: dataclasses.asdict(value) for metric, value in group.items()} for name, group in found.items()
    }
    told = {"confidence": config.confidence, "resamples": config.resamples}
    return {"records": records, "comparison": comparison} | told


if __name__ == "__main__":
    run_entry_point(main, CompareConfig)
