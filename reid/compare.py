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
from reid.data.base import ReIDDataset
from reid.dataset_options import parse_dataset_options
from reid.embedder import Embedder
from reid.evaluation import Ranking, check_cameras, embed_samples, protocol_of, rank, scores_of
from reid.files import write_json
from reid.records import score_record
from reid.score_tables import cell
from reid.training_data import TestSet, read_test_set
from reid.uncertainty import Comparison, compare_results, count_identities


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Scores two networks on one test split and says how sure the difference is.

    Intervals are of other people in the test split (bootstrap over identities, the same draws for both networks); what
    another seed of the training would do is not in them. Distances are Euclidean, inductive unless both networks have
    learnt from test images; re-ranking has a table of its own.

    Raises:
        ValueError: When a number is out of its range, or a dataset option is no NAME=VALUE.
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

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence: got {self.confidence}, allowed: above 0, below 1")
        for name, least in (("resamples", 1), ("batch_size", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {least} or more")
        self.reader_options()

    def reader_options(self) -> dict[str, Any]:
        """Returns what the dataset's reader is told."""
        return parse_dataset_options(self.dataset_options)


def _open(config: CompareConfig) -> list[Embedder]:
    """Opens both networks, and refuses what cannot be compared before anything is embedded."""
    networks = [
        Embedder(path, device=config.device, batch_size=config.batch_size) for path in (config.first, config.second)
    ]
    first, second = (embed.protocol for embed in networks)
    if first != second:
        raise ValueError(
            f"{config.first} is {first}, {config.second} {second}: a network that has learnt from test images is no "
            "rival of one that has not"
        )
    return networks


def _score(embed: Embedder, config: CompareConfig, data: ReIDDataset) -> dict[str, Ranking]:
    query = embed_samples(embed, data.query, f"{embed.name}: query")
    gallery = embed_samples(embed, data.gallery, f"{embed.name}: gallery")
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
    networks = _open(config)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    test = read_test_set(config.dataset, config.root, say, **config.reader_options())
    data = test.data
    for embed in networks:
        check_cameras(embed, data.cameras_known)
    rankings = [_score(embed, config, data) for embed in networks]
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
            say(_verdict(f"{metric}, {name}", comparison))
    if config.out is not None:
        write_json(config.out, _record(config, test, rankings, found))
        say(f"wrote {config.out}")


def _record(
    config: CompareConfig,
    test: TestSet,
    rankings: list[dict[str, Ranking]],
    found: dict[str, dict[str, Comparison]],
) -> dict[str, Any]:
    records = [
        score_record(
            scores_of(ranking.result),
            protocol=ranking.protocol,
            dataset=test.name,
            split=test.split,
            seed=config.seed,
            checkpoint=path,
        )
        | protocol_of(test.data.cameras_known)
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
