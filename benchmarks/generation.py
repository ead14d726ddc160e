"""Generative models on the CPU or a GPU: images a second in training and in sampling.

python benchmarks/generation.py                                          64 x 32, a few minutes of one core
python benchmarks/generation.py --size 128x64 --channels 64 --batch-size 64 --device cuda

Training is the steps of modification_gan's own loop, with random pixels for images, at the default options of
modification_gan/synthetic_generate.py; its images are those that it reads, critic steps included, as the command
counts them. Sampling is noise to pixels, and, in another column, to JPEG files with their manifest. Medians; with one
thread on the CPU the processor's time counts, which waiting for other programs does not lengthen, otherwise the time of
the clock.
"""

import argparse
import dataclasses
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

MODELS = ("dcgan", "vae-gan", "vae-wgangp", "diffusion")
COLUMNS = ("model", "parameters of the generator", "ms a step", "training", "sampling", "with JPEGs")
Clock = Callable[[], float]


def parse_size(text: str) -> tuple[int, int]:
    """Returns height and width of HEIGHTxWIDTH.

    Raises:
        argparse.ArgumentTypeError: When it is none.
    """
    try:
        height, width = map(int, text.split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {text}, allowed: HEIGHTxWIDTH") from error
    return height, width


def make_clock(device: str, threads: int) -> Clock:
    """Returns the clock that counts, in seconds; on a GPU it waits until all is done."""
    if device == "cpu":
        return time.process_time if threads == 1 else time.perf_counter
    import torch

    def wait() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wait


def training_seconds(config: Any, device: str, folder: Path, clock: Clock) -> tuple[list[float], Any]:
    """Returns the seconds of each step but the first and the last, and the trained model."""
    import torch
    from accelerate import Accelerator

    from modification_gan.diversity import DiversityWatch
    from modification_gan.models import build_model
    from modification_gan.training import GenerativeTrainer, Listeners
    from modification_gan.training_images import TrainingBatches
    from reid.training_state import StateFolder

    network, batch_size, run = config.network, config.optimisation.batch_size, config.run
    shape = (2 * batch_size, 3, network.height, network.width)
    images = torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    model = build_model(network.model, network.architecture(0), config.objective.objective(), run.seed)
    ends: list[float] = []
    trainer = GenerativeTrainer(
        Accelerator(cpu=device == "cpu"),
        model,
        TrainingBatches(images, None, batch_size, run.seed),
        config.optimisation.schedule(network.model, run),
        None,
        StateFolder(folder / "states"),
        DiversityWatch(1.0, 0.0, 0, print),
        None,
        Listeners(lambda row: ends.append(clock()), lambda step, samples: None, lambda step: None),
        {},
    )
    trainer.train()
    # The last step of a training makes samples and stores a state.
    return [end - begin for begin, end in itertools.pairwise(ends[:-1])], model


def sampling_seconds(
    config: Any, model: Any, device: str, counts: tuple[int, int], folder: Path, clock: Clock
) -> tuple[list[float], list[float]]:
    """Returns the seconds of each round of sampling, to pixels and to files.

    Args:
        config: Of the generator.
        model: Its networks.
        device: "cpu" or "cuda".
        counts: Images of a round, and rounds.
        folder: Where files may be written.
        clock: In seconds.
    """
    import torch

    from modification_gan.randomness import image_seeds
    from modification_gan.sampling import sample_images, write_images
    from modification_gan.weights import SourceCard

    count, rounds = counts
    network, batch, where = config.network, config.run.sample_batch, torch.device(device)
    source = model.source.eval().to(where, memory_format=torch.channels_last)
    card = SourceCard(network.model, network.architecture(0), False, 0, "", "train", 0, "none", (), (), {}, "")

    def pixels() -> None:
        for _ in sample_images(source, model.noise_shape, image_seeds(0, count), [None] * count, batch, where):
            pass

    def files() -> None:
        write_images(folder, source, card, count, 0, batch, where)

    found: tuple[list[float], list[float]] = ([], [])
    pixels()  # the first images pay for what is set up once
    for _ in range(rounds):
        for work, seconds in zip((pixels, files), found, strict=True):
            begin = clock()
            work()
            seconds.append(clock() - begin)
    return found


def measure(name: str, arguments: argparse.Namespace) -> list[str]:
    """Returns a model's row of the table."""
    from modification_gan.options import GenerateConfig, ModelOptions, OptimisationOptions, RunOptions

    height, width = arguments.size
    steps = arguments.steps + 2  # the first one warms up, the last one stores
    run = RunOptions(log_every=1, grid_every=steps, state_every=steps, sample_batch=arguments.sample_batch)
    network = ModelOptions(name, height, width, ngf=arguments.channels)  # type: ignore[arg-type]
    if name != "diffusion":
        network = dataclasses.replace(network, ndf=arguments.channels)
    config = GenerateConfig(network=network, optimisation=OptimisationOptions(steps, arguments.batch_size), run=run)
    clock = make_clock(arguments.device, arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        seconds, model = training_seconds(config, arguments.device, Path(folder), clock)
        counts = (max(1, arguments.samples // 25) if name == "diffusion" else arguments.samples, arguments.rounds)
        made = sampling_seconds(config, model, arguments.device, counts, Path(folder), clock)
    step = statistics.median(seconds)
    read = arguments.batch_size * max(turn.repeats for turn in model.turns)
    size = sum(parameter.numel() for parameter in model.source.parameters()) / 1e6
    speeds = [read / step, *(counts[0] / statistics.median(rounds) for rounds in made)]
    return [name, f"{size:.2f} M", f"{1000 * step:.0f}", *(f"{speed:.{0 if speed >= 10 else 1}f}" for speed in speeds)]


def main() -> None:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--size", type=parse_size, default=(64, 32), help="HEIGHTxWIDTH of the images")
    parser.add_argument("--channels", type=int, default=32, help="ngf, and ndf of the GANs")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of training")
    parser.add_argument("--samples", type=int, default=512, help="images of a round; a 25th of them of diffusion")
    parser.add_argument("--sample-batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3, help="of sampling")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    import torch

    from reid.records import hardware, repository_commit

    torch.set_num_threads(arguments.threads)
    try:
        rows = [measure(name, arguments) for name in arguments.models]
    except (ValueError, ModuleNotFoundError) as error:
        parser.exit(2, f"{error}\n")
    height, width = arguments.size
    clock = "processor" if arguments.device == "cpu" and arguments.threads == 1 else "clock"
    print(
        f"Images a second of {clock} time, {height} x {width}, {arguments.channels} channels, batches of "
        f"{arguments.batch_size}, {arguments.threads} threads, {arguments.device}; {repository_commit()}, "
        f"{hardware()}\n"
    )
    for line in [list(COLUMNS), ["---"] * len(COLUMNS), *rows]:
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
