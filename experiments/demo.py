"""The main job on the embedded world: world, training, evaluation, export, tracking, report. `make demo` runs it."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

from rich.console import Console  # noqa: E402

from experiments.precision import native_precision  # noqa: E402
from experiments.report import Results, print_table, write_report  # noqa: E402
from reid.config import run_entry_point  # noqa: E402
from reid.zoo_entries import resolve_source  # noqa: E402

# Trained on a world's people, none of whom walk through the sequences of any world.
ZOO_NETWORK = "zoo:reidlite_distilled_world"


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Runs every step as the command that a user would type, and collects what they wrote.

    The defaults take minutes on two cores, without a GPU and without a download.
    """

    out: Path = Path("runs/demo")
    """Folder of everything that is written."""
    level: Literal["easy", "medium", "hard"] = "medium"
    """Level of the pedestrian world."""
    pids: int = 400
    """Identities of the re-identification set."""
    train_fraction: float = 0.75
    """Share of them that is trained on; the rest is tested on."""
    cameras: int = 6
    """Cameras of the re-identification set."""
    images_per_camera: int = 2
    """Images an identity and camera."""
    epochs: int = 4
    """Passes over the training split."""
    batch_size: int = 64
    """Images a training batch."""
    height: int = 128
    """Rows of the network's input."""
    width: int = 64
    """Columns of the network's input."""
    sequences: int = 2
    """Tracking sequences."""
    frames: int = 150
    """Frames a sequence."""
    people: int = 20
    """People a sequence."""
    processes: int = 2
    """Processes that render the world."""
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    """Training precision; auto takes bf16 where the processor multiplies it natively, which halves the time."""
    seed: int = 0
    """Seed of the world and the training."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A command of the demo.

    Attributes:
        title: What it does.
        arguments: The command after the interpreter.
    """

    title: str
    arguments: list[str]


def _precision(config: DemoConfig) -> str:
    return native_precision() if config.mixed_precision == "auto" else config.mixed_precision


def reid_data(config: DemoConfig) -> Path:
    """Returns the folder of the re-identification set."""
    return config.out / f"world-{config.level}-reid"


def _mot_data(config: DemoConfig) -> Path:
    return config.out / f"world-{config.level}-mot"


def world_steps(config: DemoConfig) -> list[Step]:
    """Returns the two commands that render the world: people for re-identification, sequences for tracking."""
    common = ["--level", config.level, "--seed", str(config.seed), "--processes", str(config.processes), "--overwrite"]
    reid = ["--pids", config.pids, "--cameras", config.cameras, "--train-fraction", config.train_fraction]
    reid += ["--images-per-camera", config.images_per_camera, "--out", reid_data(config)]
    mot = ["--sequences", config.sequences, "--frames", config.frames, "--people", config.people]
    mot += ["--out", _mot_data(config)]
    return [
        Step("people for re-identification", ["-m", "synthetic_world", "reid", *map(str, reid), *common]),
        Step("sequences for tracking", ["-m", "synthetic_world", "mot", *map(str, mot), *common]),
    ]


def reid_steps(config: DemoConfig) -> list[Step]:
    """Returns the commands from the baselines to the export."""
    out, data = config.out, str(reid_data(config))

    def train(name: str, epochs: int) -> list[str]:
        options = {"root": data, "out": out / name, "backbone": "cares18", "bs": config.batch_size, "instance": 4}
        options |= {"epochs": epochs, "height": config.height, "width": config.width, "warmup-epochs": 0.5}
        # A short training wants a high rate, and no erasing, which pays only after many epochs.
        options |= {"lr": 1e-3, "erasing": 0, "jitter": 0.2, "pad-crop": 5, "seed": config.seed}
        launch = ["-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
        launch += ["--mixed_precision", _precision(config), "--dynamo_backend", "no"]
        return [*launch, "reid/image_reid_train.py", *(part for k, v in options.items() for part in (f"--{k}", str(v)))]

    def score(name: str, *source: str) -> list[str]:
        seed = ["--seed", str(config.seed)]
        return ["reid/image_reid_inference.py", "--root", data, "--out", str(out / name), *seed, *source]

    def checkpoint(name: str) -> str:
        return str(out / name / "model.safetensors")

    return [
        Step("baseline: colour histogram", score("score-histogram", "--baseline", "colour-histogram")),
        Step("baseline: untrained network", train("untrained", 0)),
        Step("its scores", score("score-untrained", "--ckpt", checkpoint("untrained"), "--no-pictures")),
        Step("training", train("train", config.epochs)),
        Step("scores of the trained network", score("score-trained", "--ckpt", checkpoint("train"))),
        Step("export", ["-m", "reid.export", "--ckpt", checkpoint("train"), "--out", str(out / "model.onnx")]),
    ]


def _tracking_steps(config: DemoConfig) -> list[Step]:
    benchmark = ["tracking/mot16_benchmark.py", "--gt", str(_mot_data(config) / "train"), "--tracking-method"]
    # The training left distances of false match rates on the card, from which the appearance limit is taken.
    model = ["--reid", str(config.out / "model.onnx")]
    steps = [
        Step("tracking with appearance", [*benchmark, "strongsort", *model, "--out", str(config.out / "track-reid")]),
        Step(
            "tracking without appearance",
            [*benchmark, "strongsort", "sort", "--no-appearance", "--out", str(config.out / "track-motion")],
        ),
    ]
    if _is_there(ZOO_NETWORK):
        zoo = ["strongsort", "reidsort", "reidsort++", "--reid", ZOO_NETWORK, "--out", str(config.out / "track-zoo")]
        steps.append(Step("tracking with a network of the zoo", [*benchmark, *zoo]))
    return steps


def _is_there(network: str) -> bool:
    try:
        resolve_source(network)
    except FileNotFoundError:
        return False
    return True


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def collect(config: DemoConfig, commands: dict[str, str], seconds: float) -> Results:
    """Reads what the steps wrote."""
    out = config.out
    scores = {
        name: _read(out / folder / "result.json")
        for name, folder in (
            ("colour histogram", "score-histogram"),
            ("cares18, untrained", "score-untrained"),
            ("cares18, trained", "score-trained"),
        )
    }
    with_reid, motion = _read(out / "track-reid" / "result.json"), _read(out / "track-motion" / "result.json")
    lines = (out / "train" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    tracking = {
        "StrongSORT with re-ID": with_reid["strongsort"],
        "StrongSORT without": motion["strongsort"],
        "SORT": motion["sort"],
    }
    if _is_there(ZOO_NETWORK):
        zoo = _read(out / "track-zoo" / "result.json")
        tracking["StrongSORT, zoo's net"] = zoo["strongsort"]
        tracking["ReidSort, zoo's net"] = zoo["reidsort"]
        tracking["ReidSort++, zoo's net"] = zoo["reidsort++"]
    epochs = [json.loads(line) for line in lines]
    return Results(out, _mot_data(config), scores, tracking, epochs, commands, seconds)


def main(config: DemoConfig) -> None:
    """Runs the steps, prints the table and writes report.html.

    Raises:
        ValueError: When a step fails; its own message stands above.
    """
    console = Console(highlight=False)
    out = config.out.resolve()
    # The steps run in the repository's root; paths below it stay short in what they print and record.
    config = dataclasses.replace(config, out=out.relative_to(ROOT) if out.is_relative_to(ROOT) else out)
    os.chdir(ROOT)
    steps = world_steps(config) + reid_steps(config) + _tracking_steps(config)
    start = time.perf_counter()
    commands = {}
    for number, step in enumerate(steps, 1):
        shown = shlex.join(["python", *step.arguments])
        console.print(f"\n[bold]{number}/{len(steps)} {step.title}[/bold]", soft_wrap=True)
        console.print(shown, style="dim", markup=False, soft_wrap=True)
        began = time.perf_counter()
        done = subprocess.run([sys.executable, *step.arguments])
        if done.returncode != 0:
            raise ValueError(f"step {number}, {step.title}: failed with status {done.returncode}; see above")
        commands[f"{step.title} ({time.perf_counter() - began:.0f} s)"] = shown
    results = collect(config, commands, time.perf_counter() - start)
    print_table(results, console)
    write_report(results, config.out / "report.html")
    console.print(f"\n{results.seconds:.0f} s in all; open {config.out / 'report.html'} in a browser", soft_wrap=True)


if __name__ == "__main__":
    run_entry_point(main, DemoConfig)
