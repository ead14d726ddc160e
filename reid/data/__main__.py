"""Command line: `python -m reid.data check DIR [--dataset NAME] [--strict]`."""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from reid.data import DATASETS, list_datasets
from reid.data.check import Report, check, detect

_SHOWN = 5


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reid.data", description="Re-identification datasets on disk.")
    command = parser.add_subparsers(dest="command", required=True).add_parser(
        "check", help="count, find corrupt files, and find what training and test share"
    )
    command.add_argument("root", metavar="DIR", help="the dataset's folder")
    command.add_argument("--dataset", choices=["auto", *list_datasets()], default="auto", help="how it is laid out")
    command.add_argument("--strict", action="store_true", help="exit with 1 when training and test share anything")
    command.add_argument("--threads", type=int, default=None, help="how many images are decoded at a time")
    return parser


def _table(title: str, report: Report) -> Table:
    table = Table(title=title, title_justify="left")
    columns = ("split", "images", "identities", "cameras", "distractors", "images an identity: min", "median", "max")
    for column in columns:
        table.add_column(column, justify="left" if column == "split" else "right")
    for name, counts in report.counts.items():
        low, median, high = counts.per_pid
        values = (counts.images, counts.pids, counts.cameras, counts.distractors, low, f"{median:g}", high)
        table.add_row(name, *map(str, values))
    return table


def _print_list(console: Console, what: str, items: list[str]) -> None:
    console.print(f"{what}: {len(items)}", highlight=False)
    for item in items[:_SHOWN]:
        console.print(f"  {item}", highlight=False, soft_wrap=True, markup=False)
    if len(items) > _SHOWN:
        console.print(f"  and {len(items) - _SHOWN} more", highlight=False)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code is 1 for a leak under --strict, 2 for an error."""
    options = _parser().parse_args(arguments)
    console = Console()
    start = time.perf_counter()
    try:
        if options.threads is not None and options.threads < 1:
            raise ValueError(f"threads: got {options.threads}, allowed: 1 or more")
        if not Path(options.root).exists():  # neither a question of its layout, nor one to answer with a new world
            raise FileNotFoundError(f"{options.root}: no such folder")
        name = detect(options.root) if options.dataset == "auto" else options.dataset
        data = DATASETS[name](options.root)
        report = check(data, options.threads)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console.print(_table(f"{options.root} ({data.name})", report))
    cameras = "known" if data.cameras_known else "unknown: only the query image itself is left out when scoring"
    console.print(f"cameras: {cameras}; junk images: {data.num_junk}", highlight=False, soft_wrap=True)
    for note in data.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)
    _print_list(console, "images left out for their names", list(data.skipped))
    _print_list(console, "corrupt images", list(report.corrupt))
    _print_list(console, "queries without a match", [sample.path for sample in report.lonely])
    _print_list(console, "identities in training and test", list(map(str, report.shared_pids)))
    pairs = [f"{train.path} = {test.path}" for train, test in report.duplicates]
    _print_list(console, "near-duplicate images in training and test", pairs)
    console.print(f"{'LEAK' if report.leaks else 'no leak'}; {time.perf_counter() - start:.1f} s", highlight=False)
    return 1 if options.strict and report.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
