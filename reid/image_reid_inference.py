"""Scores a network on a test split: `python reid/image_reid_inference.py --ckpt FILE --root DIR`."""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any, Literal

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from reid.config import run_entry_point
from reid.data import read_dataset
from reid.data.base import ReIDDataset, describe
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.evaluation import EmbedFunction, Ranking, embed_samples, protocol_of, protocol_samples, rank, scores_of
from reid.files import write_json
from reid.histogram import ColourHistogram
from reid.pictures import draw_cmc, draw_ranked_lists
from reid.records import score_record

# Folders that say by their own name which data they hold, such as world-medium.
_NAMED_BY_FOLDER = ("world", "market1501")
_SPLITS = dict.fromkeys(("world", "market1501", "dukemtmc"), "query/bounding_box_test")
DatasetName = Literal["world", "market1501", "dukemtmc", "msmt17", "cuhk03", "veri776", "mot", "folder"]


@dataclasses.dataclass(frozen=True)
class InferenceConfig:
    """Scores a checkpoint, an ONNX file or a baseline on a dataset.

    Euclidean distances are inductive; Jaccard re-ranking uses the other test images and is marked transductive.
    """

    root: Path
    """Folder of the dataset."""
    dataset: DatasetName = "market1501"
    """How the folder is laid out."""
    ckpt: Path | None = None
    """A .safetensors checkpoint or an .onnx file."""
    baseline: Literal["none", "colour-histogram"] = "none"
    """Scores this instead of a checkpoint."""
    out: Path = Path("runs/inference")
    """Where result.json and the pictures go."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of a .safetensors checkpoint."""
    batch_size: int = 64
    """Images a forward pass."""
    height: int | None = None
    """Rows of the input, for an .onnx file that does not say; needs --width."""
    width: int | None = None
    """Columns of the input, for an .onnx file that does not say; needs --height."""
    rerank: bool = True
    """Adds Jaccard re-ranking."""
    k1: int = 20
    """Neighbours of the k-reciprocal sets."""
    k2: int = 6
    """Neighbours of the local query expansion."""
    lambda_value: float = 0.3
    """Share of the original distance in the re-ranked one."""
    pictures: bool = True
    """Draws the CMC curve and ranked lists."""
    top: int = 10
    """Gallery images a row of the ranked lists."""
    seed: int = 0
    """Chooses which queries are drawn."""


def _embed_function(config: InferenceConfig) -> EmbedFunction:
    if (config.ckpt is None) == (config.baseline == "none"):
        raise ValueError("give either --ckpt FILE or --baseline colour-histogram")
    if (config.height is None) != (config.width is None):
        raise ValueError("give --height and --width together")
    if config.ckpt is None:
        network = ("device", "precision", "batch_size", "height", "width")
        useless = [name for name in network if getattr(config, name) != getattr(InferenceConfig, name)]
        if useless:
            raise ValueError(f"{', '.join(useless)}: a baseline has no network that these would act on")
        return ColourHistogram()
    size = None
    if config.height is not None and config.width is not None:
        size = Preprocessing(config.height, config.width)
    return Embedder(
        config.ckpt,
        device=config.device,
        precision=config.precision,
        batch_size=config.batch_size,
        preprocessing=size,
    )


def _table(title: str, rankings: dict[str, Ranking], cameras_known: bool) -> Table:
    result = next(iter(rankings.values())).result
    where = "in another camera" if cameras_known else "in the gallery; cameras are unknown, so none is left out"
    caption = f"{result.num_valid} queries, {result.num_skipped} more skipped: no match {where}"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    ratios = ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")
    for column in ("distance", "protocol", *ratios):
        table.add_column(column, justify="right" if column in ratios else "left")
    for name, ranking in rankings.items():
        scores = scores_of(ranking.result)
        cells = [f"{100 * scores[key]:.1f}" if key in scores else "-" for key in ratios]
        table.add_row(name, ranking.protocol, *cells)
    return table


def _records(
    config: InferenceConfig, rankings: dict[str, Ranking], data: ReIDDataset, seconds: float, images: int
) -> list[dict[str, Any]]:
    return [
        score_record(
            scores_of(ranking.result),
            protocol=ranking.protocol,
            dataset=config.root.name if config.dataset in _NAMED_BY_FOLDER else f"{data.name} ({config.root.name})",
            split=_SPLITS.get(config.dataset, "query/gallery"),
            seed=config.seed,
            checkpoint=config.ckpt,
        )
        | protocol_of(data.cameras_known)
        | {
            "distance": name,
            "method": config.baseline if config.ckpt is None else str(config.ckpt),
            "images_per_second": images / seconds,
            "cmc": [float(value) for value in ranking.result.cmc],
        }
        for name, ranking in rankings.items()
    ]


def _draw(config: InferenceConfig, rankings: dict[str, Ranking], data: ReIDDataset) -> None:
    draw_cmc({name: ranking.result.cmc for name, ranking in rankings.items()}, config.out / "cmc.png")
    query, gallery = protocol_samples(data.query, data.gallery, data.cameras_known)
    for name, ranking in rankings.items():
        path = config.out / f"ranked_lists_{name.lower()}.jpg"
        draw_ranked_lists(ranking.distmat, query, gallery, path, top=config.top, seed=config.seed)


def main(config: InferenceConfig) -> None:
    """Embeds query and gallery, prints the table, writes result.json and the pictures."""
    console = Console()
    embed = _embed_function(config)
    data = read_dataset(config.dataset, config.root)
    console.print(
        f"{config.root}: query {describe(data.query)}; gallery {describe(data.gallery)}",
        highlight=False,
        soft_wrap=True,
    )
    if data.skipped:
        console.print(f"note: {len(data.skipped)} images with other names are left out, e.g. {data.skipped[0]}")
    for note in data.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    start = time.perf_counter()
    query = embed_samples(embed, data.query, "query")
    gallery = embed_samples(embed, data.gallery, "gallery")
    seconds = time.perf_counter() - start
    rankings = rank(
        query,
        gallery,
        data.query,
        data.gallery,
        rerank=config.rerank,
        k1=config.k1,
        k2=config.k2,
        lambda_value=config.lambda_value,
        cameras_known=data.cameras_known,
        protocol=embed.protocol if isinstance(embed, Embedder) else "inductive",
    )
    method = config.baseline if config.ckpt is None else config.ckpt.name
    console.print(_table(f"{method} on {config.root.name}", rankings, data.cameras_known))
    write_json(config.out / "result.json", _records(config, rankings, data, seconds, len(query) + len(gallery)))
    if config.pictures:
        _draw(config, rankings, data)
    console.print(f"wrote {config.out / 'result.json'}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_entry_point(main, InferenceConfig)
