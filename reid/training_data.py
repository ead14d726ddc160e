"""The images of a training, from one dataset or several, and the test sets that it is scored on."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reid.data import DATASETS, list_datasets, read_dataset
from reid.data.base import ReIDDataset, Split, describe, merge_training, relabel
from reid.data.crops import drop_unreadable, unreadable_files

_LIKE_MARKET = ("world", "market1501")


@dataclasses.dataclass(frozen=True)
class TestSet:
    """A dataset that the network is scored on.

    Attributes:
        name: For records: the folder's, with the dataset's where it is no Market-1501 folder.
        split: What the files of query and gallery are called.
        data: Its cameras are numbered as in the training images, where these come from it too.
    """

    name: str
    split: str
    data: ReIDDataset


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What is trained on and scored.

    Attributes:
        train: The training images of all datasets, readable ones.
        tests: The datasets' tests, in their order.
        num_cameras: Cameras are numbered below it, in training and test images alike.
    """

    train: Split
    tests: tuple[TestSet, ...]
    num_cameras: int

    def labels(self) -> list[int]:
        """Returns the label of each training image."""
        labels = relabel(self.train)
        return [labels[sample.pid] for sample in self.train]


def read_training_data(
    names: Sequence[str], folders: Sequence[Path], options: dict[str, Any], say: Callable[[str], None]
) -> TrainingData:
    """Reads the datasets; several are merged, with identities and cameras of their own.

    Args:
        names: Of the datasets.
        folders: Of each.
        options: Given to each reader that knows them.
        say: Told what was found and left out.

    Raises:
        ValueError: When a name or an option is unknown, a dataset is not usable, or no training image is readable.
        FileNotFoundError: When files are missing.
    """
    known = {name: _known_options(name) for name in names}
    useless = sorted(name for name in options if not any(name in own for own in known.values()))
    if useless:
        raise ValueError(
            f"dataset_options: got {', '.join(useless)}, allowed: "
            + "; ".join(f"{', '.join(sorted(own)) or 'none'} of {name}" for name, own in known.items())
        )
    datasets = []
    for name, folder in zip(names, folders, strict=True):
        own = {key: value for key, value in options.items() if key in known[name]}
        datasets.append(read_test_set(name, folder, say, **own))
    if len(datasets) > 1:
        merged = merge_training([test.data for test in datasets])
        datasets = _renumber_cameras(datasets)
    else:
        merged = datasets[0].data.train
    train, faults = drop_unreadable(merged)
    if faults:
        say(f"note: {len(faults)} training images cannot be read and are left out, e.g. {faults[0]}")
    if not train:
        raise ValueError(f"{datasets[0].name}: none of the {len(merged)} training images can be read, e.g. {faults[0]}")
    splits = [train, *(split for test in datasets for split in (test.data.query, test.data.gallery))]
    num_cameras = 1 + max(sample.camid for split in splits for sample in split)
    return TrainingData(train, tuple(datasets), num_cameras)


def read_test_set(name: str, folder: Path, say: Callable[[str], None], **options: Any) -> TestSet:
    """Reads a dataset, decodes its test images once, and says what is in it.

    Raises:
        ValueError: As `read_dataset`, and when a test image cannot be read: now, and not when a training is over.
        FileNotFoundError: Likewise.
    """
    data = read_dataset(name, folder, **options)
    say(f"{folder}: train {describe(data.train)}; query {describe(data.query)}; gallery {describe(data.gallery)}")
    if data.skipped:
        say(f"note: {len(data.skipped)} images are left out, e.g. {data.skipped[0]}")
    for note in data.notes:
        say(f"note: {note}")
    _check_test_images(folder, data)
    like_market = name in _LIKE_MARKET
    return TestSet(
        folder.name if like_market else f"{name} ({folder.name})",
        "query/bounding_box_test" if like_market else "query/gallery",
        data,
    )


def _check_test_images(folder: Path, data: ReIDDataset) -> None:
    faults = unreadable_files([*data.query, *data.gallery])
    if faults:
        # Without them the scores would be of another test set than everybody's.
        raise ValueError(f"{folder}: {len(faults)} test images cannot be read, e.g. {faults[0]}")


def _known_options(name: str) -> set[str]:
    if name not in DATASETS:
        raise ValueError(f"dataset: got {name!r}, allowed: {', '.join(list_datasets())}")
    return set(inspect.signature(DATASETS[name]).parameters) - {"root", "source"}


def _renumber_cameras(tests: list[TestSet]) -> list[TestSet]:
    """Numbers the cameras of query and gallery as `merge_training` does; those without training images come last."""
    first = 0
    numbers: list[dict[int, int]] = []
    for test in tests:
        cameras = sorted({sample.camid for sample in test.data.train})
        numbers.append({camid: first + index for index, camid in enumerate(cameras)})
        first += len(cameras)
    renumbered = []
    for test, own in zip(tests, numbers, strict=True):
        unseen = {sample.camid for split in (test.data.query, test.data.gallery) for sample in split} - own.keys()
        own |= {camid: first + index for index, camid in enumerate(sorted(unseen))}
        first += len(unseen)
        query, gallery = (
            [dataclasses.replace(sample, camid=own[sample.camid]) for sample in split]
            for split in (test.data.query, test.data.gallery)
        )
        renumbered.append(dataclasses.replace(test, data=dataclasses.replace(test.data, query=query, gallery=gallery)))
    return renumbered
