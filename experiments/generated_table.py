"""The results of the study of generated images: scores with and without, and how good the images are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.ablation_table import RATIOS, cell, mean_and_spread, origin, paired_differences, verdict
from experiments.generated_plan import NONE, Plan
from experiments.real_images import Kind
from reid.records import require_one_protocol

BEGIN, END = "<!-- generated images: begin -->", "<!-- generated images: end -->"
# Name in the table, what quality.json calls it.
_QUALITY = (
    ("Frechet", ("generated", "frechet")),
    ("KID", ("generated", "kid")),
    ("precision", ("generated", "precision")),
    ("recall", ("generated", "recall")),
    ("coverage", ("generated", "coverage")),
    ("diversity", ("generated", "diversity")),
    ("identities covered", ("modes", "identities", "covered")),
    ("of its group", ("conditions", "agreement")),
    ("nearer than 1 % of test", ("leak", "closer_than_test", "hundredth")),
)
_REAL: dict[Kind, str] = {
    "people": "are images of the training people that the training set lost, with their right labels",
    "others": "are the training images of a world of other people",
}
# (model, arm) -> seed -> score record
Scores = dict[tuple[str, str], dict[int, dict[str, Any]]]


def read_scores(folder: Path, models: Sequence[str], arms: Sequence[str]) -> Scores:
    """Reads the trainings that are done; the one without generated images is (`NONE`, "") and comes first."""
    found: Scores = {}
    rows = [(NONE, ""), *((model, arm) for model in models for arm in arms)]
    for model, arm in rows:
        for path in sorted(folder.glob(f"seed-*/{model}-{arm}/result.json" if arm else f"seed-*/{NONE}/result.json")):
            (record,) = json.loads(path.read_text(encoding="utf-8"))
            found.setdefault((model, arm), {})[record["seed"]] = record
    return found


def score_table(scores: Scores) -> str:
    """Returns the table of scores, each beside its difference to the training without generated images.

    Raises:
        ValueError: When the rows differ in their protocol.
    """
    require_one_protocol([record for row in scores.values() for record in row.values()], "generated images")
    lines = ["| model | labels | seeds | Rank-1 | mAP | mINP | mAP, paired with none | |", "|---" * 8 + "|"]
    without = scores.get((NONE, ""), {})
    for (model, arm), row in scores.items():
        seeds = sorted(row)
        cells = [cell([row[seed]["scores"][name] for seed in seeds]) for name in RATIOS]
        differences = [] if model == NONE else paired_differences(row, without)
        cells += [cell(differences, "+"), verdict(differences)] if differences else ["", ""]
        lines.append(f"| {model} | {arm} | {', '.join(map(str, seeds))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def quality_table(folder: Path, models: Sequence[str]) -> str:
    """Returns the table of what `python -m modification_gan.quality` found, mean and deviation over the seeds.

    The last row is real test images, of other people, against the training images. An empty text without results.
    """
    lines = ["| images | seeds | " + " | ".join(name for name, _ in _QUALITY) + " |"]
    lines.append("|---" * (len(_QUALITY) + 2) + "|")
    yardstick: list[dict[str, Any]] = []
    for model in models:
        paths = sorted(folder.glob(f"seed-*/quality-{model}/quality.json"))
        records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        if not records:
            continue
        yardstick = max(yardstick, records, key=len)
        cells = [_quality_cell(records, keys) for _, keys in _QUALITY]
        seeds = ", ".join(str(record["seed"]) for record in records)
        lines.append(f"| {model} | {seeds} | {' | '.join(cells)} |")
    if not yardstick:
        return ""
    cells = [_quality_cell(yardstick, ("test", *keys[1:])) if keys[0] == "generated" else "" for _, keys in _QUALITY]
    lines.append(
        f"| real test images | {', '.join(str(record['seed']) for record in yardstick)} | {' | '.join(cells)} |"
    )
    return "\n".join(lines)


def _quality_cell(records: Sequence[dict[str, Any]], keys: Sequence[str]) -> str:
    values = []
    for record in records:
        value: Any = record["scores"]
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            values.append(value)
    if not values:
        return ""
    mean, spread = mean_and_spread(values)
    return f"{mean:.3f}" + ("" if spread is None else f" ± {spread:.3f}")


def study_section(plan: Plan, models: Sequence[str], arms: Sequence[str], faults: Sequence[str] = ()) -> str:
    """Returns both tables with all that belongs to them, as Markdown.

    Args:
        plan: Of the study.
        models: In their order.
        arms: Likewise.
        faults: What failed, a line each.

    Raises:
        ValueError: When there is no result, or protocols are mixed.
    """
    folder, scores = plan.out, read_scores(plan.out, models, arms)
    parts = [
        f"{plan.describe()} Each generator is trained on these training images alone. Euclidean distance, percent, "
        "mean ± standard deviation over the seeds; the last but one column is the difference to the training without "
        "generated images on the same world, seed by seed, and the last says whether its mean lies beyond twice its "
        "standard error (few seeds: a hint, no proof).",
        score_table(scores),
    ]
    if kinds := [f"`{name}` {_REAL[kind]}" for name, kind in plan.real.items() if name in {row[0] for row in scores}]:
        parts.append("No generator, but what images of perfect quality would do: " + "; ".join(kinds) + ".")
    if quality := quality_table(folder, models):
        parts.append(
            f"The images against the training images, by `python -m modification_gan.quality` in the embeddings of "
            f"`{plan.judge}`; shares in 0..1. The last row, as many real images of other people, is the yardstick. "
            "Frechet distance, precision, recall and coverage depend on the number of images, which is another one for "
            "real images that stand for generated ones."
        )
        parts.append(quality)
    if faults:
        parts.append("Failed:\n\n" + "\n".join(f"- {fault}" for fault in faults))
    lines = [
        f"- {model} {arm}".rstrip() + f": {origin([row[seed] for seed in sorted(row)])}"
        for (model, arm), row in scores.items()
    ]
    return "\n\n".join([*parts, "One of the commands of each row:\n\n" + "\n".join(lines)])


def replace_section(page: str, text: str) -> str:
    """Returns a page with the text between the markers, at its end where there are none.

    Raises:
        ValueError: When one marker stands without the other, or they are in the wrong order.
    """
    if (page.count(BEGIN), page.count(END)) not in ((0, 0), (1, 1)) or page.find(BEGIN) > page.find(END):
        raise ValueError(f"readme: got one of the markers {BEGIN} and {END}, allowed: both once, or none")
    new = f"{BEGIN}\n{text}\n{END}"
    if BEGIN in page:
        return page.split(BEGIN, 1)[0] + new + page.split(END, 1)[1]
    head = (
        "## Generated images in training\n\n`python experiments/generated_images.py --readme PAGE` writes this section."
    )
    return f"{page.rstrip()}\n\n{head}\n\n{new}\n"
