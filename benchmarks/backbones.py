"""Crops a second of networks on the CPU against OSNet x1.0, by onnxruntime and by torch, in one run.

python benchmarks/backbones.py                                       a few minutes on one core
python benchmarks/backbones.py --networks reidlite reidlite@256x128 --width-factors 1 1.25

Random weights, float32, images that are resized and normalised already; branches of training are merged, as export and
`Embedder` do it. Each network runs on the size that it is made for unless NAME@HEIGHTxWIDTH says other. The networks
take turns, so that what else the machine does meets all of them; a speed is the median over the rounds, and so is the
ratio to OSNet of the same round. With one thread the processor's time counts, which waiting for other programs does not
lengthen; with more it is the time of the clock.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

NETWORKS = ("osnet_x0_25", "cares18", "timm:mobilenetv4_conv_small", "reidlite@256x128", "reidlite")
BASE = "osnet_x1_0"
BATCHES = (1, 32)
ENGINES = ("onnxruntime", "torch")
Run = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Network:
    """A network on images of one size.

    Attributes:
        name: For `build_model`.
        height: Rows of the input, in pixels.
        width: Columns of the input, in pixels.
        options: Of `build_model`.
    """

    name: str
    height: int
    width: int
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str, options: tuple[tuple[str, Any], ...] = ()) -> "Network":
        """Reads NAME or NAME@HEIGHTxWIDTH.

        Raises:
            ValueError: When the size is no such pair.
        """
        from reid.models import input_size

        name, _, size = text.partition("@")
        try:
            height, width = map(int, size.split("x")) if size else input_size(name)
        except ValueError as error:
            raise ValueError(f"networks: got {text}, allowed: NAME or NAME@HEIGHTxWIDTH") from error
        return cls(name, height, width, options)

    def title(self) -> str:
        """Returns what the table calls it."""
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.options)])


def open_network(network: Network, folder: Path, threads: int) -> tuple[float, dict[tuple[str, int], Run]]:
    """Returns the parameters in millions, and what runs a batch by engine and batch size."""
    import numpy as np
    import torch

    from reid.checkpoint import Card, save_checkpoint
    from reid.data.images import Preprocessing
    from reid.export import export_onnx
    from reid.models import build_model
    from reid.models.complexity import count_parameters
    from reid.models.reparameterise import reparameterise
    from reid.onnx_backend import open_session

    torch.manual_seed(0)
    options = dict(network.options)
    model: Any = build_model(network.name, **options).eval()
    size = Preprocessing(network.height, network.width)
    path = folder / "model.safetensors"
    save_checkpoint(path, model.state_dict(), Card(network.name, options, 0, int(model.embedding_size), size))
    export_onnx(path, folder / "model.onnx")
    session = open_session(folder / "model.onnx", "cpu", threads)
    merged: Any = reparameterise(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    runs: dict[tuple[str, int], Run] = {}
    for batch in BATCHES:
        images = np.random.default_rng(0).standard_normal((batch, 3, network.height, network.width), np.float32)
        tensor = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        runs["onnxruntime", batch] = lambda images=images: session.run(None, {"images": images})  # type: ignore[misc]
        runs["torch", batch] = lambda tensor=tensor: merged(tensor)  # type: ignore[misc]
    return count_parameters(merged) / 1e6, runs


def measure(runs: Sequence[Run], rounds: int, least: float, clock: Callable[[], float]) -> list[list[float]]:
    """Returns, for each of the runs, the seconds of one call in each round, in which all take turns.

    Args:
        runs: What is measured.
        rounds: How often.
        least: Seconds that a run is called again and again in a round.
        clock: In seconds.
    """
    repeats = []
    for run in runs:
        run()
        start = clock()
        run()
        repeats.append(max(1, round(least / max(1e-6, clock() - start))))
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, times, found in zip(runs, repeats, seconds, strict=True):
            start = clock()
            for _ in range(times):
                run()
            found.append((clock() - start) / times)
    return seconds


def table(networks: Sequence[Network], threads: int, rounds: int, least: float) -> str:
    """Measures and returns the table in Markdown; the first network is what the others are compared with."""
    import torch

    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        opened = []
        for number, network in enumerate(networks):
            (own := Path(folder) / str(number)).mkdir()
            opened.append(open_network(network, own, threads))
        cells: list[list[str]] = [
            [f"`{network.title()}`", f"{network.height} x {network.width}", f"{parameters:.2f} M"]
            for network, (parameters, _) in zip(networks, opened, strict=True)
        ]
        with torch.inference_mode():
            for engine in ENGINES:
                for batch in BATCHES:
                    seconds = measure([runs[engine, batch] for _, runs in opened], rounds, least, clock)
                    for row, found in zip(cells, seconds, strict=True):
                        ratio = statistics.median(base / own for base, own in zip(seconds[0], found, strict=True))
                        row.append(f"{batch / statistics.median(found):.0f} ({ratio:.1f} x)")
    columns = [
        "network",
        "input",
        "parameters",
        *(f"{engine}, batch {batch}" for engine in ENGINES for batch in BATCHES),
    ]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="NAME or NAME@HEIGHTxWIDTH, timm:NAME too")
    parser.add_argument("--base", default=BASE, help="what they are compared with")
    parser.add_argument("--width-factors", type=float, nargs="+", help="each reidlite in each of these widths")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--least", type=float, default=0.3, help="seconds of each network in a round")
    arguments = parser.parse_args()
    try:
        networks = [Network.parse(arguments.base)]
        for text in arguments.networks:
            factors = arguments.width_factors if text.startswith("reidlite") and arguments.width_factors else [None]
            networks += [Network.parse(text, (("width_factor", f),) if f is not None else ()) for f in factors]
        found = table(networks, arguments.threads, arguments.rounds, arguments.least)
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    clock = "processor" if arguments.threads == 1 else "clock"
    print(f"Crops a second of {clock} time, float32, {arguments.threads} threads, {arguments.rounds} rounds\n")
    print(found)


if __name__ == "__main__":
    main()
