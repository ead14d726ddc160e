"""Do generated images help a small training set? `python experiments/generated_images.py`."""

import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

from experiments.generated_plan import NONE, Plan, read_plan, told_options, words  # noqa: E402
from experiments.generated_table import replace_section, study_section  # noqa: E402
from experiments.precision import native_precision  # noqa: E402
from experiments.real_images import write_real_images  # noqa: E402
from experiments.runs import Run, is_done, run_command  # noqa: E402
from modification_gan.options import GenerateConfig  # noqa: E402
from modification_gan.quality import QualityConfig  # noqa: E402
from reid.config import parse_config, run_entry_point  # noqa: E402
from reid.data.generated import MANIFEST  # noqa: E402
from reid.files import write_json, write_text  # noqa: E402
from reid.train_options import TrainConfig  # noqa: E402

MARK = "generated_images.json"  # tells `make results` that the runs below have a table of their own

WORLD_SEEDS = 100  # added to the seed, so that no world shows people that the zoo's networks were trained on
OTHER_SEEDS = 200  # for people who are in no other world of the study


@dataclasses.dataclass(frozen=True)
class GeneratedImagesConfig:
    """Trains with and without generated images, and writes the table.

    For each seed: a world with few training images, a training without generated images, a generator of each model on
    the same images, the judgement of its images, and a training for each way of labelling them. What is finished is
    skipped, so that an interrupted study continues. A model that fails is named, and does not stop the others.
    """

    out: Path = Path("runs/generated-images")
    """Folder of the study."""
    plan: Path = ROOT / "experiments" / "generated_images.yaml"
    """What is run."""
    models: tuple[str, ...] = ("dcgan", "vae-gan", "vae-wgangp", "diffusion", "real-others", "real-people")
    """Models of the plan: dcgan, dcgan-identities (asked for a person instead of a group), vae-gan, vae-wgangp,
    diffusion; real-people and real-others are real images, which show what images of perfect quality would do."""
    arms: tuple[str, ...] = ("lsro", "pseudo", "group")
    """Ways of labelling, by the plan's names: lsro, pseudo, group. For a second look, as they were chosen after the
    first look at test scores: lsro-few, lsro-light, pseudo-light, pseudo-nearest, pseudo-own, group-few, lsro-apart,
    pseudo-apart, group-apart."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of world, generator and training."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """Of re-ID trainings; auto takes bf16 where the processor multiplies it natively."""
    world_options: tuple[str, ...] = ()
    """NAME=VALUE for the worlds, instead of the plan's."""
    reid_options: tuple[str, ...] = ()
    """NAME=VALUE for each re-ID training, instead of the plan's."""
    generate_options: tuple[str, ...] = ()
    """NAME=VALUE for each generator, instead of the plan's; an option that one of --models has no use for is an
    error."""
    readme: Path | None = None
    """A page whose section between the markers is written as well, experiments/README.md for example."""

    def __post_init__(self) -> None:
        if not self.models or not self.arms or not self.seeds:
            raise ValueError("models, arms, seeds: got none of one, allowed: one or more of each")


def planned(config: GeneratedImagesConfig, out: Path) -> Plan:
    """Returns the plan with the options of the command line.

    Raises:
        ValueError: When a model or an arm is not in it.
    """
    precision = native_precision() if config.precision == "auto" else config.precision
    plan = read_plan(config.plan, out, precision)
    for name, chosen, known in (
        ("models", config.models, [*plan.models, *plan.real]),
        ("arms", config.arms, plan.arms),
    ):
        for one in chosen:
            if one not in known:
                raise ValueError(f"{name}: got {one!r}, allowed: {', '.join(known)}")
    world = {key.replace("_", "-"): value for key, value in told_options(config.world_options, "world_options").items()}
    generate = told_options(config.generate_options, "generate_options")
    # What is said here wins over what the plan says of a single model, too.
    # An option that the plan gives to all generators stays one of all; each other one is each model's.
    common = {key: value for key, value in generate.items() if key in plan.generate}
    generators = {
        # What a model takes back has no meaning for it, whatever the value.
        name: told
        | {
            key: value
            for key, value in generate.items()
            if (told[key] is not None if key in told else key not in common)
        }
        for name, told in plan.models.items()
    }
    return dataclasses.replace(
        plan,
        world=plan.world | world,
        reid=plan.reid | told_options(config.reid_options, "reid_options"),
        generate=plan.generate | common,
        models=generators,
    )


def check_commands(config: GeneratedImagesConfig, plan: Plan) -> None:
    """Reads the options of all that would be run, so that a mistake is found before the first hour and not after it.

    Raises:
        FileNotFoundError: When a network of the zoo that the plan names is not on this machine.
        ValueError: When an option is unknown or has no use; the message begins with the run's name.
    """
    seed = config.seeds[0]  # those of the others differ in folders and seeds alone
    runs: list[tuple[Run, type[Any]]] = [(plan.training(seed, NONE, ""), TrainConfig)]
    for model in config.models:
        if model not in plan.real:
            runs.append((plan.generation(seed, model), GenerateConfig))
        runs.append((plan.quality(seed, model), QualityConfig))
        runs += [(plan.training(seed, model, arm), TrainConfig) for arm in plan.arms_of(model, config.arms)]
    for run, options in runs:
        first = next(place for place, word in enumerate(run.command) if word.startswith("--"))
        try:
            parse_config(options, run.command[first:])
        except ValueError as error:
            raise ValueError(f"{run.name}: {error}") from error
        except SystemExit as error:
            raise ValueError(f"{run.name}: its options are not understood; see above") from error


def write_world(plan: Plan, seed: int) -> None:
    """Writes the world of a seed and cuts its training set to few images.

    Raises:
        ValueError: When the world cannot be rendered.
    """
    world = plan.world_folder(seed)
    if world.is_dir():
        return
    rendered = world.with_name("rendered")
    _render(plan, WORLD_SEEDS + seed, rendered, f"seed {seed}: world")
    # Each step can be done again after an interruption; the world appears when all is done.
    kept: dict[tuple[str, str], int] = {}
    for path in sorted((rendered / "bounding_box_train").glob("*.jpg")):
        pid, camera = path.name.split("_")[0], path.name.split("_")[1].split("s")[0]
        kept[pid, camera] = kept.get((pid, camera), 0) + 1
        if kept[pid, camera] > plan.images_per_camera:
            path.unlink()
    # It names the images that are no longer there.
    (rendered / "annotations.json").unlink(missing_ok=True)
    rendered.rename(world)


def _render(plan: Plan, world_seed: int, folder: Path, what: str) -> None:
    if not folder.is_dir():
        told = words(plan.world | {"seed": world_seed, "out": folder})
        run_command(["-m", "synthetic_world", "reid", *told], what)


def write_images(plan: Plan, seed: int, model: str) -> None:
    """Trains a generator, which writes its images, or renders the real ones that stand for them.

    Raises:
        ValueError: When that fails.
    """
    folder = plan.generated(seed, model)
    if model not in plan.real:
        _finish(plan.generation(seed, model), "manifest.csv")
    elif not (folder / MANIFEST).is_file():
        kind = plan.real[model]
        rendered = folder.with_name(f"rendered-{kind}")
        _render(plan, (WORLD_SEEDS if kind == "people" else OTHER_SEEDS) + seed, rendered, f"seed {seed}: {model}")
        write_real_images(kind, rendered, plan.world_folder(seed), folder, model)
        shutil.rmtree(rendered)


def is_finished(run: Run, result: str) -> bool:
    """Returns whether a command that is no re-ID training is done.

    Raises:
        ValueError: When another command made its result.
    """
    path = run.folder / "command.json"
    if not (run.folder / result).is_file() or not path.is_file():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != run.command:
        raise ValueError(f"{path}: its result was made by another command; delete {run.folder} or give another --out")
    return True


def _finish(run: Run, result: str) -> bool:
    """Runs a command that is not done; returns whether there was something to do."""
    if is_finished(run, result):
        return False
    run_command(run.command, run.name)
    write_json(run.folder / "command.json", run.command)
    return True


def _train(run: Run) -> bool:
    if is_done(run):
        return False
    run_command(run.command, run.name)
    return True


def run_seed(config: GeneratedImagesConfig, plan: Plan, seed: int, report: Callable[[], None]) -> list[str]:
    """Runs what is missing of a seed, and returns what failed.

    Raises:
        ValueError: When the world or the training without generated images fails, or results are of other options.
    """
    write_world(plan, seed)
    if _train(plan.training(seed, NONE, "")):
        report()
    faults = []
    for model in config.models:
        try:
            write_images(plan, seed, model)
            _finish(plan.quality(seed, model), "quality.json")
        except ValueError as error:
            faults.append(str(error))
            continue
        for arm in plan.arms_of(model, config.arms):
            try:
                if _train(plan.training(seed, model, arm)):
                    report()
            except ValueError as error:
                faults.append(str(error))
    return faults


def write_report(config: GeneratedImagesConfig, plan: Plan, faults: list[str]) -> str:
    """Writes generated_images.md, and the page's section, from the results so far; returns the text."""
    text = study_section(plan, config.models, config.arms, faults)
    write_text(plan.out / "generated_images.md", text + "\n")
    if config.readme is not None:
        write_text(config.readme, replace_section(config.readme.read_text(encoding="utf-8"), text))
    return text


def main(config: GeneratedImagesConfig) -> None:
    """Runs what is missing, seed by seed.

    Raises:
        ValueError: When something failed; the table is written all the same.
    """
    out = config.out.resolve()
    readme, plan_file = config.readme and config.readme.resolve(), config.plan.resolve()
    config = dataclasses.replace(config, readme=readme, plan=plan_file)
    # Runs start in the repository's root; paths below it stay short in what they record.
    os.chdir(ROOT)
    out = out.relative_to(ROOT) if out.is_relative_to(ROOT) else out
    plan = planned(config, out)
    check_commands(config, plan)
    write_json(out / MARK, {"models": config.models, "arms": config.arms, "seeds": config.seeds})
    faults: list[str] = []

    def report() -> None:
        write_report(config, plan, faults)

    start = time.perf_counter()
    for number, seed in enumerate(config.seeds, 1):
        faults += run_seed(config, plan, seed, report)
        minutes = (time.perf_counter() - start) / 60
        left = minutes / number * (len(config.seeds) - number)
        print(f"{number}/{len(config.seeds)} seeds done after {minutes:.1f} minutes, about {left:.1f} left", flush=True)
    print("\n" + write_report(config, plan, faults))
    if faults:
        raise ValueError("; ".join(faults))


if __name__ == "__main__":
    run_entry_point(main, GeneratedImagesConfig)
