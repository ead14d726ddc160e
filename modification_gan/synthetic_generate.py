"""Trains a generative model, makes images with it: `python modification_gan/synthetic_generate.py`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator
from rich.console import Console

from modification_gan.diversity import CollapseError, DiversityWatch, fixed_groups, training_spread
from modification_gan.generative_model import GenerativeModel
from modification_gan.groups import Groups, build_groups
from modification_gan.image_folder import make_images
from modification_gan.models import build_model
from modification_gan.options import GenerateConfig
from modification_gan.pictures import draw_curves, write_grid
from modification_gan.run_files import RunFiles
from modification_gan.training import GenerativeTrainer, Listeners
from modification_gan.training_images import TrainingBatches, load_training_images, read_training_split
from modification_gan.weights import SourceCard, load_source, save_source
from reid.config import option_values, run_entry_point
from reid.data.base import Split
from reid.data.generated import training_fingerprint
from reid.devices import check_precision
from reid.records import repository_commit
from reid.weight_average import WeightAverage

Say = Callable[[str], None]


def _build_accelerator(config: GenerateConfig) -> Accelerator:
    precision = config.run.precision
    accelerator = Accelerator(mixed_precision=None if precision == "launcher" else precision)
    if accelerator.mixed_precision == "fp16":
        raise ValueError("precision: got fp16, whose scaled losses spoil gradient penalties, allowed: no, bf16")
    check_precision(accelerator.mixed_precision, accelerator.device.type, config.network.width)
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    return accelerator


def _card(
    config: GenerateConfig, samples: Split, groups: Groups, spread: float, fingerprint: str, step: int
) -> SourceCard:
    return SourceCard(
        model=config.network.model,
        sizes=config.network.architecture(groups.count),
        ema=config.optimisation.ema,
        step=step,
        data=config.data.folder().resolve().name,
        split="train",
        num_images=len(samples),
        condition=groups.kind,
        labels=groups.labels,
        shares=groups.shares,
        config=_public(option_values(config)),
        commit=repository_commit(),
        training_spread=spread,
        training_sha256=fingerprint,
    )


def _public(values: dict[str, Any]) -> dict[str, Any]:
    """Returns options without the folders of this machine."""
    folders = [name for name in ("root", "out", "ckpt") if values[name] is not None]
    return values | {name: Path(values[name]).name for name in folders}


def _listeners(
    config: GenerateConfig, files: RunFiles, model: GenerativeModel, card: Callable[[int], SourceCard], say: Say
) -> Listeners:
    def row(values: dict[str, float]) -> None:
        files.add_row(values)
        losses = " ".join(f"{n.removeprefix('loss/')} {v:.3f}" for n, v in values.items() if n.startswith("loss/"))
        seen = f" diversity {values['diversity']:.2f}" if "diversity" in values else ""
        step = f"step {values['step']:.0f}/{config.optimisation.steps}"
        say(f"{step} {losses}{seen} {values['images_per_second']:.0f} images/s")

    def good(step: int) -> None:
        save_source(files.weights, model.source, card(step))
        files.weights_written()
        draw_curves(files.rows, files.out / "curves.png")

    return Listeners(row, lambda step, images: write_grid(images, files.grid(step)), good)


def _train(config: GenerateConfig, accelerator: Accelerator, files: RunFiles, say: Say) -> None:
    data, network, run = config.data, config.network, config.run
    samples = read_training_split(data.name(), data.folder(), data.options(), say)
    condition = config.condition
    groups = build_groups(samples, condition.kind(), condition.groups or 0, condition.ckpt, run.seed)
    images = load_training_images(samples, network.height, network.width)
    of_image = None if groups.of_image is None else torch.from_numpy(groups.of_image)
    model = build_model(network.model, network.architecture(groups.count), config.objective.objective(), run.seed)
    decay = config.optimisation.decay()
    model.to(accelerator.device)
    average = None if decay is None else WeightAverage(model.source, decay)
    reference, fingerprint = training_spread(images, groups.of_image), training_fingerprint(samples)
    trainer = GenerativeTrainer(
        accelerator,
        model,
        TrainingBatches(
            *(images, of_image, config.optimisation.batch_size, run.seed),
            *(accelerator.process_index, accelerator.num_processes),
        ),
        config.optimisation.schedule(network.model, run),
        average,
        files.states,
        DiversityWatch(reference, run.collapse_below, run.patience(config.optimisation.steps), say),
        fixed_groups(groups.of_image, model.previews),
        _listeners(
            config, files, model, lambda step: _card(config, samples, groups, reference, fingerprint, step), say
        ),
        {"images": len(images), "of_image": None if of_image is None else of_image.tolist()},
    )
    files.begin()  # nothing of an earlier run is touched while something may be wrong with the options
    trainer.train(resume=run.resume)
    if accelerator.is_main_process and not files.has_weights() and not trainer.watch.state["low"]:
        say(f"note: {files.weights} is missing: the newest state's are written")
        trainer.keep_weights()


def _sample(config: GenerateConfig, accelerator: Accelerator, files: RunFiles, say: Say) -> None:
    if not files.has_weights():
        raise CollapseError(
            f"{files.out}: the images of no step were found to differ: none are made; more --steps, lower learning "
            "rates or another --seed may help; --resume --collapse-below 0 takes them as they are"
        )
    card = make_images(files, files.weights, config.run, accelerator.device, say)
    if card.step < config.optimisation.steps:
        say(
            f"note: the images are of step {card.step} of {config.optimisation.steps}, the last one whose samples were "
            "found to differ"
        )


def _make_images_only(config: GenerateConfig, weights: Path, accelerator: Accelerator, say: Say) -> None:
    if accelerator.is_main_process:
        files = RunFiles(config.run.out, option_values(config), False, say)
        load_source(weights)  # what is wrong with the file is said before a folder is touched
        files.begin_sampling(weights)
        make_images(files, weights, config.run, accelerator.device, say)


def main(config: GenerateConfig) -> None:
    """Trains, then makes the images; or makes images with stored weights."""
    run, accelerator = config.run, _build_accelerator(config)
    say = Console(quiet=not accelerator.is_main_process, highlight=False, markup=False, soft_wrap=True).print
    hint = "interrupted"
    try:
        if run.sample_from is not None:
            hint = "interrupted while images were made: the same command makes them anew"
            _make_images_only(config, run.sample_from, accelerator, say)
            return
        values, data = option_values(config), config.data.folder()
        files = RunFiles(run.out, values, run.resume, say, main=accelerator.is_main_process, data=data)
        _train(config, accelerator, files, say)
        hint = "interrupted while images were made: the same command with --resume makes them"
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            _sample(config, accelerator, files, say)
        accelerator.wait_for_everyone()
    except KeyboardInterrupt as stopped:  # of a training it says where to go on
        print(str(stopped) or hint, file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    run_entry_point(main, GenerateConfig)
