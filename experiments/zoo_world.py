"""Trains the zoo on a world of people: `python experiments/zoo_world.py --budget cpu`."""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

from experiments.runs import is_done, run_command  # noqa: E402
from experiments.zoo_plan import WORLD, Budget, read_plan  # noqa: E402
from reid.config import run_entry_point  # noqa: E402


@dataclasses.dataclass(frozen=True)
class ZooWorldConfig:
    """Trains networks one after another, each by reid/image_reid_train.py with the options of the plan.

    A finished network is skipped, a started one goes on from its last epoch. The world is written once. A network
    that fails does not stop the others.
    """

    budget: Literal["cpu", "gpu"] = "cpu"
    """Section of the plan: cpu is small, gpu needs one."""
    only: tuple[str, ...] = ()
    """These networks instead of all of the plan, in this order."""
    out: Path = Path("runs/zoo")
    """Folder of worlds and trainings; each budget has one below it."""
    plan: Path = ROOT / "experiments" / "zoo_world.yaml"
    """What is trained, and how."""


def chosen_networks(config: ZooWorldConfig, budget: Budget) -> list[str]:
    """Returns the networks to train.

    Raises:
        ValueError: When one is not in the plan.
    """
    for name in config.only:
        if name not in budget.networks:
            raise ValueError(f"only: got {name!r}, allowed: {', '.join(budget.networks)}")
    return list(config.only or budget.networks)


def summary(budget: Budget) -> str:
    """Returns a line for each finished network: scores on the people of the training world who were held out."""
    lines = [f"{budget.name}: {budget.description}; a synthetic world, not a public benchmark"]
    for network in budget.networks:
        path = budget.folder / network / "result.json"
        if path.is_file():
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))[0]
            scores = " ".join(f"{name} {100 * record['scores'][name]:.1f}" for name in ("Rank-1", "mAP"))
            lines.append(f"{network}: {record['dataset']}, {record['distance']}, {record['protocol']}: {scores}")
    return "\n".join(lines)


def main(config: ZooWorldConfig) -> None:
    """Runs what is missing.

    Raises:
        ValueError: When a network failed; its own message stands above.
    """
    out, plan = config.out.resolve(), config.plan.resolve()
    # Runs start in the repository's root; paths below it stay short in what they record.
    os.chdir(ROOT)
    budget = read_plan(plan, config.budget, out.relative_to(ROOT) if out.is_relative_to(ROOT) else out)
    runs = [budget.run(network) for network in chosen_networks(config, budget)]
    left = [run for run in runs if not is_done(run)]
    print(f"{len(runs)} networks, {len(runs) - len(left)} of them done", flush=True)
    if left:
        budget.write_world(WORLD)
    start, failed = time.perf_counter(), []
    for number, run in enumerate(left, 1):
        try:
            run_command(run.command, f"{number}/{len(left)} {run.name}")
        except ValueError as error:
            failed.append(str(error))
        print(f"{number}/{len(left)} done after {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
    print("\n" + summary(budget))
    if failed:
        raise ValueError("; ".join(failed))


if __name__ == "__main__":
    run_entry_point(main, ZooWorldConfig)
