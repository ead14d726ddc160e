"""The zoo's command: `python -m reid.models.zoo list|show|verify|fetch`.

It is an entry point: of this package it alone may use checkpoints and the embedder.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from reid.checkpoint import Card, load_checkpoint
from reid.embedder import Embedder
from reid.records import file_sha256
from reid.zoo_entries import RATIOS, ZOO, ZooEntry, brief_scores, find_entry, read_zoo
from reid.zoo_fetch import fetch


def with_card(entry: ZooEntry, card: Card) -> ZooEntry:
    """Returns the entry with what the checkpoint says of itself."""
    return dataclasses.replace(
        entry,
        backbone=card.backbone,
        options=card.options,
        input=card.preprocessing,
        embedding_size=card.embedding_size,
        scores=tuple(brief_scores(card.scores)),
    )


def differences(entry: ZooEntry, card: Card) -> list[str]:
    """Returns in what the entry and the checkpoint's card disagree, a line each."""
    said, own = entry.to_dict(), with_card(entry, card).to_dict()
    return [f"{name}: zoo.yaml says {said[name]}, the card {own[name]}" for name in said if said[name] != own[name]]


def verify(entry: ZooEntry, folder: Path) -> list[str]:
    """Checks the file of an entry: checksum, card, and that the network embeds.

    Returns:
        What was found, a line each.

    Raises:
        FileNotFoundError: When the file is not there.
        ValueError: When checksum, card, weights or embeddings are wrong.
    """
    path = folder / entry.file
    state, card = load_checkpoint(path)
    # What was made of another library's file tells the checksum of that file on its card.
    found = card.config.get("source_sha256") if entry.foreign else file_sha256(path)
    lines = [f"sha256 {found}" + ("" if entry.sha256 else ": no checksum on record")]
    if entry.sha256 is not None and found != entry.sha256:
        raise ValueError(f"{path}: sha256: got {found}, allowed: {entry.sha256}; the file was changed or damaged")
    if wrong := differences(entry, card):
        raise ValueError(f"{path}: " + "; ".join(wrong))
    crop = np.random.default_rng(0).integers(0, 256, (entry.input.height, entry.input.width, 3), np.uint8)
    embedding = Embedder(path, device="cpu")([crop])
    if embedding.shape != (1, entry.embedding_size):
        raise ValueError(f"{path}: embeds to {embedding.shape[1]} numbers, allowed: {entry.embedding_size}")
    numbers = sum(tensor.numel() for tensor in state.values())
    lines.append(f"{numbers / 1e6:.2f} M numbers; embeds a crop to {entry.embedding_size}")
    return lines


def _list(options: argparse.Namespace) -> int:
    for entry in read_zoo(options.zoo).values():
        here = "here" if (options.zoo.parent / entry.file).is_file() else "to fetch" if entry.url else "missing"
        size = f"{entry.input.height} x {entry.input.width}"
        print(f"{entry.name} ({here}): {entry.backbone}, {size}, {entry.embedding_size} numbers, {entry.licence}")
        print(f"    {entry.training_data}; {entry.training}")
        for row in entry.scores:
            scores = ", ".join(f"{name} {100 * row[name]:.1f}" for name in RATIOS)
            print(f"    {row['dataset']}, {row['distance']}, {row['protocol']}: {scores}")
    return 0


def _show(options: argparse.Namespace) -> int:
    for name in options.names:
        entry = find_entry(name, options.zoo)
        path = options.zoo.parent / entry.file
        if path.is_file():
            entry = with_card(entry, load_checkpoint(path)[1])
        where = {"path": str(path), "here": path.is_file()}
        print(yaml.safe_dump({name: where | entry.to_dict()}, sort_keys=False, width=120, allow_unicode=True), end="")
    return 0


def _verify(options: argparse.Namespace) -> int:
    status = 0
    for name in options.names or sorted(read_zoo(options.zoo)):
        entry = find_entry(name, options.zoo)
        if not options.names and not (options.zoo.parent / entry.file).is_file() and entry.url is not None:
            print(f"{name}: not fetched")
            continue
        try:
            print(f"{name}: good; " + "; ".join(verify(entry, options.zoo.parent)))
        except (ValueError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
    return status


def _fetch(options: argparse.Namespace) -> int:
    for name in options.names:
        fetch(find_entry(name, options.zoo), options.zoo.parent)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 1 where verify found something, 2 for other errors."""
    parser = argparse.ArgumentParser(prog="python -m reid.models.zoo", description="Networks that are ready to embed.")
    parser.add_argument("--zoo", type=Path, default=ZOO, help="another zoo.yaml; files lie beside it")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every network, and whether its file is here").set_defaults(run=_list)
    for name, run, count, text in (
        ("show", _show, "+", "all that is known of a network; its own card wins"),
        ("verify", _verify, "*", "checksum, card and one embedding; of all that are here unless names are given"),
        ("fetch", _fetch, "+", "download, check, and make a checkpoint of it"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs=count, metavar="NAME")
        command.set_defaults(run=run)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
