"""What every dataset gives: samples, splits of them, and labels for training."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Gallery images of people who are no query carry it, where a dataset has such.
DISTRACTOR_PID = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of one person.

    Attributes:
        path: The image file.
        pid: The identity as the dataset names it, -1 never occurs (junk is dropped at reading). Where a dataset has
            distractors they carry pid 0.
        camid: The camera, counted from 0.
        frame: The frame number as the dataset names it. Comparable inside one recording only.
        source: The dataset's name.
        box: Where the person is inside the file, (left, top, right, bottom) in pixels; None is the whole file.
    """

    path: str
    pid: int
    camid: int
    frame: int
    source: str
    box: tuple[float, ...] | None = None


Split = list[Sample]


@dataclass(frozen=True)
class ReIDDataset:
    """The three splits of a dataset, and what was left out.

    Attributes:
        name: What the samples carry as their source.
        train: Training images.
        query: Query images.
        gallery: Gallery images, distractors (pid 0) included.
        num_junk: Images with pid -1, dropped at reading as the protocol asks.
        skipped: Image files that are left out, as "folder/name", sorted.
        cameras_known: False when the data do not say which camera took an image. Then evaluation removes no gallery
            item for its camera, only the query image itself.
        notes: What a reader of the scores should know, a sentence each.
    """

    name: str
    train: Split
    query: Split
    gallery: Split
    num_junk: int = 0
    skipped: tuple[str, ...] = ()
    cameras_known: bool = True
    notes: tuple[str, ...] = ()


def relabel(samples: Iterable[Sample]) -> dict[int, int]:
    """Returns identity -> class label 0..C-1 for training.

    Labels follow the sorted identities, so that neither the order of the files nor of a set decides them.
    """
    return {pid: label for label, pid in enumerate(sorted({sample.pid for sample in samples}))}


def describe(split: Iterable[Sample]) -> dict[str, int]:
    """Returns the counts of a split: images, pids (distractors are one of them), cameras."""
    samples = list(split)
    return {
        "images": len(samples),
        "pids": len({sample.pid for sample in samples}),
        "cameras": len({sample.camid for sample in samples}),
    }


def merge_training(datasets: Sequence[ReIDDataset]) -> Split:
    """Joins the training splits of several datasets, in their order.

    No identity and no camera of one is one of another: both are numbered anew, identities from 1 and cameras from 0,
    each set's in its own order after those of the sets before it. One set alone is renumbered in the same way.

    Raises:
        ValueError: When there is no dataset, or two are the same images.
    """
    if not datasets:
        raise ValueError("datasets: got none, allowed: one or more")
    merged: Split = []
    first_pid, first_camid = 1, 0
    files: set[tuple[str, tuple[float, ...] | None]] = set()
    for dataset in datasets:
        twice = next((sample.path for sample in dataset.train if (sample.path, sample.box) in files), None)
        if twice is not None:
            raise ValueError(f"datasets: {dataset.name} holds {twice}, which another one holds too; name each set once")
        files |= {(sample.path, sample.box) for sample in dataset.train}
        pids = relabel(dataset.train)
        camids = {camid: index for index, camid in enumerate(sorted({sample.camid for sample in dataset.train}))}
        merged += [
            dataclasses.replace(sample, pid=first_pid + pids[sample.pid], camid=first_camid + camids[sample.camid])
            for sample in dataset.train
        ]
        first_pid += len(pids)
        first_camid += len(camids)
    return merged


def image_key(sample: Sample) -> tuple[str, tuple[float, ...] | None]:
    """Returns what tells one image from another: file and box."""
    return sample.path, sample.box


def queries_without_match(dataset: ReIDDataset) -> Split:
    """Returns the queries that no gallery image of the protocol matches; evaluation skips and counts them."""
    cameras: dict[int, set[int]] = {}
    images: dict[int, set[tuple[str, tuple[float, ...] | None]]] = {}
    for sample in dataset.gallery:
        cameras.setdefault(sample.pid, set()).add(sample.camid)
        images.setdefault(sample.pid, set()).add(image_key(sample))
    if dataset.cameras_known:
        return [query for query in dataset.query if not cameras.get(query.pid, set()) - {query.camid}]
    return [query for query in dataset.query if not images.get(query.pid, set()) - {image_key(query)}]


def checked(dataset: ReIDDataset, expected: str = "at least one image in each split") -> ReIDDataset:
    """Returns the dataset with a note on queries without a match.

    Args:
        dataset: What a reader read.
        expected: The layout that an error shows.

    Raises:
        ValueError: When a split is empty, or no query at all has a match in the gallery.
    """
    for name in ("train", "query", "gallery"):
        if not getattr(dataset, name):
            raise ValueError(f"{dataset.name}: the {name} split is empty; expected {expected}")
    lonely = queries_without_match(dataset)
    if not lonely:
        return dataset
    where = "in another camera" if dataset.cameras_known else "in the gallery"
    message = f"{len(lonely)} of {len(dataset.query)} queries have no match {where}, e.g. {lonely[0].path}"
    if len(lonely) == len(dataset.query):
        raise ValueError(f"{dataset.name}: {message}; nothing can be scored")
    return dataclasses.replace(dataset, notes=(*dataset.notes, f"{message}; they are skipped"))
