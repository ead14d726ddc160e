"""How good generated images are: `python -m modification_gan.quality --generated DIR --root DATA --ckpt X`."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from rich.console import Console

from modification_gan.distribution_distances import Rows, frechet_distance, kernel_distance_of_subsets
from modification_gan.embedding import embed_crops
from modification_gan.inception_distance import check_inception, inception_distance
from modification_gan.leak_check import LeakCheck, leak_check
from modification_gan.mode_coverage import cluster_modes, mean_pair_distance, mode_coverage
from modification_gan.precision_recall import precision_recall
from modification_gan.sample_sheet import choose_rows, draw_samples
from reid.config import option_values, run_entry_point
from reid.data import list_datasets, read_dataset
from reid.data.base import DISTRACTOR_PID, ReIDDataset, Sample, Split
from reid.data.crops import drop_unreadable, load_crops
from reid.data.generated import FINGERPRINT, GeneratedImage, read_card, read_manifest, training_fingerprint
from reid.data.near_duplicates import fingerprint, gather, near_duplicates
from reid.dataset_options import parse_dataset_options
from reid.embedder import Embedder
from reid.files import write_json
from reid.records import score_record

_DRAW = 4  # sets the draw of rows apart from other numbers of the same seed


@dataclasses.dataclass(frozen=True)
class QualityConfig:
    """Compares generated images with the training images of a dataset, in the embedding space of a re-ID network.

    Real test images, which show other people, are measured against the training images in the same way, as many of them
    as there are generated ones (all of the smaller set, random ones of the larger): the yardstick.
    Writes quality.json and sheet.png, generated images beside their nearest training images.

    Raises:
        ValueError: When a value is outside its range.
    """

    generated: Path
    """Folder with manifest.csv, as modification_gan/synthetic_generate.py writes it."""
    root: Path
    """Folder of the dataset whose training split the model was trained on."""
    ckpt: Path
    """The re-ID network: .safetensors, .onnx or zoo:NAME."""
    out: Path = Path("runs/quality")
    """Where quality.json and sheet.png go."""
    dataset: str = "market1501"
    """What lies at --root: world, market1501, dukemtmc, msmt17, cuhk03, veri776, mot, folder."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE of its reader."""
    neighbours: int = 3
    """Precision, recall and coverage: the neighbour whose distance is a ball's radius."""
    groups: int = 16
    """Groups of k-means over the training embeddings, which are modes beside the identities."""
    subsets: int = 100
    """KID: random subsets that are averaged."""
    subset_size: int = 1000
    """KID: images of each side in one; fewer where there are fewer."""
    sheet_rows: int = 12
    """Generated images on the sheet: one half those nearest to a training image, the other random."""
    sheet_neighbours: int = 5
    """Training images beside each."""
    inception_weights: Path | None = None
    """Computes Inception's FID as well, through torch-fidelity (pip install torch-fidelity), with this file."""
    seed: int = 0
    """Of the images drawn from the larger set, subsets, groups and the sheet's random rows."""

    def __post_init__(self) -> None:
        if self.dataset not in list_datasets():
            raise ValueError(f"dataset: got {self.dataset!r}, allowed: {', '.join(list_datasets())}")
        least = {"neighbours": 1, "groups": 2, "subsets": 1, "subset_size": 2, "sheet_rows": 1, "sheet_neighbours": 1}
        for name, smallest in (least | {"seed": 0}).items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {smallest} or more")


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images and their embeddings, float32 (N, D), rows of norm 1."""

    samples: Split
    rows: Rows


def embed_readable(embed: Embedder, samples: Sequence[Sample], name: str, console: Console, least: int = 1) -> ImageSet:
    """Embeds the images that can be read, at least so many, and says how many cannot.

    Raises:
        ValueError: When too few can be read, or the network wants cameras.
    """
    if embed.needs_cameras:
        raise ValueError(f"ckpt: {embed.name} has camera vectors, but generated images have no camera")
    kept, faults = drop_unreadable(samples)
    if faults:
        console.print(f"note: {len(faults)} {name} images cannot be read and are left out, e.g. {faults[0]}")
    if not kept:
        raise ValueError(f"{name}: got no readable image, allowed: one or more")
    if len(kept) < least:
        raise ValueError(f"{name}: got {len(kept)} readable images, allowed: {least} or more, above --neighbours")
    return ImageSet(kept, embed_crops(embed, kept))


def draw_rows(rows: Rows, count: int, seed: int) -> Rows:
    """Returns so many of the rows, at random and in their order: sets are compared in the same number.

    The Frechet distance, precision, recall and coverage depend on how many images there are.
    """
    if count == len(rows):
        return rows
    return rows[np.sort(np.random.default_rng([seed, _DRAW]).choice(len(rows), count, replace=False))]


def distribution_scores(images: Rows, train: Rows, config: QualityConfig) -> dict[str, Any]:
    """Returns what tells a set of images from the training images.

    KID takes the embeddings times the root of their length, so that its kernel is (cosine + 1)^3: of rows of norm 1 it
    would be nearly constant. The Frechet distance takes them as they are.
    """
    scale = np.sqrt(train.shape[1])
    options = {"subsets": config.subsets, "size": config.subset_size, "seed": config.seed}
    mean, spread = kernel_distance_of_subsets(images * scale, train * scale, **options)
    shares = precision_recall(train, images, config.neighbours)
    return {
        "images": len(images),
        "frechet": frechet_distance(images, train),
        "kid": mean,
        "kid_spread": spread,
        **shares._asdict(),
        "diversity": mean_pair_distance(images),
    }


def group_scores(rows: Sequence[GeneratedImage], generated: ImageSet, train: ImageSet, nearest: np.ndarray) -> dict:
    """Returns how far images of a conditional model are what was asked for; nothing for one without groups.

    `agreement`: share of the images whose nearest training image shows an identity of their group; `chance`: the same,
    were each image's neighbour any training image. `groups`: how many were made. `diversity`: mean cosine distance of
    two images of a group, over the groups of two images or more; None where there is no such group.
    """
    asked = [(place, row.group, row.labels) for place, row in enumerate(rows) if row.group is not None and row.labels]
    if not asked:
        return {}
    pids = np.array([sample.pid for sample in train.samples])
    groups = sorted({group for _, group, _ in asked})
    parts = [generated.rows[[place for place, own, _ in asked if own == one]] for one in groups]
    spreads = [mean_pair_distance(part) for part in parts if len(part) > 1]
    return {
        "groups": len(groups),
        "agreement": float(np.mean([pids[nearest[place]] in labels for place, _, labels in asked])),
        "chance": float(np.mean([np.isin(pids, list(labels)).mean() for _, _, labels in asked])),
        "diversity": float(np.mean(spreads)) if spreads else None,
    }


def pixel_copies(generated: Split, train: Split) -> int:
    """Returns how many generated images show nearly the same pixels as a training image."""
    first, second = (gather([fingerprint(image) for image in load_crops(part)]) for part in (generated, train))
    return len({place for place, _ in near_duplicates(first, second)})


def _mode_scores(generated: ImageSet, train: ImageSet, leak: LeakCheck, config: QualityConfig) -> dict[str, Any]:
    pids = np.array([sample.pid for sample in train.samples])
    modes = {"identities": mode_coverage(pids, pids[leak.nearest])}
    groups = min(config.groups, len(np.unique(train.rows, axis=0)))
    modes["groups"] = mode_coverage(*cluster_modes(train.rows, generated.rows, groups, config.seed))
    return {name: coverage._asdict() for name, coverage in modes.items()}


def judge(config: QualityConfig, data: ReIDDataset, console: Console) -> tuple[dict[str, Any], Embedder]:
    """Measures, and writes the sheet.

    Returns:
        The scores and the network.

    Raises:
        ValueError: When images or options do not allow it; the message says why.
    """
    rows = read_manifest(config.generated)
    embed = Embedder(config.ckpt)
    found = [Sample(str(config.generated / row.file), 0, 0, 0, "generated") for row in rows]
    least = config.neighbours + 1
    generated = embed_readable(embed, found, "generated", console, least)
    readable = {sample.path for sample in generated.samples}
    rows = [row for row in rows if str(config.generated / row.file) in readable]
    train = embed_readable(embed, data.train, "training", console, least)
    card = read_card(config.generated)
    if FINGERPRINT in card and card[FINGERPRINT] != training_fingerprint(train.samples):
        console.print(
            f"WARNING: the model of {config.generated} has learnt from other training images ({card.get('data')}) than "
            f"those of {config.root}"
        )
    # Distractors are half people and lamp posts, and no yardstick for images of people.
    tested = [sample for sample in (*data.query, *data.gallery) if sample.pid != DISTRACTOR_PID]
    test = embed_readable(embed, tested, "test", console, least)
    leak = leak_check(generated.rows, train.rows, test.rows)
    count = min(len(generated.rows), len(test.rows))
    scores: dict[str, Any] = {
        **{
            name: distribution_scores(draw_rows(one.rows, count, config.seed), train.rows, config)
            | {"drawn_from": len(one.rows)}
            for name, one in (("generated", generated), ("test", test))
        },
        "train_diversity": mean_pair_distance(train.rows),
        "modes": _mode_scores(generated, train, leak, config),
        "conditions": group_scores(rows, generated, train, leak.nearest),
        "leak": leak.facts() | {"pixel_copies": pixel_copies(generated.samples, train.samples)},
    }
    if config.inception_weights is not None:
        scores["inception_fid"] = inception_distance(train.samples, generated.samples, config.inception_weights)
    draw_samples(
        config.out / "sheet.png",
        (generated.samples, generated.rows),
        (train.samples, train.rows),
        choose_rows(leak.distances, config.sheet_rows, config.seed),
        config.sheet_neighbours,
    )
    return scores, embed


def lines_of(scores: dict[str, Any]) -> list[str]:
    """Returns the scores in words."""
    lines = [f"{'':11}{'images':>7} {'Frechet':>9} {'KID':>16} {'precision':>9} {'recall':>7} {'coverage':>8}"]
    for name in ("generated", "test"):
        one = scores[name]
        kid = f"{one['kid']:.4f}" + ("" if one["kid_spread"] is None else f" ± {one['kid_spread']:.4f}")
        shares = f"{one['precision']:9.3f} {one['recall']:7.3f} {one['coverage']:8.3f}"
        lines.append(f"{name:11}{one['images']:7d} {one['frechet']:9.4f} {kid:>16} {shares}")
    lines.append(
        f"as many of each: {one['images']} of {scores['generated']['drawn_from']} generated and of "
        f"{scores['test']['drawn_from']} test images; Frechet, precision, recall and coverage depend on the number"
    )
    lines.append(
        f"diversity (mean cosine distance of two images): generated {scores['generated']['diversity']:.3f}, "
        f"training {scores['train_diversity']:.3f}, test {scores['test']['diversity']:.3f}"
    )
    for name, modes in scores["modes"].items():
        lines.append(
            f"{name}: {100 * modes['covered']:.1f} % of {modes['modes']} covered (as many real images: "
            f"{100 * modes['expected']:.1f} %), evenness {modes['evenness']:.3f} "
            f"(training {modes['real_evenness']:.3f})"
        )
    if condition := scores["conditions"]:
        lines.append(
            f"conditions: {100 * condition['agreement']:.1f} % of the images are nearest to somebody of their group "
            f"(chance {100 * condition['chance']:.1f} %); diversity within the {condition['groups']} groups "
            + ("unknown" if condition["diversity"] is None else f"{condition['diversity']:.3f}")
        )
    leak = scores["leak"]
    for name in ("test", "train"):
        close = leak[f"closer_than_{name}"]
        lines.append(
            f"nearer to a training image than {name} images' median / nearest hundredth / nearest: "
            f"{100 * close['median']:.1f} / {100 * close['hundredth']:.1f} / {100 * close['nearest']:.1f} %"
        )
    lines.append(f"nearly the same pixels as a training image: {leak['pixel_copies']}")
    if "inception_fid" in scores:
        lines.append(f"Inception FID: {scores['inception_fid']:.2f}")
    return lines


def main(config: QualityConfig) -> None:
    """Measures, prints and stores."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if config.inception_weights is not None:
        check_inception(config.inception_weights)
    folder = next(part for part in (config.out, *config.out.parents) if part.exists())
    if not folder.is_dir():
        raise ValueError(f"out: got {config.out}, but {folder} is a file; allowed: a folder")
    data = read_dataset(config.dataset, config.root, **parse_dataset_options(config.dataset_options))
    scores, embed = judge(config, data, console)
    record = score_record(
        scores,
        protocol=embed.protocol,
        dataset=data.name if config.dataset != "market1501" else config.root.name,
        split="train",
        seed=config.seed,
        checkpoint=config.ckpt,
    )
    note = "generated images against the training split; test images, of other people, are the yardstick alone"
    write_json(config.out / "quality.json", record | {"compared": note, "options": option_values(config)})
    for line in lines_of(scores):
        console.print(line)
    console.print(f"wrote {config.out / 'quality.json'} and {config.out / 'sheet.png'}")


if __name__ == "__main__":
    run_entry_point(main, QualityConfig)
