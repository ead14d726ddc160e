"""Stores the distances of false match rates in a model file: `python -m reid.calibrate FILE --root DIR`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import tyro
from rich.console import Console

from reid.calibration import calibrate, describe_calibration
from reid.config import run_entry_point
from reid.dataset_options import parse_dataset_options
from reid.embedder import Embedder
from reid.evaluation import check_cameras, embed_samples
from reid.false_match_rates import RATES
from reid.files import atomic_path, write_json
from reid.training_data import read_test_set
from reid.zoo_entries import ZOO


@dataclasses.dataclass(frozen=True)
class CalibrateConfig:
    """Finds the cosine distance below which so many pairs of different people lie, and stores it in the file's card.

    Trackers take their appearance limit from there. Pairs are those of query and gallery, of people that the network
    should not have been trained on; a rate at which fewer than 30 pairs would be accepted is not resolved. Intervals
    are of other people in the test set (bootstrap over identities).
    """

    ckpt: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """A .safetensors checkpoint or an .onnx file."""
    root: Path
    """Folder of the labelled set."""
    dataset: str = "market1501"
    """Layout of the folder, a name of `reid.data.list_datasets()`."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE, for the datasets that know them: boxes=labeled of cuhk03, and so on."""
    rates: tuple[float, ...] = RATES
    """False match rates."""
    store: bool = True
    """Writes the result into the card, in the place of an earlier one. The file's SHA-256 changes, its weights stay."""
    out: Path | None = None
    """Writes the result there as JSON as well."""
    confidence: float = 0.95
    """Share of resamples inside the intervals."""
    resamples: int = 1000
    """Draws of identities."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch_size: int = 64
    """Images a forward pass."""
    seed: int = 0
    """Of the draws."""


def store_calibration(path: Path, record: dict[str, Any]) -> bool:
    """Writes a calibration into the card of a model file, and into the card's copy beside it.

    Returns:
        False when the file has no card, as other libraries' .onnx files; nothing is written then.

    Raises:
        ValueError: When the file is damaged.
    """
    if path.suffix == ".safetensors":
        from reid.checkpoint import load_checkpoint, save_checkpoint

        state, card = load_checkpoint(path)
        save_checkpoint(path, state, dataclasses.replace(card, calibration=record))
        return True
    import onnx

    from reid.onnx_backend import CARD_KEY

    # Weights that are kept apart stay where they are.
    model = onnx.load(str(path), load_external_data=False)
    cards = [entry for entry in model.metadata_props if entry.key == CARD_KEY]
    if not cards:
        return False
    cards[0].value = json.dumps(json.loads(cards[0].value) | {"calibration": record})
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    copy = path.with_name(f"{path.name}.json")
    if copy.is_file():
        write_json(copy, json.loads(copy.read_text(encoding="utf-8")) | {"calibration": record})
    return True


def main(config: CalibrateConfig) -> None:
    """Embeds the test set, prints the distances and stores them."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if config.store and config.ckpt.resolve().is_relative_to(ZOO.parent):
        raise ValueError(f"store: {config.ckpt} is the zoo's, which names its SHA-256; copy it, or give --no-store")
    embed = Embedder(config.ckpt, device=config.device, batch_size=config.batch_size)
    options = parse_dataset_options(config.dataset_options)
    test = read_test_set(config.dataset, config.root, console.print, **options)
    check_cameras(embed, test.data.cameras_known)
    query = embed_samples(embed, test.data.query, "query")
    gallery = embed_samples(embed, test.data.gallery, "gallery")
    record = calibrate(
        query,
        gallery,
        test,
        protocol=embed.protocol,
        rates=config.rates,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
    )
    for line in describe_calibration(record):
        console.print(line)
    if config.out is not None:
        write_json(config.out, record)
        console.print(f"wrote {config.out}")
    if config.store:
        stored = store_calibration(config.ckpt, record)
        console.print(f"wrote the card of {config.ckpt}" if stored else f"{config.ckpt} has no card: nothing is stored")


if __name__ == "__main__":
    run_entry_point(main, CalibrateConfig)
