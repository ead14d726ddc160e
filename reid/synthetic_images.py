"""Folders of generated images as training samples."""

import csv
import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from reid.data.base import Sample, Split
from reid.data.crops import drop_unreadable
from reid.data.generated import (
    CARD,
    FINGERPRINT,
    MANIFEST,
    GeneratedImage,
    read_card,
    read_manifest,
    training_fingerprint,
)
from reid.synthetic_labels import group_targets


@dataclasses.dataclass(frozen=True)
class GeneratedImages:
    """The readable images of a folder.

    Attributes:
        folder: Where they are.
        images: Their rows of the manifest, in its order.
        samples: The same for loaders: pid -1 - g of image g, camera 0, which means nothing.
        unreadable: A sentence for each file that is left out.
        stranger: A sentence where their model has learnt from other images than those of the training; a card without
            a fingerprint is not checked.
    """

    folder: Path
    images: tuple[GeneratedImage, ...]
    samples: tuple[Sample, ...]
    unreadable: tuple[str, ...] = ()
    stranger: str = ""

    def labels(self) -> dict[int, int]:
        """Returns the label of each sample's pid: the same number, which is below 0 and thus no class."""
        return {sample.pid: sample.pid for sample in self.samples}

    def describe(self) -> str:
        """Returns a line on what is there."""
        models = ", ".join(sorted({image.model for image in self.images}))
        groups = {image.group for image in self.images} - {None}
        return f"{self.folder}: {len(self.images)} generated images of {models}, {len(groups) or 'no'} groups"

    def group_targets(self, labels: dict[int, int]) -> torch.Tensor:
        """Returns the manifest's label distributions as float32 (G, C).

        Args:
            labels: Training label of each identity.

        Raises:
            ValueError: When the model has learnt from other images, whose identities only have the same numbers; with
                file and line, when an image has no distribution or one over an unknown identity.
        """
        if self.stranger:
            raise ValueError(f"{self.stranger}, allowed with synthetic_labels group: these; take lsro or pseudo")
        distributions = []
        for image in self.images:
            if image.labels is None:
                raise ValueError(
                    f"{self._where(image)}: got the labels 'uniform', allowed with synthetic_labels group: "
                    "PID:WEIGHT of a model with a condition; take lsro or pseudo"
                )
            unknown = sorted(image.labels.keys() - labels.keys())
            if unknown:
                raise ValueError(
                    f"{self._where(image)}: got identity {unknown[0]}, allowed: those of the training split; "
                    "was the model trained on another dataset?"
                )
            distributions.append(image.labels)
        return group_targets(distributions, labels)

    def _where(self, image: GeneratedImage) -> str:
        path = self.folder / MANIFEST
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            line = next((reader.line_num for row in reader if row and row[0] == image.file), 0)
        return f"{path}, line {line}"


def read_generated(
    folder: Path, train: Split, tests: Iterable[Split], say: Callable[[str], None] = print
) -> GeneratedImages:
    """Reads a folder of generated images and decodes each once.

    Args:
        folder: Holds manifest.csv; card.json beside it is looked at when it is there.
        train: The real training images.
        tests: Query and gallery of every test.
        say: Told what was found and left out.

    Raises:
        FileNotFoundError: When the manifest, or an image that it lists, is missing.
        ValueError: With file and line, when a row is not usable; when no image is readable, one of them stands in a
            real split as well, or their model was trained on another split than train.
    """
    stranger = _check_card(folder, train)
    rows = read_manifest(folder)
    found = [Sample(str(folder / row.file), 0, 0, 0, "generated") for row in rows]
    kept, faults = drop_unreadable(found)
    if not kept:
        raise ValueError(f"{folder}: none of the {len(rows)} generated images can be read, e.g. {faults[0]}")
    readable = {sample.path for sample in kept}
    images = tuple(row for row in rows if str(folder / row.file) in readable)
    samples = tuple(dataclasses.replace(sample, pid=-1 - number) for number, sample in enumerate(kept))
    own = {Path(sample.path).resolve() for sample in samples}
    for name, split in (("training images", train), *(("test images", split) for split in tests)):
        twice = next((sample.path for sample in split if Path(sample.path).resolve() in own), None)
        if twice is not None:
            raise ValueError(f"{folder}: {twice} is one of the {name} too; real and generated images lie apart")
    generated = GeneratedImages(folder, images, samples, faults, stranger)
    say(generated.describe())
    if stranger:
        say(f"WARNING: {stranger}")
    if read_card(folder).get("low_diversity"):
        say(f"WARNING: {folder / CARD}: the images hardly differ; their model has collapsed or was trained too briefly")
    if faults:
        say(f"note: {len(faults)} generated images cannot be read and are left out, e.g. {faults[0]}")
    return generated


def _check_card(folder: Path, train: Split) -> str:
    """Returns a sentence where the card names other training images, an empty one where it does not."""
    card = read_card(folder)
    if (split := card.get("split", "train")) != "train":
        raise ValueError(
            f"{folder / CARD}: the model was trained on the split {split!r}, allowed: train; scores would be void"
        )
    if FINGERPRINT not in card:
        return ""
    # Of several datasets, the model may have learnt from one.
    parts = [train, *([one for one in train if one.source == source] for source in {one.source for one in train})]
    if any(card[FINGERPRINT] == training_fingerprint(part) for part in parts):
        return ""
    return f"{folder / CARD}: the model has learnt from other training images ({card.get('data')}) than these"
