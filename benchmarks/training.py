"""One training loop beside the other: ours and torchreid 0.2.5's engine, images a second, in one run.

python benchmarks/training.py                                   256 x 128, batches of 32, a few minutes on two cores
python benchmarks/training.py --height 128 --width 64 --batch-size 64 --device cuda

Both read the same JPEG files (a world of this project in Market-1501's layout), draw P x K batches, flip, crop and
erase, and train with cross entropy, batch-hard triplet loss and Adam. Three things are measured in each process: the
input pipeline alone (files to augmented float batches), the training step alone (one batch again and again), and whole
epochs from the files. torchreid's own network objects also run in our loop: then nothing but the loop differs. The
processor time of the last epoch, of all processes together, tells the two apart on a busy machine as well, best with
--threads 1: more threads spin while they wait for each other.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.side_by_side import DEFAULT_FOLDER, peer_python, run_job

INSTANCES = 4  # images an identity in a batch
# Loop, network, precision. Networks of torchreid carry its name; a row is compared with the torchreid row above it.
ROWS = [
    ("torchreid", "torchreid:resnet18", "fp32"),
    ("ours", "torchreid:resnet18", "fp32"),
    ("ours", "torchreid:resnet18", "bf16"),
    ("ours", "cares18", "fp32"),
    ("ours", "cares18", "bf16"),
    ("torchreid", "torchreid:osnet_x1_0", "fp32"),
    ("ours", "torchreid:osnet_x1_0", "fp32"),
    ("ours", "torchreid:osnet_x1_0", "bf16"),
    ("ours", "osnet_x1_0", "fp32"),
]
MEASURES = {
    "pipeline": "input alone",
    "pipeline_later": "later epochs",
    "step": "step alone",
    "first_epoch": "end to end, first epoch",
    "later_epochs": "later epochs",
    "processor": "processor ms an image",
}


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="timed steps of one batch, after as many to warm up")
    parser.add_argument("--epochs", type=int, default=2, help="epochs from files; ours decodes in the first one only")
    parser.add_argument("--repeats", type=int, default=1, help="runs of everything, in turn; the median counts")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode, on both sides")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the training process")
    parser.add_argument("--pids", type=int, default=60, help="identities of the world, half of them for training")
    parser.add_argument("--rows", type=int, nargs="*", help="only these rows, counted from 0")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--build", type=Path, default=DEFAULT_FOLDER, help="where torchreid and the world are kept")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        loop, network, precision = arguments.job.split(",")
        print(json.dumps(measure(arguments, loop, network, precision)))
    else:
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Runs every row `repeats` times in turn and prints."""
    from reid.models import list_models
    from reid.records import hardware

    python, folder = peer_python(arguments.build), write_world(arguments)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    if arguments.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    rows = [ROWS[place] for place in arguments.rows] if arguments.rows else ROWS
    rows = [row for row in rows if row[1].startswith("torchreid:") or row[1] in list_models()]
    names = ("height", "width", "batch_size", "steps", "epochs", "workers", "threads", "device")
    options = [text for name in names for text in (f"--{name.replace('_', '-')}", str(getattr(arguments, name)))]
    runs: dict[tuple[str, str, str], list[dict[str, float]]] = {row: [] for row in rows}
    for _ in range(arguments.repeats):
        for row in rows:
            runs[row].append(run_job(python, __file__, ",".join(row), folder, *options))
            print(row, {name: round(value, 1) for name, value in runs[row][-1].items()}, file=sys.stderr, flush=True)
    print(
        f"batches of {arguments.batch_size} at {arguments.height} x {arguments.width}, {arguments.threads} threads, "
        f"{arguments.workers} workers, {arguments.device}; {hardware()}\n"
    )
    print_table({row: median(found) for row, found in runs.items()})


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Returns the median of each measure; of an even number the lower one."""
    return {name: sorted(run[name] for run in runs)[(len(runs) - 1) // 2] for name in runs[0]}


def print_table(found: dict[tuple[str, str, str], dict[str, float]]) -> None:
    """Prints markdown: images a second, and end to end as a multiple of torchreid's."""
    print(f"| network | loop | {' | '.join(MEASURES.values())} | times torchreid: first / later / processor |")
    print("|---|---|" + "---|" * (len(MEASURES) + 1))
    peer: dict[str, float] = {}
    for (loop, network, precision), values in found.items():
        peer = values if loop == "torchreid" else peer
        ratio = "-"
        if peer:
            faster = [values[name] / peer[name] for name in ("first_epoch", "later_epochs")]
            ratio = " / ".join(f"{value:.2f}" for value in [*faster, peer["processor"] / values["processor"]])
        cells = " | ".join(f"{values[name]:.1f}" for name in MEASURES)
        print(f"| {network}{'' if precision == 'fp32' else ' ' + precision} | {loop} | {cells} | {ratio} |")


def write_world(arguments: argparse.Namespace) -> Path:
    """Returns a folder of data sets as torchreid wants it, with a world in Market-1501's place."""
    folder = arguments.build.resolve() / f"training-world-{arguments.pids}"
    root = folder / "market1501" / "Market-1501-v15.09.15"
    if not root.exists():
        command = ["-m", "synthetic_world", "reid", "--pids", str(arguments.pids), "--cameras", "4", "--out", str(root)]
        repository = Path(__file__).resolve().parents[1]
        subprocess.run([sys.executable, *command], cwd=repository, check=True, stdout=sys.stderr)
    return folder


class Clock:
    """Wall-clock and processor seconds between laps, children that have ended included."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.lap()

    def lap(self) -> tuple[float, float]:
        """Returns both since the last lap, after the GPU has finished what it was given."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
        last = getattr(self, "now", (0.0, 0.0))
        self.now = (time.perf_counter(), sum(os.times()[:4]))
        return self.now[0] - last[0], self.now[1] - last[1]


# A side of the comparison: one function reads an epoch of files; the other trains for a number of epochs on the given
# batches, or on the files for None. Both tell the number of images to a function after each epoch.
Done = Callable[[int], None]
Side = tuple[Callable[[Done], None], Callable[[list[dict[str, Any]] | None, int, Done], None]]


def measure(arguments: argparse.Namespace, loop: str, network: str, precision: str) -> dict[str, float]:
    """Runs one row in this process."""
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    shape = (arguments.batch_size, 3, arguments.height, arguments.width)
    batch = {
        "images": torch.randn(shape, generator=torch.Generator().manual_seed(0)),
        "pids": torch.arange(arguments.batch_size) // INSTANCES,
        "camids": torch.zeros(arguments.batch_size, dtype=torch.int64),
    }
    read, train = (torchreid_side if loop == "torchreid" else our_side)(arguments, network, precision)

    def timed(function: Callable[[Done], None]) -> list[tuple[float, float]]:
        """Returns images a second and processor milliseconds an image of each epoch."""
        found = []
        clock = Clock(arguments.device)

        def done(images: int) -> None:
            wall, processor = clock.lap()
            found.append((images / wall, 1000 * processor / images))

        function(done)
        return found

    reading = [timed(read)[0] for _ in range(4)]
    steps = timed(lambda done: train([batch] * arguments.steps, 2, done))  # the first epoch warms up
    epochs = timed(lambda done: train(None, arguments.epochs, done))
    return {
        "pipeline": reading[0][0],
        "pipeline_later": sorted(reading[1:])[1][0],
        "step": steps[-1][0],
        "first_epoch": epochs[0][0],
        "later_epochs": epochs[-1][0],
        "processor": epochs[-1][1],
    }


def torchreid_side(arguments: argparse.Namespace, network: str, precision: str) -> Side:
    """Builds torchreid's data manager, network and engine."""
    from torchreid.reid.data import ImageDataManager
    from torchreid.reid.engine import ImageTripletEngine
    from torchreid.reid.optim import build_optimizer

    data = ImageDataManager(
        root=str(arguments.folder),
        sources="market1501",
        height=arguments.height,
        width=arguments.width,
        transforms=["random_flip", "random_crop", "random_erase"],
        batch_size_train=arguments.batch_size,
        workers=arguments.workers,
        num_instances=INSTANCES,
        train_sampler="RandomIdentitySampler",
        use_gpu=arguments.device == "cuda",
    )

    def read(done: Done) -> None:
        done(sum(len(batch["img"]) for batch in data.train_loader))

    def train(batches: list[dict[str, Any]] | None, epochs: int, done: Done) -> None:
        model = torchreid_network(network, data.num_train_pids).to(arguments.device)
        optimizer = build_optimizer(model, optim="adam", lr=0.0003)
        engine = ImageTripletEngine(data, model, optimizer, use_gpu=arguments.device == "cuda")
        engine.max_epoch = epochs
        if batches is not None:
            engine.train_loader = [{"img": batch["images"], "pid": batch["pids"]} for batch in batches]
        for _ in range(epochs):
            engine.train()
            done(len(engine.train_loader) * arguments.batch_size)

    return read, train


def torchreid_network(name: str, num_classes: int) -> Any:
    """Builds one of torchreid's networks, untrained."""
    from torchreid.reid.models import build_model

    return build_model(name.removeprefix("torchreid:"), num_classes, loss="triplet", pretrained=False)


def our_side(arguments: argparse.Namespace, network: str, precision: str) -> Side:
    """Builds our loader, augmentation, loss, optimiser and loop; the network may be one of torchreid's."""
    import torch

    from reid.data.base import relabel
    from reid.data.images import Preprocessing
    from reid.data.market1501 import read_market1501
    from reid.losses import CombinedLoss
    from reid.training import LoadingOptions, SamplingOptions, TrainingOptions, build_accelerator, build_image_trainer

    samples = read_market1501(arguments.folder / "market1501").train
    size, classes = Preprocessing(arguments.height, arguments.width), len(relabel(samples))
    options = TrainingOptions(SamplingOptions(arguments.batch_size, INSTANCES), LoadingOptions(arguments.workers))
    accelerator = build_accelerator(precision="no" if precision == "fp32" else "bf16")

    def trainer(network: str, epochs: int) -> Any:
        model = our_network(network, classes)
        weights = {"cross_entropy": 1.0, "triplet": 1.0}
        loss = CombinedLoss(weights, num_classes=classes, feature_size=model.embedding_size)
        return build_image_trainer(accelerator, model, loss, samples, size, options, epochs=epochs)

    input_only = trainer("cares18", 1)

    def read(done: Done) -> None:
        images = (batch["images"].to(arguments.device) for batch in input_only.loader)
        done(sum(len(input_only.transform(part)) for part in images))

    def train(batches: list[dict[str, Any]] | None, epochs: int, done: Done) -> None:
        torch.manual_seed(0)
        loop = trainer(network, epochs)
        if batches is not None:  # augmented already: their loader and transform have nothing to do
            loop.loader = torch.utils.data.DataLoader(batches, batch_size=1, collate_fn=lambda items: items[0])
            loop.sampler, loop.transform = SameOrder(), lambda images: images
        count = len(loop.loader) * arguments.batch_size
        loop.train(epochs, lambda row: done(count))

    return read, train


class SameOrder:
    """Stands for a sampler where every epoch is alike."""

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: there is one order."""


def our_network(name: str, num_classes: int) -> Any:
    """Builds one of our networks, or one of torchreid's with our output."""
    import torch

    from reid.models import build_model
    from reid.models.output import ReIDOutput

    if not name.startswith("torchreid:"):
        return build_model(name, num_classes)

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = torchreid_network(name, num_classes)
            self.embedding_size = self.network.feature_dim

        def forward(self, images: Any, camids: Any = None) -> ReIDOutput:
            logits, features = self.network(images)
            return ReIDOutput(features, features, logits)

    return Wrapped()


if __name__ == "__main__":
    main()
